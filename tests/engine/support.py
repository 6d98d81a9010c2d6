"""What engine tests share: folders of migrations, runs in this process, runs in a process of their own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import History, HistoryTable, MigrationFile, MigrationSet
from dbmigration.migrations.plan import make_plan
from dbmigration.postgres import lock
from dbmigration.postgres.apply import FileApplied, FileProgress, apply_file, rollback_file
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session
from dbmigration.postgres.settings import Execution
from dbmigration.run.result import RunResult
from tests.engine.conftest import Database
from tests.engine.server import wait_until

PLATFORM = Path(__file__).parents[2] / "migrations"
"""The platform's own migrations 001-004."""

PLATFORM_TABLE = HistoryTable("platform", "schema_migrations")
OUR_TABLE = HistoryTable()

GOOD = "BEGIN;\nCREATE TABLE good (id int PRIMARY KEY);\nCOMMIT;\n"
"""A file with which nothing is wrong."""

QUICK = Execution(lock_timeout_ms=50, lock_retries=2)
"""For tests where a lock is never given."""


def write_files(directory: Path, files: Mapping[str, str | bytes]) -> MigrationSet:
    """Write the files of a migration folder (made when missing) and read it."""
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_set(directory)


@dataclass
class Applied:
    """What one run in this process did."""

    files: list[str] = field(default_factory=list)
    results: list[FileApplied] = field(default_factory=list)
    progress: list[FileProgress] = field(default_factory=list)


def table_of(files: MigrationSet) -> HistoryTable:
    return files.config.history or OUR_TABLE


def apply_pending(
    session: Session,
    files: MigrationSet,
    *,
    environment: str | None = "production",
    target: str | None = None,
    execution: Execution | None = None,
    reapply_rolled_back: bool = False,
    run_id: str = "test-run",
    into: Applied | None = None,
    on_progress: Callable[[FileProgress], None] = lambda _: None,
) -> Applied:
    """Lock, plan and apply in `session`, as the engine does, and give the lock back; after an error it stays until the session ends.

    `into` has what was done even when it raises; `on_progress` is called as well.
    """
    done = into or Applied()
    table = table_of(files)

    def note(at: FileProgress) -> None:
        done.progress.append(at)
        on_progress(at)

    lock.acquire(session, wait_s=10, on_wait=lambda _: None)
    plan = make_plan(
        files,
        read_history(session, table),
        environment=environment,
        target=target,
        out_of_order=False,
        reapply_rolled_back=reapply_rolled_back,
    )
    for file in plan.pending:
        result = apply_file(session, file, table=table, execution=execution or Execution(), run_id=run_id, on_progress=note)
        done.files.append(file.name)
        done.results.append(result)
    lock.release(session)
    return done


def apply_all(database: Database, files: MigrationSet, *, execution: Execution | None = None, target: str | None = None) -> Applied:
    """The same in a session of its own, as the owner."""
    with database.connect(execution=execution) as session:
        return apply_pending(session, files, execution=execution, target=target)


def roll_back(session: Session, files: MigrationSet, name: str) -> FileApplied:
    return rollback_file(
        session, file_named(files, name), table=table_of(files), execution=Execution(), run_id="test-rollback", on_progress=lambda _: None
    )


def file_named(files: MigrationSet, name: str) -> MigrationFile:
    return next(file for file in files.files if file.name == name)


def history_of(database: Database, table: HistoryTable = OUR_TABLE) -> History:
    with database.connect(writable=False) as session:
        return read_history(session, table)


def applied_names(database: Database, table: HistoryTable = OUR_TABLE) -> list[str]:
    """Rows of the history table, in order of their ids, straight from the table."""
    rows = database.psql(f"SELECT migration_name FROM {table} ORDER BY id")
    return rows.split("\n") if rows else []


def statements_done(database: Database, name: str) -> list[int]:
    rows = database.psql(f"SELECT statement FROM dbmigration.progress WHERE migration_name = '{name}' AND state = 'done' ORDER BY 1")
    return [int(row) for row in rows.split("\n")] if rows else []


def start_apply(database: Database, directory: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """`dbmigration apply` in a process of its own; `environ` is added to its environment."""
    ours = {"PYTHONPATH": str(PLATFORM.parent / "operator"), "DATABASE_URL": database.dsn}
    return subprocess.Popen(
        [sys.executable, "-m", "dbmigration.cli.main", "apply", "--dir", str(directory), "--no-backup", *arguments],
        env=database.server.environment(database.name) | ours | dict(environ or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(database: Database, condition: str, what: str) -> None:
    """Until an SQL condition is true in the database."""
    wait_until(lambda: database.psql(f"SELECT {condition}") == "t", what)


def dump_schema(database: Database, *, without: tuple[str, ...] = ("dbmigration",), tables: tuple[str, ...] = ()) -> str:
    """pg_dump -s, without comments and without what is ours."""
    options = [*(f"--exclude-schema={name}" for name in without), *(f"--exclude-table={name}" for name in tables)]
    text = database.server.run("pg_dump", "-s", *options, database=database.name)
    return "\n".join(line for line in text.splitlines() if line and not line.startswith(("--", "\\restrict", "\\unrestrict")))


def with_one_killed(run: Callable[[], RunResult], find: Callable[[], int | None]) -> RunResult:
    """What `run` returns when the process that `find` finds is killed in the middle of it, as the kernel does without memory."""
    found: list[RunResult] = []
    worker = threading.Thread(target=lambda: found.append(run()))
    worker.start()
    victims: list[int] = []

    def at_work() -> bool:
        pid = find()
        if pid is not None:
            victims.append(pid)
        return bool(victims) or not worker.is_alive()

    wait_until(at_work, "the file runs in the copy")
    os.kill(victims[0], signal.SIGKILL)
    worker.join(120)
    (result,) = found
    return result
