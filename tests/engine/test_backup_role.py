"""The dump by a role of its own: it may read what the one that migrates may not, and what it dumps is the database that is migrated."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.progress import Progress
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.server import PASSWORD, SUPERUSER, PostgresServer, free_port, quoted, unprivileged, wait_until
from tests.engine.support import write_files

FILES = {"001_first.sql": "CREATE TABLE first (id int);"}
SECRET = "of the dumper"


@pytest.fixture
def studio(database: Database) -> Iterator[Database]:
    """With a table that the role that migrates may not read, and the role `dumper` that may read all."""
    database.psql("CREATE TABLE theirs AS SELECT 1 AS id")
    database.psql(f"CREATE ROLE dumper LOGIN PASSWORD {quoted(SECRET)} IN ROLE pg_read_all_data")
    yield database
    database.psql("DROP ROLE dumper")


def dumper(database: Database, **changes: str) -> ConnInfo:
    own = {"host": "127.0.0.1", "port": str(database.server.port), "dbname": database.name, "user": "dumper", "password": SECRET}
    return ConnInfo(own | changes)


def apply(database: Database, folder: Path, who: ConnInfo | None) -> tuple[RunResult, list[Progress]]:
    write_files(folder / "migrations", FILES)
    told: list[Progress] = []
    target = BackupTarget(folder / "b", conninfo=who)
    options = RunOptions(directory=folder / "migrations", run_id="dumped", backup=target)
    return Engine(options, database.conninfo(), told.append, StopRequest()).run(), told


def left(folder: Path) -> list[Path]:
    return list((folder / "b").rglob("*")) if (folder / "b").exists() else []


def test_a_role_that_may_read_everything_dumps_what_the_other_may_not(studio: Database, tmp_path: Path) -> None:
    refused, _ = apply(studio, tmp_path, None)
    assert refused.error is not None
    assert (refused.error.reason, refused.backup, left(tmp_path)) == (Reason.BACKUP_FAILED, None, [])
    done, told = apply(studio, tmp_path, dumper(studio))
    assert (done.error, done.backup_reason) == (None, Reason.BACKUP_VERIFIED)
    assert [applied.name for applied in done.applied] == ["001_first.sql"]
    assert studio.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'first'") == "platform_owner", "it only dumps"
    said = "".join(f"{each.message}" for each in told)
    assert SECRET not in said
    assert PASSWORD not in said


def test_another_database_is_refused_before_anything_is_dumped(
    studio: Database, database_factory: Callable[[], Database], tmp_path: Path
) -> None:
    result, _ = apply(studio, tmp_path, dumper(studio, dbname=database_factory().name))
    assert result.error is not None
    assert (result.error.reason, result.backup_reason) == (Reason.BACKUP_DATABASE_MISMATCH, Reason.BACKUP_FAILED)
    assert "identity" in result.error.message
    assert (result.applied, left(tmp_path)) == ([], [])


def test_a_wrong_password_is_said_to_be_the_dumpers(studio: Database, tmp_path: Path) -> None:
    result, _ = apply(studio, tmp_path, dumper(studio, password="wrong"))
    assert result.error is not None
    assert result.error.reason is Reason.AUTHENTICATION_FAILED
    assert result.error.message.startswith("backup.secretRef: ")
    assert (result.applied, left(tmp_path)) == ([], [])


@contextlib.contextmanager
def copy_of(server: PostgresServer) -> Iterator[int]:
    """The port of a second server that was made of the first one's files: a snapshot of the storage that somebody started."""
    account = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="dbmigration-copy-"))
    if account:
        os.chown(folder, int(str(account["user"])), int(str(account["group"])))
    try:
        command = [str(server.binaries / "pg_basebackup"), "-D", str(folder / "data"), "--checkpoint=fast", "--no-sync"]
        subprocess.run(command, env=server.environment("postgres", SUPERUSER), check=True, capture_output=True, **account)  # type: ignore[call-overload]
        port = free_port()
        process = subprocess.Popen(
            [server.binaries / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            **account,  # type: ignore[call-overload]
        )  # fmt: skip
        try:
            ready = [str(server.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "the copy answers", 120)
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_copy_of_the_server_with_the_same_identity_is_refused(studio: Database, tmp_path: Path) -> None:
    with copy_of(studio.server) as port:
        with psycopg.connect(**dumper(studio, port=str(port)).parameters) as connection:  # type: ignore[arg-type]
            assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (1,)
        result, _ = apply(studio, tmp_path, dumper(studio, port=str(port)))
    assert result.error is not None
    assert result.error.reason is Reason.BACKUP_DATABASE_MISMATCH
    assert "a copy or a standby" in result.error.message
    assert (result.applied, left(tmp_path)) == ([], [])
