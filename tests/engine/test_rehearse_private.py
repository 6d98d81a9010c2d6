"""dbmigration rehearse --private: on a server of this machine, as a role that may make no database; nothing of it stays."""

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import Exit
from dbmigration.errors import Transient
from dbmigration.run import rehearsal_private
from dbmigration.run.engine import Engine
from dbmigration.run.options import Rehearsal, RunOptions
from dbmigration.run.rehearse import rehearse
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from dbmigration.scratch.binaries import choose_binaries
from tests.engine.command_line import Ended, asked_to_stop, dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.server import OWNER, SUPERUSER, wait_until
from tests.engine.support import with_one_killed, write_files

FIRST = {"001_first.sql": "CREATE TABLE first (id int);\nINSERT INTO first SELECT generate_series(1, 100);"}
WORDS = ("--lint", "never")
SLEEPS = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where everything temporary goes, as the server's account can reach it; empty afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="private-"))
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture
def started(database: Database, tmp_path: Path, temporary: Path) -> Iterator[Path]:
    """The first file is applied by a role that may make no database. Whatever happens, the database stays as it is."""
    folder = tmp_path / "migrations"
    write_files(folder, FIRST)
    succeeds(database, "apply", "--dir", str(folder), *WORDS)
    database.psql(f"ALTER ROLE {OWNER} NOCREATEDB")
    yield folder
    database.psql(f"ALTER ROLE {OWNER} CREATEDB")
    assert database.psql("SELECT count(*), (SELECT count(*) FROM dbmigration.schema_migrations) FROM first") == "100|1"


def private(database: Database, folder: Path, *words: str) -> Ended:
    return dbmigration(database, "rehearse", "--private", "--dir", str(folder), *WORDS, *words)


def in_this_process(database: Database, folder: Path) -> RunResult:
    engine = Engine(RunOptions(folder, "test", drift=None), database.conninfo(), lambda _: None, StopRequest())
    return rehearse(engine, None, Rehearsal(private=True))


class Sleeper(NamedTuple):
    server: Path
    pid: int


def sleeper(temporary: Path) -> Sleeper | None:
    """A file that sleeps on the private server."""
    for folder in temporary.glob("dbmigration-scratch-*"):
        try:
            with psycopg.connect(f"host={folder} user={SUPERUSER} dbname=postgres") as connection:
                row = connection.execute(SLEEPS).fetchone()
        except psycopg.OperationalError:
            continue
        if row:
            return Sleeper(folder, row[0])
    return None


def test_files_run_on_the_rows_as_the_role_that_migrates_and_the_databases_server_makes_nothing(database: Database, started: Path) -> None:
    database.psql(
        f"CREATE ROLE reporting; ALTER ROLE {OWNER} SET work_mem = '5MB'; ALTER DATABASE {database.name} SET application.name = 'x'"
    )
    checks = f"""
        DO $$ BEGIN
            ASSERT current_database() = '{database.name}' AND session_user = '{OWNER}';
            ASSERT NOT (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = session_user);
            ASSERT current_setting('work_mem') = '5MB' AND current_setting('application.name') = 'x';
            ASSERT (SELECT count(*) FROM first) = 100;
            ASSERT inet_server_port() IS NULL;
        END $$;
        GRANT SELECT ON first TO reporting;"""
    write_files(started, {"002_second.sql": checks})
    before = database.psql("SELECT max(oid) FROM pg_database")
    try:
        ended = private(database, started)
    finally:
        database.psql(f"DROP ROLE reporting; ALTER ROLE {OWNER} RESET work_mem")
    assert ended.status == 0, ended.err
    assert "starting a private PostgreSQL" in ended.out
    assert "every row, object and owner is as in the backup" in ended.out
    assert re.search(r"002_second.sql +2 ", ended.out)
    assert "WARNING" not in ended.out
    assert ended.out.endswith("Rehearsed in a copy that is gone; the database was only read.\n")
    assert database.psql("SELECT max(oid) FROM pg_database") == before


