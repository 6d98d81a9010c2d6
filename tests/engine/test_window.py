"""A run and the clock: what only prepares executes nothing, and no file is begun after the window's end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.run import steps
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

FILES = {
    "001_a.sql": "CREATE TABLE a (id int PRIMARY KEY);",
    "rollback-001.sql": "DROP TABLE a;",
    "002_b.sql": "CREATE TABLE b (id int PRIMARY KEY);",
    "rollback-002.sql": "DROP TABLE b;",
    "003_c.sql": "CREATE TABLE c (id int PRIMARY KEY);",
    "rollback-003.sql": "DROP TABLE c;",
}
CLOSES = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)


def engine(database: Database, folder: Path, **options: object) -> Engine:
    write_files(folder, FILES)
    given = RunOptions(directory=folder, run_id="test-window", environment="production", **options)  # type: ignore[arg-type]
    return Engine(given, database.conninfo(), lambda _: None, StopRequest())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migrations"


def test_a_run_that_prepares_plans_and_executes_nothing(database: Database, folder: Path, tmp_path: Path) -> None:
    result = engine(database, folder, prepare=True, backup=BackupTarget(tmp_path / "backups")).run()
    said = build_report(result, environment="production")
    assert (said.outcome, said.reason, said.executed_sql) == (Outcome.SUCCEEDED, Reason.PREPARED, False)
    assert said.pending_names == ("001_a.sql", "002_b.sql", "003_c.sql")
    assert said.plan_hash is not None
    assert not (tmp_path / "backups").exists()
    assert database.psql("SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b', 'c', 'schema_migrations')") == "0"


def test_nothing_to_prepare_is_up_to_date(database: Database, folder: Path) -> None:
    assert engine(database, folder).run().reason is Reason.UP_TO_DATE
    assert engine(database, folder, prepare=True).run().reason is Reason.UP_TO_DATE


def test_a_rollback_that_prepares_undoes_nothing(database: Database, folder: Path) -> None:
    engine(database, folder).run()
    result = engine(database, folder, prepare=True).rollback(down_to("001"))
    assert (result.reason, result.rolled_back, result.executed_sql) == (Reason.PREPARED, [], False)
    assert applied_names(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]


def test_the_clock_is_asked_before_each_file(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = engine(database, folder, closes_at=CLOSES)
    # The window closes while the second file runs: it is finished, and the third is not begun.
    monkeypatch.setattr(steps, "now", lambda: CLOSES - timedelta(seconds=1) if len(applied_names_or_none()) < 2 else CLOSES)

    def applied_names_or_none() -> list[str]:
        there = database.psql("SELECT to_regclass('dbmigration.schema_migrations') IS NOT NULL") == "t"
        return applied_names(database) if there else []

    result = at_work.run()
    said = build_report(result, environment="production")
    assert (said.outcome, said.reason, said.executed_sql) == (Outcome.INTERRUPTED, Reason.WINDOW_CLOSED, True)
    assert said.applied_now == ("001_a.sql", "002_b.sql")
    assert said.pending_names == ("003_c.sql",)
    assert applied_names(database) == ["001_a.sql", "002_b.sql"]


def test_after_the_end_there_is_no_backup(database: Database, folder: Path, tmp_path: Path) -> None:
    late = engine(database, folder, closes_at=CLOSES - timedelta(days=3650), backup=BackupTarget(tmp_path / "backups"))
    result = late.run()
    assert (result.reason, result.executed_sql, result.backup) == (Reason.WINDOW_CLOSED, False, None)
    assert not (tmp_path / "backups").exists()
