"""Failures of backups that hurt users of other tools, and what follows here; more of them are in the other test_backup*.py."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.backup.check import check_backup
from dbmigration.backup.restore import restore_backup
from dbmigration.errors import Transient
from dbmigration.postgres import lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.settings import Execution
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, ExternalBackup, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.dumps import back_up, left_in, path_of, whole
from tests.engine.server import SUPERUSER
from tests.engine.support import applied_names, write_files

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
PARTIAL = FIRST | {
    "002_alone.sql": "CREATE INDEX CONCURRENTLY one ON first (id);\nCREATE INDEX CONCURRENTLY two ON first ((id + 1));\nSELECT absent;"
}
MENDED = FIRST | {
    "002_alone.sql": "CREATE INDEX CONCURRENTLY one ON first (id);\nCREATE INDEX CONCURRENTLY two ON first ((id + 1));\nSELECT 1;"
}


def apply(database: Database, folder: Path, files: dict[str, str], conninfo: ConnInfo | None = None, **options: object) -> RunResult:
    write_files(folder / "migrations", files)
    given = RunOptions(directory=folder / "migrations", run_id="r", **options)  # type: ignore[arg-type]
    return Engine(given, conninfo or database.conninfo(), lambda _: None, StopRequest()).run()


def test_backup_silently_skipped_never_happens_and_a_first_install_needs_no_person(database: Database, tmp_path: Path) -> None:
    """An empty database is dumped like any other; where there is no dump, one word says why."""
    target = BackupTarget(tmp_path / "b")
    first = apply(database, tmp_path, FIRST, backup=target)
    assert (first.error, first.backup_reason, len(first.applied)) == (None, Reason.BACKUP_VERIFIED, 1)
    assert first.backup is not None
    check_backup(path_of(first.backup))
    nothing = apply(database, tmp_path, FIRST, backup=target)
    assert (nothing.backup, nothing.backup_reason) == (None, Reason.NOTHING_PENDING)
    more = FIRST | {"002_more.sql": "CREATE TABLE more ();"}
    skipped = apply(database, tmp_path, more)
    assert (skipped.backup, skipped.backup_reason) == (None, Reason.BACKUP_SKIPPED)
    declared = apply(database, tmp_path, more | {"003_yet.sql": "CREATE TABLE yet ();"}, external=ExternalBackup("snapshots"))
    assert (declared.backup, declared.backup_reason) == (None, Reason.BACKUP_DECLARED)
    failed = apply(
        database,
        tmp_path,
        more | {"003_yet.sql": "CREATE TABLE yet ();", "004_four.sql": "SELECT 4;"},
        backup=BackupTarget(tmp_path / "no" / "b"),
    )
    assert (failed.backup, failed.backup_reason) == (None, Reason.BACKUP_FAILED)
    assert applied_names(database) == ["001_first.sql", "002_more.sql", "003_yet.sql"]


def test_retention_eats_last_good_never_however_many_runs_fail(database: Database, tmp_path: Path) -> None:
    target = BackupTarget(tmp_path / "b", keep_last=1)
    good = apply(database, tmp_path, FIRST, backup=target)
    assert good.backup is not None
    database.psql("CREATE TABLE theirs (id int)")  # which pg_dump may not read
    for number in range(3):
        failed = apply(database, tmp_path, FIRST | {f"00{number + 2}_more.sql": "SELECT 1;"}, backup=target)
        assert failed.error is not None
        assert failed.error.reason is Reason.BACKUP_FAILED
    dump = path_of(good.backup)
    assert sorted(left_in(tmp_path / "b")) == whole(dump)
    assert check_backup(dump) == good.backup
    assert applied_names(database) == ["001_first.sql"]


@pytest.fixture
def into(database: Database) -> Iterator[str]:
    name = f"{database.name}_restored"
    yield name
    database.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_stale_lock_in_restored_dump_is_none_and_the_next_run_goes_on_from_what_the_dump_holds(
    database: Database, into: str, tmp_path: Path
) -> None:
    """Taken while a run holds the lock, with one file half done: the lock is the server's and in no dump, the progress is."""
    stopped = apply(database, tmp_path, PARTIAL)
    assert stopped.error is not None
    assert stopped.error.reason is Reason.SQL_FAILED
    with database.connect("dbmigration/another-run") as session:
        lock.acquire(session, wait_s=0, on_wait=lambda _: None)
        held = apply(database, tmp_path, MENDED, lock_wait=0.0)
        assert held.error is not None
        assert held.error.reason is Reason.LOCK_HELD
        dump = path_of(back_up(database, tmp_path / "b"))
        restore_backup(database.conninfo(), dump, into, stop=threading.Event(), say=lambda _: None)
        there = ConnInfo({**database.conninfo().parameters, "dbname": into})
        done = apply(database, tmp_path, MENDED, there, lock_wait=0.0)
    assert (done.error, [each.name for each in done.applied]) == (None, ["002_alone.sql"])
    indexes = (
        "SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index WHERE indrelid = 'first'::regclass AND indisvalid"
    )
    assert database.server.psql(f"{indexes} AND indisvalid", database=into) == "one two"


def test_dump_against_ddl_of_ours_is_said_waited_for_and_then_tried_again_later(database: Database, tmp_path: Path) -> None:
    """Somebody else's pg_dump holds the table that the file alters."""
    assert apply(database, tmp_path, FIRST).error is None
    altered = FIRST | {"002_alter.sql": "ALTER TABLE first ADD COLUMN note text;"}
    quick = Execution(lock_timeout_ms=50, lock_retries=1)
    with psycopg.connect(**database.conninfo(SUPERUSER).parameters, application_name="pg_dump") as dump:  # type: ignore[arg-type]
        dump.execute("LOCK TABLE first IN ACCESS SHARE MODE")
        result = apply(database, tmp_path, altered, execution=quick)
        assert isinstance(result.error, Transient)
        assert result.error.reason is Reason.LOCK_TIMEOUT
        assert "pg_dump" in result.error.message
        assert any("somebody else's pg_dump is running" in warning for warning in result.warnings)
    again = apply(database, tmp_path, altered, execution=quick)
    assert (again.error, [each.name for each in again.applied]) == (None, ["002_alter.sql"])
