"""The how-tos, command by command, in a folder with the platform's migrations and on an empty database."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.commands import run_page
from tests.engine.conftest import Database
from tests.engine.support import PLATFORM

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to_does_what_it_says(page: Path, database: Database, tmp_path: Path) -> None:
    shutil.copytree(PLATFORM, tmp_path / "migrations")
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    programs = f"{Path(sys.executable).parent}:{database.server.binaries}:{os.environ['PATH']}"
    superuser = database.server.environment(database.name)
    run_page(page, tmp_path, superuser | {"DATABASE_URL": database.dsn, "PATH": programs, "COLUMNS": "140"})