def test_an_earlier_backup_several_connections_and_the_report(database: Database, started: Path, tmp_path: Path) -> None:
    write_files(started, {"002_second.sql": "ALTER TABLE first ADD COLUMN note text;"})
    succeeds(database, "backup", "--backup-dir", str(tmp_path / "b"))
    (dump,) = (tmp_path / "b").glob("*.dump")
    report = private(database, started, "--backup", str(dump), "-j", "3", "--json").report()
    assert (report.outcome, report.executed_sql) == ("Succeeded", False)
    assert report.rehearsal is not None
    assert (report.rehearsal.passed, report.rehearsal.backup_uri) == (True, dump.as_uri())


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE ROLE made_by_a_file; ALTER SYSTEM SET work_mem = '9MB';", None),
        ("SELECT 1/count(*) FROM first WHERE id > 100;", "RehearsalFailed (SQLSTATE 22012)"),
        ("COPY first TO PROGRAM 'cat';", "RehearsalUnsafe"),
        ("CREATE TABLESPACE elsewhere LOCATION '/tmp';", "RehearsalUnsafe"),
    ],
)
def test_what_touches_the_whole_server_runs_what_leaves_it_does_not(
    database: Database, started: Path, statement: str, reason: str | None
) -> None:
    """As a superuser, who may do all of it."""
    write_files(started, {"002_second.sql": f"-- transaction: none\n{statement}"})
    as_superuser = database.conninfo(SUPERUSER).libpq_environment()
    ended = dbmigration(database, "rehearse", "--private", "--dir", str(started), *WORDS, changes=as_superuser)
    assert (ended.status, reason or "") == (1 if reason else 0, reason or ""), ended.err
    assert reason is None or f"002_second.sql:2: error: {reason}" in ended.err
    assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'made_by_a_file'") == "0"


def test_a_stop_in_mid_rehearsal_leaves_no_server_and_no_row(database: Database, started: Path, temporary: Path) -> None:
    """What is left in the folder is looked for after each test."""
    write_files(started, {"002_second.sql": "CREATE TABLE second (id int);\nSELECT pg_sleep(600);"})
    words = ("rehearse", "--private", "--dir", str(started), *WORDS)
    servers: list[int] = []

    def at_work() -> None:
        wait_until(lambda: sleeper(temporary) is not None, "the file runs in the copy")
        found = sleeper(temporary)
        assert found is not None
        servers.append(found.pid)

    assert asked_to_stop(database, *words, once=at_work, changes={"TMPDIR": str(temporary)}) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{servers[0]}").exists()


def test_a_server_that_is_killed_for_its_memory_is_told_as_such(database: Database, started: Path, temporary: Path) -> None:
    write_files(started, {"002_second.sql": "CREATE TABLE second (id int);\nSELECT pg_sleep(600);"})

    def at_work() -> int | None:
        found = sleeper(temporary)
        return None if found is None else found.pid

    result = with_one_killed(lambda: in_this_process(database, started), at_work)
    assert result.error is not None
    assert result.error.reason is Reason.REHEARSAL_SERVER_FAILED
    assert "ran out of memory" in result.error.message
    assert result.rehearsal is None


def test_a_database_that_is_called_postgres(database: Database, tmp_path: Path, temporary: Path) -> None:
    """It is there on every new server, and gives its name up."""
    del temporary
    write_files(tmp_path / "migrations", {"001_first.sql": "DO $$ BEGIN ASSERT current_database() = 'postgres'; END $$;"})
    engine = Engine(
        RunOptions(tmp_path / "migrations", "test"),
        Database(database.server, "postgres").conninfo(SUPERUSER),
        lambda _: None,
        StopRequest(),
    )
    result = rehearse(engine, None, Rehearsal(private=True))
    assert result.error is None
    assert result.rehearsal is not None
    assert result.rehearsal.passed


def test_a_machine_without_the_programs_is_told_before_a_backup_is_taken(
    database: Database, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(started, {"002_second.sql": "SELECT 1;"})

    def none_here(major: int, *, otherwise: str) -> object:
        return choose_binaries(major, (), otherwise=otherwise)

    monkeypatch.setattr(rehearsal_private, "choose_binaries", none_here)
    result = in_this_process(database, started)
    assert isinstance(result.error, Transient)
    assert (result.error.reason, result.backup) == (Reason.DATABASE_UNAVAILABLE, None)
    assert "without --private" in result.error.message


def test_a_machine_without_the_room_is_told_before_a_backup_is_taken(
    database: Database, started: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(started, {"002_second.sql": "SELECT 1;"})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20))
    result = in_this_process(database, started)
    assert result.error is not None
    assert (result.error.reason, result.backup) == (Reason.REHEARSAL_SERVER_FAILED, None)
    assert f"{temporary}, where the private server would be, has 1 MB left" in result.error.message


def test_nothing_pending_starts_nothing(database: Database, started: Path) -> None:
    ended = private(database, started)
    assert (ended.status, "private PostgreSQL" in ended.out) == (Exit.OK, False)
