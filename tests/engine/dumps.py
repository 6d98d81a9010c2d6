"""Backups of a real database in tests: taking one, what stands where it was taken to, and dumps that wait, are stopped, are killed."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import psycopg

from dbmigration.api.reasons import Reason
from dbmigration.backup.clients import Client, choose_dump_client
from dbmigration.backup.cluster_globals import globals_path
from dbmigration.backup.dump import take_backup
from dbmigration.backup.record import Backup, record_path
from dbmigration.backup.shape import DumpShape
from dbmigration.errors import DbmigrationError
from dbmigration.postgres.session import Server
from tests.engine.conftest import Database
from tests.engine.server import wait_until

DEADLINE_S = 30.0
ONE_FILE = DumpShape()


def server_of(database: Database) -> Server:
    with database.connect() as session:
        return session.server


def back_up(database: Database, folder: Path, **changes: object) -> Backup:
    options: dict[str, object] = {"run_id": "run-1", "name_prefix": "studio/db", "stop": threading.Event()} | changes
    return take_backup(database.conninfo(), server_of(database), folder, **options)  # type: ignore[arg-type]


def path_of(backup: Backup) -> Path:
    return Path(unquote(urlparse(backup.uri).path))


def whole(dump: Path) -> list[Path]:
    """What stands where a backup is: the dump, the server's roles, the record."""
    return sorted([dump, globals_path(dump), record_path(dump)])


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def await_true(question: str, database: Database) -> None:
    wait_until(lambda: database.psql(question) == "t", question)


_OF_DUMP = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_dump'"
DUMP_WAITS = f"SELECT count(*) > 0 {_OF_DUMP} AND wait_event_type = 'Lock'"
DUMP_GONE = f"SELECT count(*) = 0 {_OF_DUMP}"


@contextmanager
def locked_table(database: Database) -> Iterator[None]:
    """While open, pg_dump waits: it cannot have its ACCESS SHARE lock."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("LOCK TABLE note IN ACCESS EXCLUSIVE MODE")
        yield


def wrapped_client(database: Database, folder: Path, script: str, *, program: str = "pg_dump") -> list[Client]:
    """A client whose `program` is a shell script; $REAL is the real program."""
    server = server_of(database)
    real = choose_dump_client(server.version, server.major)
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        path = folder / name
        body = script if name == program else 'exec $REAL "$@"'
        path.write_text(f"#!/bin/sh\nREAL={real.directory / name}\n{body}\n")
        path.chmod(0o755)
    return [replace(real, directory=folder)]


def reason_when_stopped(database: Database, dump: Callable[[threading.Event], object]) -> Reason:
    """Why `dump` ended that was asked to stop while it waited for a lock that somebody holds."""
    stop = threading.Event()
    caught: list[DbmigrationError] = []

    def attempt() -> None:
        try:
            dump(stop)
        except DbmigrationError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    await_true(DUMP_WAITS, database)
    stop.set()
    thread.join(DEADLINE_S)
    (error,) = caught
    return error.reason


_DUMP_PROGRAM = """
import sys, threading
from pathlib import Path
from dbmigration.api.dumps import DumpFormat
from dbmigration.backup.dump import take_backup
from dbmigration.backup.shape import DumpShape
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server
folder, version, form, jobs = sys.argv[1:]
server = Server(version=version, version_num=0, major=int(version.partition(".")[0]), identity="t", database="d", user="t")
take_backup(ConnInfo.from_dsn(sys.stdin.read()), server, Path(folder), run_id="dead", name_prefix="studio/db",
            stop=threading.Event(), shape=DumpShape(DumpFormat(form), int(jobs)))
"""


@contextmanager
def waiting_dump(database: Database, folder: Path, shape: DumpShape = ONE_FILE) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that takes a backup into `folder` and waits for a lock. It is killed at the end, if it was not before."""
    runner = subprocess.Popen(
        [sys.executable, "-c", _DUMP_PROGRAM, str(folder), server_of(database).version, shape.format, str(shape.jobs)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        with locked_table(database):
            assert runner.stdin is not None
            runner.stdin.write(database.dsn.encode())
            runner.stdin.close()
            await_true(DUMP_WAITS, database)
            yield runner
    finally:
        runner.kill()
        runner.wait(DEADLINE_S)
