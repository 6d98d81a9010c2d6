"""`dbmigration new`."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Usage
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.script import inspect
from dbmigration.migrations.template import new_migration

TODAY = date(2025, 11, 21)


def test_the_first_migration_is_001_and_depends_on_nothing(tmp_path: Path) -> None:
    paths = new_migration(tmp_path, "create_platform_schema", TODAY)
    assert [path.name for path in paths] == ["001_create_platform_schema.sql", "rollback-001.sql"]
    header = read_set(tmp_path).files[0].header
    assert (header.title, header.dependencies, header.environments) == ("Create Platform Schema", (), ())


def test_the_next_number_is_written_from_the_house_template_and_depends_on_the_newest(tmp_path: Path) -> None:
    for name in ("001_a.sql", "004_create_lancio_org.sql"):
        (tmp_path / name).write_text("SELECT 1;\n")
    new_migration(tmp_path, "add_project_limits", TODAY)
    file = read_set(tmp_path).files[-1]
    assert (file.name, file.header.title) == ("005_add_project_limits.sql", "Add Project Limits")
    assert [one.name for one in file.header.dependencies] == ["004_create_lancio_org.sql"]
    assert file.header.rollback == "See rollback-005.sql"
    text = file.path.read_text()
    assert [line for line in text.splitlines() if line and not line.startswith("--")] == ["BEGIN;", "COMMIT;"]


def test_what_is_written_can_be_run_as_it_is(tmp_path: Path) -> None:
    for path in new_migration(tmp_path, "x", TODAY):
        shape = inspect(path, None)
        assert (shape.transactional, shape.strip_outer, shape.statements) == (True, True, 2)


@pytest.mark.parametrize(
    ("newest", "today", "version"),
    [
        ("999_x.sql", TODAY, "1000"),
        ("0007_x.sql", TODAY, "0008"),
        ("20250101_x.sql", TODAY, "20251121"),
        ("20251121_x.sql", TODAY, "20251122"),
        ("20250101120000_x.sql", datetime(2025, 11, 21, 10, 30, 5, tzinfo=UTC), "20251121103005"),
        ("1732180000_x.sql", TODAY, "1732180001"),
    ],
)
def test_the_number_has_the_form_of_the_newest_one(tmp_path: Path, newest: str, today: date, version: str) -> None:
    (tmp_path / newest).write_text("")
    assert new_migration(tmp_path, "y", today)[0].name == f"{version}_y.sql"


@pytest.mark.parametrize(
    "name", ["", "Add_limits", "add-limits", "005_x", "add limits", "../x", "x_", "_x", "x__y", "é", "x" * 101, "a.sql"]
)
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(Usage):
        new_migration(tmp_path, name, TODAY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_in_order_is_refused(tmp_path: Path) -> None:
    (tmp_path / "misnamed.sql").write_text("")
    with pytest.raises(Permanent) as caught:
        new_migration(tmp_path, "x", TODAY)
    assert caught.value.reason is Reason.SOURCE_INVALID


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DbmigrationError) as caught:
        new_migration(tmp_path / "typo", "x", TODAY)
    assert (caught.value.reason, (tmp_path / "typo").exists()) == (Reason.SOURCE_MISSING, False)
