"""dbmigration rehearse: what apply would do, in a copy, and nothing of it left."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.run.rehearse import PREFIX
from tests.engine.conftest import Database
from tests.engine.support import PLATFORM, write_files
from tests.engine.test_cli import dbmigration, succeeds

FIRST = {"001_first.sql": "CREATE TABLE first (id int);\nINSERT INTO first SELECT generate_series(1, 100);"}
SECOND = {"002_second.sql": "ALTER TABLE first ADD COLUMN note text;\nINSERT INTO first (id) VALUES (101);"}
WORDS = ("--lint", "never")


@pytest.fixture(autouse=True)
def nothing_is_left(database: Database) -> Iterator[None]:
    yield
    assert database.psql(f"SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{PREFIX}%'") == ""


@pytest.fixture
def started(database: Database, tmp_path: Path) -> Path:
    """The first file is applied, the second pending."""
    folder = tmp_path / "migrations"
    write_files(folder, FIRST)
    succeeds(database, "apply", "--dir", str(folder), *WORDS)
    write_files(folder, SECOND)
    return folder


def untouched(database: Database) -> None:
    assert database.psql("SELECT count(*), (SELECT count(*) FROM dbmigration.schema_migrations) FROM first") == "100|1"


def test_the_files_run_on_the_same_rows_and_nothing_stays(database: Database, started: Path) -> None:
    ended = succeeds(database, "rehearse", "--dir", str(started), *WORDS)
    assert "every row, object and owner is as in the backup" in ended.out
    assert "002_second.sql           2" in ended.out
    assert ended.out.endswith("Rehearsed in a copy that is gone; the database was only read.\n")
    untouched(database)


def test_an_earlier_backup(database: Database, started: Path, tmp_path: Path) -> None:
    succeeds(database, "backup", "--backup-dir", str(tmp_path / "b"))
    (dump,) = (tmp_path / "b").glob("*.dump")
    report = json.loads(succeeds(database, "rehearse", "--dir", str(started), *WORDS, "--backup", str(dump), "--json").out)
    assert report["outcome"] == "Succeeded"
    assert report["backup"]["uri"] == dump.as_uri()
    untouched(database)


def test_a_file_that_fails_says_where(database: Database, started: Path) -> None:
    write_files(started, {"003_third.sql": "SELECT 1;\nINSERT INTO first SELECT 'x';"})
    ended = dbmigration(database, "rehearse", "--dir", str(started), *WORDS)
    assert ended.status == 1
    assert "003_third.sql:2: error: SqlFailed" in ended.err
    assert "003_third.sql" in ended.out
    assert "failed" in ended.out
    untouched(database)


def test_a_lock_that_is_held_too_long(database: Database, started: Path) -> None:
    write_files(started, {"002_second.sql": "LOCK TABLE first;\nSELECT pg_sleep(2.5);"})
    ended = dbmigration(database, "rehearse", "--dir", str(started), *WORDS, "--max-lock", "1s")
    assert ended.status == 1
    assert "RehearsalFailed: 002_second.sql held ACCESS EXCLUSIVE on" in ended.err
    assert "ACCESS EXCLUSIVE on" in ended.out
    untouched(database)


def test_what_reaches_beyond_the_database_is_refused(database: Database, started: Path) -> None:
    write_files(started, {"002_second.sql": "CREATE ROLE somebody;"})
    ended = dbmigration(database, "rehearse", "--dir", str(started), *WORDS)
    assert ended.status == 1
    assert "002_second.sql:1: error: RehearsalUnsafe" in ended.err
    untouched(database)


def test_nothing_pending(database: Database, tmp_path: Path) -> None:
    words = ("--dir", str(PLATFORM), "--environment", "staging")
    succeeds(database, "apply", *words)
    assert succeeds(database, "rehearse", *words).out.endswith("Nothing to rehearse: nothing is pending.\n")


def test_no_right_to_make_a_database(database: Database, started: Path) -> None:
    database.psql("ALTER ROLE platform_owner NOCREATEDB")
    try:
        ended = dbmigration(database, "rehearse", "--dir", str(started), *WORDS)
    finally:
        database.psql("ALTER ROLE platform_owner CREATEDB")
    assert ended.status == 1
    assert "PermissionDenied" in ended.err
    untouched(database)
