"""dbmigration rehearse: what apply would do, in a copy, and nothing of it left."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.run.rehearse import PREFIX
from tests.engine.command_line import COMMAND, WITHIN_S, Ended, asked_to_stop, dbmigration, environment_of, succeeds
from tests.engine.conftest import Database
from tests.engine.support import PLATFORM, wait_for, write_files

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
    assert re.search(r"002_second.sql +2 ", ended.out)
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
    assert "003_third.sql:2: error: RehearsalFailed (SQLSTATE 22P02)" in ended.err
    assert re.search(r"002_second.sql +2 .*\n003_third.sql:2 +failed\n", ended.out)
    untouched(database)


def test_a_lock_that_is_held_too_long(database: Database, started: Path) -> None:
    write_files(started, {"002_second.sql": "LOCK TABLE first;\nSELECT pg_sleep(2.5);"})
    ended = dbmigration(database, "rehearse", "--dir", str(started), *WORDS, "--max-lock", "1s")
    assert ended.status == 1
    assert "002_second.sql:1: error: RehearsalFailed: the file held ACCESS EXCLUSIVE on public.first" in ended.err
    assert re.search(r"public.first +ACCESS EXCLUSIVE +2.*002_second.sql:1", ended.out)
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
    assert ended.status == 3
    assert "PermissionDenied" in ended.err
    untouched(database)


def apply(database: Database, folder: Path, *words: str) -> Ended:
    return dbmigration(database, "apply", "--dir", str(folder), *WORDS, "--backup-dir", str(folder.parent / "b"), "--rehearse", *words)


@pytest.mark.parametrize("words", [(), ("--backup-format", "Directory", "--backup-jobs", "2")], ids=["file", "folder"])
def test_a_run_rehearses_its_own_backup_and_then_applies(database: Database, started: Path, words: tuple[str, ...]) -> None:
    report = json.loads(apply(database, started, "--json", *words).out)
    assert (report["outcome"], report["appliedNow"]) == ("Succeeded", ["002_second.sql"])
    rehearsal = report["rehearsal"]
    assert rehearsal["passed"] is True
    assert rehearsal["planHash"] == report["planHash"]
    assert rehearsal["backupUri"] == report["backup"]["uri"]
    assert [file["name"] for file in rehearsal["files"]] == ["002_second.sql"]
    assert (rehearsal["locks"][0]["table"], rehearsal["locks"][0]["mode"]) == ("public.first", "ACCESS EXCLUSIVE")
    assert report["backup"]["completedAt"] <= report["backup"]["restoredAt"] <= rehearsal["completedAt"]
    assert database.psql("SELECT count(*) FROM first") == "101"


def test_what_fails_on_the_rows_of_the_copy_never_reaches_the_database(database: Database, started: Path) -> None:
    """Lint and syntax are fine: only the data are in the way."""
    write_files(started, {"003_third.sql": "ALTER TABLE first ADD CONSTRAINT few CHECK (id < 50);"})
    ended = apply(database, started, "--json")
    report = json.loads(ended.out)
    failure = report["failure"]
    assert (failure["reason"], failure["file"], failure["line"], failure["sqlstate"]) == ("RehearsalFailed", "003_third.sql", 1, "23514")
    assert report["executedSql"] is False
    assert report["pending"] == 2
    assert report["rehearsal"]["passed"] is False
    assert report["backup"]["restoredAt"]
    untouched(database)


def test_a_verify_script_that_fails_in_the_copy_stops_the_run(database: Database, started: Path) -> None:
    write_files(started, {"verify-002.sql": "SELECT count(*) = 100 FROM first;"})
    report = json.loads(apply(database, started, "--json").out)
    assert (report["failure"]["reason"], report["failure"]["file"]) == ("RehearsalFailed", "verify-002.sql")
    untouched(database)


@pytest.mark.parametrize(
    ("limit", "statement", "reason"),
    [
        (("--fail-on-rewrite",), "ALTER TABLE first ALTER COLUMN id TYPE bigint;", "RehearsalFailed"),
        (("--fail-on-rewrite",), "ALTER TABLE first ADD COLUMN more int;", None),
        (("--max-lock", "200ms"), "LOCK TABLE first; SELECT pg_sleep(0.4);", "RehearsalFailed"),
        (("--max-lock", "200ms"), "SELECT pg_sleep(0.4);", None),
        (("--max-lock", "1s"), "-- Transaction: none\nVACUUM FULL first;", None),
    ],
)
def test_limits(database: Database, started: Path, limit: tuple[str, ...], statement: str, reason: str | None) -> None:
    write_files(started, {"002_second.sql": statement})
    report = json.loads(apply(database, started, "--json", *limit).out)
    assert report.get("failure", {}).get("reason") == reason
    if reason:
        untouched(database)


def test_a_rehearsal_needs_a_backup_and_limits_need_a_rehearsal(database: Database, started: Path) -> None:
    for words in (("--rehearse", "--no-backup"), ("--max-lock", "1s"), ("--fail-on-rewrite",)):
        ended = dbmigration(database, "apply", "--dir", str(started), *WORDS, *words)
        assert ended.status == 2
        assert "--rehearse" in ended.err
    untouched(database)


def test_a_copy_that_a_killed_rehearsal_left_is_dropped_by_the_next(database: Database, started: Path) -> None:
    database.psql(f"CREATE DATABASE {PREFIX}0123456789ab OWNER platform_owner")
    ended = apply(database, started)
    assert f"dropping {PREFIX}0123456789ab" in ended.out


def test_a_run_that_is_asked_to_stop_in_mid_rehearsal_leaves_neither_copy_nor_change(database: Database, started: Path) -> None:
    """What is left is looked for after each test."""
    write_files(started, {"002_second.sql": "CREATE TABLE second (id int);\nSELECT pg_sleep(600);"})
    words = (*WORDS, "--rehearse", "--backup-dir", str(started.parent / "b"))
    copies = f"pg_stat_activity WHERE datname LIKE '{PREFIX}%' AND state = 'active' AND query LIKE '%pg_sleep%'"

    def at_work() -> None:
        wait_for(database, f"EXISTS (SELECT FROM {copies})", "the file runs in the copy")

    assert asked_to_stop(database, "apply", "--dir", str(started), *words, once=at_work) == 128 + signal.SIGTERM
    untouched(database)


def test_the_plan_of_a_statement_is_that_of_the_database(database: Database, started: Path) -> None:
    """Without statistics the planner would take a table that was just restored for a small one."""
    write_files(started, {"002_second.sql": "DO $$ BEGIN ASSERT (SELECT reltuples FROM pg_class WHERE relname = 'first') = 100; END $$;"})
    database.psql("ANALYZE first")
    succeeds(database, "rehearse", "--dir", str(started), *WORDS)


def test_nobody_else_may_look_into_the_copy(database: Database, started: Path) -> None:
    look = "SELECT has_database_privilege('public', current_database(), 'connect')"
    write_files(started, {"002_second.sql": f"DO $$ BEGIN ASSERT NOT ({look}); END $$;"})
    succeeds(database, "rehearse", "--dir", str(started), *WORDS)
    assert database.psql(look) == "t"


def test_after_a_rehearsal_a_stop_reaches_the_run_itself_again(database: Database, started: Path) -> None:
    """The file takes its time in the database only."""
    here = f"current_database() LIKE '{PREFIX}%'"
    write_files(
        started, {"002_second.sql": f"CREATE TABLE second (id int);\nSELECT CASE WHEN {here} THEN 'x' ELSE pg_sleep(600)::text END;"}
    )
    words = (*WORDS, "--rehearse", "--backup-dir", str(started.parent / "b"))
    process = subprocess.Popen([*COMMAND, "apply", "--dir", str(started), *words], env=environment_of(database), stdout=subprocess.PIPE)
    try:
        active = "pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep(600)%'"
        wait_for(database, f"EXISTS (SELECT FROM {active} AND pid <> pg_backend_pid())", "the file runs in the database")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM
    untouched(database)
