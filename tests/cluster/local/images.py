"""Images without Docker: a Debian base from debootstrap, then buildah; kept as archives under their content keys."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.cache import CHECKOUT, cache_root, content_key
from tests.cluster.images import OPERATOR_SOURCES, POSTGRES_FOLDER, operator_image, postgres_image
from tests.cluster.local.components import PAUSE_IMAGE
from tests.cluster.local.programs import PAUSE, built
from tests.cluster.steps import run_logged, run_quiet, step

DEBIAN_SUITE: Final = "bookworm"
BASE_PACKAGES: Final = ("ca-certificates", "openssh-client", "python3", "python3-venv")
AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
ARCHIVES_KEPT: Final = 2


@dataclass(frozen=True)
class ImageArchive:
    """An image as a file; `path` changes with the content, `reference` does not."""

    reference: str
    path: Path


def build_all() -> list[ImageArchive]:
    """Every image the cluster needs, built where its content is new."""
    return [pause(), operator(), postgres()]


def pause() -> ImageArchive:
    """The sandbox container of every pod."""
    binary = built(PAUSE)
    context = cache_root() / "build" / "pause"
    dockerfile = 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
    archive = _archive(PAUSE_IMAGE, content_key([binary], dockerfile))
    if not archive.path.exists():
        context.mkdir(parents=True, exist_ok=True)
        shutil.copy(binary, context / "pause")
        (context / "Dockerfile").write_text(dockerfile)
        with step("Building the image of pods' sandboxes", "2 s"):
            _build(archive, context, context / "Dockerfile")
    return archive


def operator() -> ImageArchive:
    """The operator's image, from the Dockerfile at the root; a change of Python code rebuilds its last layer only."""
    base = _base_reference()
    archive = _archive(operator_image(), content_key(OPERATOR_SOURCES, base))
    if not archive.path.exists():
        _make_base(base)
        with step("Building the operator's image", "60 s the first time, 8 s after a change of code"):
            _build(archive, CHECKOUT, CHECKOUT / "Dockerfile", f"--build-arg=BASE_IMAGE={base}")
    return archive


def postgres() -> ImageArchive:
    """The PostgreSQL server that tests migrate."""
    base = _base_reference()
    archive = _archive(postgres_image(), content_key([POSTGRES_FOLDER], base))
    if not archive.path.exists():
        _make_base(base)
        with step("Building the image of the test PostgreSQL", "40 s"):
            _build(archive, POSTGRES_FOLDER, POSTGRES_FOLDER / "Dockerfile", f"--build-arg=BASE_IMAGE={base}")
    return archive


def export(image: str, path: Path) -> None:
    """Write an image of ours to an archive."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    run_quiet([*_buildah("push"), image, f"oci-archive:{path}:{image}"])


def _base_reference() -> str:
    return f"localhost/dbmigration-base:{content_key([], DEBIAN_SUITE, *BASE_PACKAGES)}"


def _make_base(reference: str) -> None:
    """Make a small Debian with Python and ssh, from Debian packages, when it is not stored yet."""
    if _stored(reference):
        return
    # Without one, debootstrap takes its own default.
    mirror = [given] if (given := os.environ.get("DBMIGRATION_DEBIAN_MIRROR")) else []
    build = cache_root() / "build"
    root = build / "base-root"
    log = cache_root() / "logs" / "debootstrap.log"
    if root.exists():
        shutil.rmtree(root)  # of a build that was interrupted
    with step("Making a Debian base image with Python", "60 s"):
        include = f"--include={','.join(BASE_PACKAGES)}"
        run_logged(["debootstrap", "--variant=minbase", include, DEBIAN_SUITE, root, *mirror], log)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(root / leftover, ignore_errors=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        (root / "var/lib/apt/lists/partial").mkdir(parents=True)
        (root / "etc/resolv.conf").unlink(missing_ok=True)  # the machine's, copied in by debootstrap
        (root / "etc/hostname").unlink(missing_ok=True)
        (build / "base.Dockerfile").write_text('FROM scratch\nCOPY . /\nCMD ["python3"]\n')
        run_logged([*_buildah("build"), "--format=oci", f"--tag={reference}", "--file", build / "base.Dockerfile", root], log)
    shutil.rmtree(root)


def _build(archive: ImageArchive, context: Path, dockerfile: Path, *options: str) -> None:
    log = cache_root() / "logs" / f"image-{archive.path.parent.name}.log"
    command: list[str | Path] = [*_buildah("build"), "--format=oci", "--layers", "--pull=never", "--isolation=chroot", "--network=host"]
    command += [*options, *_build_access(), f"--tag={archive.reference}", "--file", dockerfile, context]
    run_logged(command, log)
    unfinished = archive.path.with_suffix(".unfinished")
    export(archive.reference, unfinished)
    unfinished.rename(archive.path)
    _forget_old_archives(archive)


def _build_access() -> list[str]:
    """How a build reaches package registries as this machine does, without any of it staying in the image."""
    access = [f"--volume={AUTHORITIES}:{AUTHORITIES}:ro"] if AUTHORITIES.exists() else []
    settings = ["[global]", f"cert = {AUTHORITIES}"] if AUTHORITIES.exists() else ["[global]"]
    for name in ("index-url", "extra-index-url", "trusted-host"):
        asked = (
            subprocess.run(["pip", "config", "get", f"global.{name}"], capture_output=True, text=True, check=False)
            if shutil.which("pip")
            else None
        )
        value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or (asked.stdout.strip() if asked else "")
        if value:
            settings.append(f"{name} = {value}")
    path = cache_root() / "build" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # an index address may hold a password
    path.write_text("\n".join(settings) + "\n")
    return [*access, f"--secret=id=pip.conf,src={path}"]


def _archive(reference: str, key: str) -> ImageArchive:
    name = reference.rpartition("/")[2].partition(":")[0]
    return ImageArchive(reference, cache_root() / "images" / name / f"{key}.tar")


def _forget_old_archives(archive: ImageArchive) -> None:
    archives = sorted(archive.path.parent.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[ARCHIVES_KEPT:]:
        old.unlink()


def _stored(reference: str) -> bool:
    return subprocess.run([*_buildah("inspect"), "--type=image", reference], capture_output=True, check=False).returncode == 0


def _buildah(command: str) -> list[str]:
    storage = cache_root() / "buildah"
    return ["buildah", f"--root={storage / 'storage'}", f"--runroot={storage / 'run'}", command]
