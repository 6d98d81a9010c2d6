"""The tools that install quickly are run again, so that a fixture does not outlive what it was made by."""

from pathlib import Path

import pytest

from tests.engine import test_import_history as imported
from tests.engine.conftest import Database
from tests.foreign_tools.__main__ import record
from tests.foreign_tools.recipes import RECIPES


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["alembic", "yoyo", "goose"])
def test_what_the_tool_leaves_today_is_taken_over(database: Database, tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = next(each for each in RECIPES if each.tool == tool)
    record(recipe, database.server, tmp_path)
    monkeypatch.setattr(imported, "FIXTURES", tmp_path)
    folder = imported.left_by(database, tool, tmp_path / "ours")
    files = sorted(path.name for path in (tmp_path / tool / "files").iterdir())
    assert imported.adopted(database, folder).adopted == files
