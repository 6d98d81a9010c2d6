"""The images a cluster needs: their names, and what each is built from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.cache import CHECKOUT

POSTGRES_MAJORS: Final = (14, 15, 16, 17, 18)
"""Whose clients are in the operator's image, as the Dockerfile says when it is not asked for others."""
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
        "image/postgresql_clients.py",
        "requirements/runtime.txt",
        "requirements/build.txt",
        *(f"requirements/postgresql-{major}.txt" for major in POSTGRES_MAJORS),
    )
)


def operator_image(environ: Mapping[str, str] = os.environ) -> str:
    """The operator's image as pods name it; DBMIGRATION_TEST_IMAGE names one that a `current` cluster can pull."""
    return environ.get("DBMIGRATION_TEST_IMAGE") or "localhost/dbmigration-operator:dev"


def postgres_image(environ: Mapping[str, str] = os.environ) -> str:
    """The test PostgreSQL's image as pods name it; DBMIGRATION_TEST_POSTGRES_IMAGE names one that a `current` cluster can pull."""
    return environ.get("DBMIGRATION_TEST_POSTGRES_IMAGE") or "localhost/dbmigration-postgres:15"
