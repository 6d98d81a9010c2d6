"""Every command reads a folder in the layout that the command line names."""

from pathlib import Path

import pytest

from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database

FILE = "-- +goose Up\nCREATE TABLE a (id bigint PRIMARY KEY);\n-- +goose Down\nDROP TABLE a;\n"


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "00001_a.sql").write_text(FILE)
    return ("--dir", str(tmp_path), "--layout", "goose")


def test_a_set_goes_up_and_down_with_the_layout_of_the_command_line(database: Database, words: tuple[str, ...]) -> None:
    for command in (
        ("plan",),
        ("apply",),
        ("status",),
        ("drift",),
        ("import-history", "--from", "dbmate", "--dry-run"),
        ("graph",),
        ("docs",),
    ):
        ended = dbmigration(database, *command, *words)
        assert (ended.status, "HistoryNotFound" in ended.err) == ((1, True) if command[0] == "import-history" else (0, False)), ended.err
    assert database.psql("SELECT to_regclass('a') IS NOT NULL") == "t"
    ended = dbmigration(database, "rollback", "--to", "0", "--yes", *words)
    assert ended.status == 0, ended.err
    assert database.psql("SELECT to_regclass('a') IS NULL") == "t"


def test_lint_sees_both_ways_at_their_lines_and_asks_for_no_header(database: Database, words: tuple[str, ...]) -> None:
    ended = dbmigration(database, "lint", *words, "--fail-on", "never")
    assert ended.status == 0, ended.err
    assert "missing-header" not in ended.out
    assert "file-name-style" not in ended.out
    assert "missing-rollback" not in ended.out


def test_up_down_and_up_again_in_a_scratch_database(database: Database, words: tuple[str, ...]) -> None:
    ended = dbmigration(database, "test", *words, "--require-rollback", "--dsn", database.dsn)
    assert ended.status == 0, ended.err + ended.out


def test_the_next_file_has_the_names_of_the_layout(database: Database, words: tuple[str, ...], tmp_path: Path) -> None:
    assert dbmigration(database, "new", "add_b", *words).out == f"{tmp_path / '00002_add_b.sql'}\n"


def test_an_unknown_layout_is_wrong_usage(database: Database, tmp_path: Path) -> None:
    assert dbmigration(database, "plan", "--dir", str(tmp_path), "--layout", "rails").status == 2
