"""The command line as a person and a script have it: one process, its stdout, stderr and exit status."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbmigration.api.report import Report
from tests.engine.conftest import Database
from tests.engine.server import PASSWORD

COMMAND = [sys.executable, "-m", "dbmigration.cli.main"]
WITHIN_S = 60


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    def report(self) -> Report:
        assert len(self.out.splitlines()) == 1, self.out
        return Report.model_validate_json(self.out)


def environment_of(database: Database) -> dict[str, str]:
    return database.server.environment(database.name) | {"COLUMNS": "120"}


def dbmigration(database: Database, *words: str, changes: dict[str, str] | None = None, cwd: Path | None = None) -> Ended:
    done = subprocess.run(
        [*COMMAND, *words],
        env=environment_of(database) | (changes or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        cwd=cwd,
    )
    assert PASSWORD not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "a pipe gets no escape sequences"
    return Ended(done.returncode, done.stdout, done.stderr)


def succeeds(database: Database, *words: str, changes: dict[str, str] | None = None, cwd: Path | None = None) -> Ended:
    """The same, and when it does not exit with 0, the test says what it said."""
    ended = dbmigration(database, *words, changes=changes, cwd=cwd)
    assert ended.status == 0, ended.err
    return ended


def asked_to_stop(database: Database, *words: str, once: Callable[[], object], changes: dict[str, str] | None = None) -> int:
    """The exit status of a command that gets SIGTERM as soon as `once` returns."""
    process = subprocess.Popen([*COMMAND, *words], env=environment_of(database) | (changes or {}), stdout=subprocess.PIPE)
    try:
        once()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
        process.wait()
    return process.returncode


def three_migrations(tmp_path: Path) -> Path:
    """Three migrations, the last only in production; rollback scripts for the first two."""
    made = tmp_path / "migrations"
    made.mkdir()
    for number, name in ((1, "one"), (2, "two")):
        (made / f"00{number}_{name}.sql").write_text(f"BEGIN;\nCREATE TABLE {name} (id int PRIMARY KEY);\nCOMMIT;\n")
        (made / f"rollback-00{number}.sql").write_text(f"DROP TABLE {name};\n")
    (made / "verify-002.sql").write_text("SELECT count(*) = 0 FROM two;\n")
    (made / "003_three.sql").write_text("-- Environment: production\nCREATE TABLE three (id int);\n")
    return made


def tables(database: Database) -> str:
    return database.psql("SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'")


def staging(folder: Path) -> list[str]:
    return ["--dir", str(folder), "--environment", "staging"]
