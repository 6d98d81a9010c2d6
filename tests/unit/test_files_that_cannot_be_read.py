"""Folders and files that the system will not give, or that hold what nobody can mean: each refused with its name and the remedy."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.lint import check_folder
from dbmigration.migrations.checksum import line_at
from dbmigration.migrations.config import parse_config
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.layout import Layout, read_version, version_of
from dbmigration.migrations.script import inspect, read_statements
from dbmigration.migrations.template import new_migration
from dbmigration.postgres.conninfo import ConnInfo

NOW = datetime(2026, 2, 3, tzinfo=UTC)


def refused(folder: Path) -> Permanent:
    with pytest.raises(Permanent) as caught:
        read_set(folder)
    return caught.value


def test_a_folder_that_is_a_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "migrations").symlink_to("migrations")
    error = refused(tmp_path / "migrations")
    assert error.reason is Reason.SOURCE_INVALID
    assert str(tmp_path / "migrations") in error.message


@pytest.mark.parametrize(
    ("config", "name"), [("", "001_x.sql"), ('layout = "goose"\n', "001_x.sql"), ('layout = "dbmate"\n', "20260101000000_x.sql")]
)
def test_a_file_that_is_a_link_to_nothing(tmp_path: Path, config: str, name: str) -> None:
    (tmp_path / "dbmigration.toml").write_text(config)
    (tmp_path / name).symlink_to("not-there")
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, name)


@pytest.mark.parametrize("value", ['"numbred"', "1", "[]"])
def test_a_layout_that_nobody_knows(tmp_path: Path, value: str) -> None:
    (tmp_path / "dbmigration.toml").write_text(f"layout = {value}\n")
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "dbmigration.toml")
    assert "golang-migrate" in error.message


def test_settings_larger_than_any_are_not_even_parsed(tmp_path: Path) -> None:
    (tmp_path / "dbmigration.toml").write_text("#" * 65_537)
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "dbmigration.toml")
    assert "more than 64 KiB" in error.message


def test_a_dependency_by_a_name_that_its_number_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text("SELECT 1;")
    (tmp_path / "002_second.sql").write_text("-- Dependencies:\n--   - 001_fist.sql\n\nSELECT 1;")
    error = refused(tmp_path)
    assert (error.reason, error.place.file, error.place.line) == (Reason.DEPENDENCY_MISSING, "002_second.sql", 2)
    assert "001_first.sql" in error.message


DIGITS = "1" * 5000
"""More than Python reads as a number."""


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (f"Migration: {DIGITS} - first", Reason.SOURCE_INVALID),
        (f"Dependencies: {DIGITS}", Reason.DEPENDENCY_MISSING),
        (f"Dependencies: {DIGITS}_first.sql", Reason.DEPENDENCY_MISSING),
    ],
)
def test_a_number_of_thousands_of_digits_in_a_header(tmp_path: Path, header: str, reason: Reason) -> None:
    (tmp_path / "001_first.sql").write_text(f"\n-- {header}\nSELECT 1;")
    error = refused(tmp_path)
    assert (error.reason, error.place) == (reason, ("001_first.sql", 2, None, None))
    assert len(error.message) < 1024


@pytest.mark.parametrize("layout", list(Layout))
def test_a_number_of_thousands_of_digits_is_nobodys_version(layout: Layout) -> None:
    assert read_version(DIGITS, layout) is None
    assert version_of(f"{DIGITS}_x.sql", layout)[0] == 0


@pytest.mark.parametrize("text", [f"layout = {DIGITS}", f"layout = {'[' * 10_000}", '[seeds]\ndirectory = "a\\u0000b"', "layout = '\0'"])
def test_a_configuration_that_python_cannot_read(text: str) -> None:
    with pytest.raises(Permanent) as caught:
        parse_config(text.encode())
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "dbmigration.toml")


@pytest.mark.parametrize("config", ["", 'layout = "goose"', 'layout = "golang-migrate"'])
def test_a_name_that_is_not_utf8(tmp_path: Path, config: str) -> None:
    (tmp_path / "dbmigration.toml").write_text(config)
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/001_\xe9.up.sql"))).write_text("SELECT 1;")
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "001_\\xe9.up.sql")


def test_a_file_that_opens_and_cannot_be_read(tmp_path: Path) -> None:
    """As on a disk that is broken: the first byte of this one is an I/O error."""
    path = tmp_path / "001_first.sql"
    path.symlink_to("/proc/self/mem")
    assert (refused(tmp_path).reason, refused(tmp_path).place.file) == (Reason.SOURCE_INVALID, path.name)
    for read in (lambda: inspect(path, None), lambda: list(read_statements(path))):
        with pytest.raises(Permanent) as caught:
            read()
        assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, path.name)


def test_a_comment_that_never_ends_hides_no_header(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text("/* a /* b */\n-- Environment: nowhere\n")
    assert read_set(tmp_path).files[0].header.environments == ()


def test_a_new_migration_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "rollback-001.sql").mkdir()
    with pytest.raises(Permanent) as caught:
        new_migration(tmp_path, "first", NOW)
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "rollback-001.sql")


def test_a_secret_with_a_nul_byte(tmp_path: Path) -> None:
    for key, value in {"host": "a", "dbname": "b\0c", "user": "d", "password": "geheim"}.items():
        (tmp_path / key).write_text(value)
    with pytest.raises(Transient) as caught:
        ConnInfo.from_secret(tmp_path)
    assert caught.value.reason is Reason.SECRET_INVALID
    assert "geheim" not in caught.value.message


def test_lint_counts_long_runs_of_changes_and_parses_those_without_where_all_the_same(tmp_path: Path) -> None:
    changes = "".join(f"UPDATE t SET n = {number} WHERE n = 0;\n" for number in range(600)) + "DELETE FROM t;\n"
    (tmp_path / "001_x.sql").write_text(f"CREATE TABLE t (n int);\n{changes}")
    (tmp_path / "002_y.sql").write_text(changes)
    found = {(finding.file, finding.rule): finding.line for finding in check_folder(tmp_path)}
    assert found["002_y.sql", "delete-without-where"] == 601


def test_lint_does_not_parse_a_statement_of_megabytes(tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text(f"SELECT '{'x' * 5_000_000}';\nCREATE NONSENSE;\n")
    assert [(finding.rule, finding.line) for finding in check_folder(tmp_path) if finding.rule == "syntax-error"] == [("syntax-error", 2)]


def test_an_ignore_inside_of_what_no_scanner_takes_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text("SELECT 1a,\n  -- dbmigration: ignore drop-table because of nothing\n 2;\n")
    assert "syntax-error" in {finding.rule for finding in check_folder(tmp_path)}


def test_seeds_with_gzip_in_a_folder_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "dbmigration.toml").write_text('[seeds]\ndirectory = "seeds"\n')
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "seed-a.sql.gz").write_bytes(b"")
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "seed-a.sql.gz")


def test_the_line_of_a_file_that_is_gone_meanwhile_is_not_known(tmp_path: Path) -> None:
    assert line_at(tmp_path / "001_first.sql", 5) is None


def test_a_script_whose_header_says_more_than_its_transaction(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text("SELECT 1;")
    (tmp_path / "rollback-001.sql").write_text("-- Migration: 001\n-- Purpose: back\n-- Transaction: none\nSELECT 1;")
    rollback = read_set(tmp_path).files[0].rollback
    assert rollback is not None
    assert rollback.transaction is False
