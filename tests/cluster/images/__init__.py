"""The images a cluster needs: their names, and what each is built from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.cache import CHECKOUT

POSTGRES_FOLDER: Final = Path(__file__).resolve().parent / "postgres"
OPERATOR_SOURCES: Final = tuple(
    CHECKOUT / name
    for name in (
        "Dockerfile",
        ".dockerignore",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "operator/dbmigration",
        "requirements/runtime.txt",
        "requirements/build.txt",
    )
)


def operator_image(environ: Mapping[str, str] = os.environ) -> str:
    """The operator's image as pods name it; DBMIGRATION_TEST_IMAGE names one that a `current` cluster can pull."""
    return environ.get("DBMIGRATION_TEST_IMAGE") or "localhost/dbmigration-operator:dev"


def postgres_image(environ: Mapping[str, str] = os.environ) -> str:
    """The test PostgreSQL's image as pods name it; DBMIGRATION_TEST_POSTGRES_IMAGE names one that a `current` cluster can pull."""
    return environ.get("DBMIGRATION_TEST_POSTGRES_IMAGE") or "localhost/dbmigration-postgres:15"
