"""Rehearsals and what a run waits for: who approves sees times, and no file is begun that a window has no room for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.run import steps
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, Rehearsal, RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

FILES = {
    "001_a.sql": "CREATE TABLE a (id int PRIMARY KEY);\nSELECT pg_sleep(0.2);",
    "002_b.sql": "CREATE TABLE b (id int PRIMARY KEY);",
    "003_c.sql": "CREATE TABLE c (id int PRIMARY KEY);",
}
CLOSES = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR_MS = 3_600_000


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Engine:
    """Rehearses what it is about to apply."""
    folder = tmp_path / "migrations"
    write_files(folder, FILES)
    options = RunOptions(folder, "test-gates", backup=BackupTarget(tmp_path / "backups"), rehearsal=Rehearsal())
    return Engine(options, database.conninfo(), lambda _: None, StopRequest())


def run(engine: Engine, **options: object) -> RunResult:
    return replace(engine, options=replace(engine.options, **options)).run()  # type: ignore[arg-type]


def dumps(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("backups/*.dump")))


def nothing_ran(database: Database) -> bool:
    return database.psql("SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b', 'c', 'schema_migrations')") == "0"


def test_a_run_that_prepares_rehearses_and_what_passed_is_taken_at_its_word(database: Database, engine: Engine, tmp_path: Path) -> None:
    prepared = build_report(run(engine, prepare=True), environment=None)
    assert (prepared.reason, prepared.executed_sql) == (Reason.PREPARED, False)
    assert prepared.rehearsal is not None
    assert prepared.rehearsal.passed
    assert prepared.rehearsal.plan_hash == prepared.plan_hash
    assert "rehearsed in" in prepared.message
    assert dumps(tmp_path) == 1
    assert nothing_ran(database)

    known = Rehearsal(proved_plan=prepared.plan_hash, proved_ms={file.name: file.duration_ms for file in prepared.rehearsal.files})
    again = build_report(run(engine, prepare=True, rehearsal=known), environment=None)
    assert (again.reason, again.rehearsal) == (Reason.PREPARED, None)
    assert "rehearsed in" in again.message
    assert dumps(tmp_path) == 1, "a plan that is known to pass costs no other dump"

    applied = build_report(run(engine, rehearsal=known), environment=None)
    assert (applied.outcome, applied.rehearsal) == (Outcome.SUCCEEDED, None)
    assert applied_names(database) == list(FILES)
    assert dumps(tmp_path) == 2


def test_what_an_interrupted_run_left_of_a_plan_that_passed_is_not_rehearsed_again(database: Database, engine: Engine) -> None:
    plan = engine.look().plan
    assert plan is not None
    known = Rehearsal(proved_plan=plan.hash, proved_ms={"001_a.sql": 300, "002_b.sql": 20, "003_c.sql": 10})
    assert run(engine, rehearsal=None, target="001").succeeded
    rest = run(engine, rehearsal=known)
    assert rest.succeeded
    assert rest.rehearsal is None
    assert rest.rehearsed_ms == {"002_b.sql": 20, "003_c.sql": 10}
    assert applied_names(database) == list(FILES)


def test_another_plan_than_the_one_that_passed_is_rehearsed(engine: Engine) -> None:
    report = build_report(run(engine, rehearsal=Rehearsal(proved_plan="0" * 64, proved_ms={})), environment=None)
    assert report.rehearsal is not None
    assert [file.name for file in report.rehearsal.files] == list(FILES)


def test_what_does_not_fit_into_what_is_left_of_the_window_is_not_begun(
    database: Database, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files take at least 0.2 s, and with their margin 0.3 s."""
    monkeypatch.setattr(steps, "now", lambda: CLOSES - SECOND / 4)
    report = build_report(run(engine, closes_at=CLOSES, window_ms=HOUR_MS), environment=None)
    assert (report.outcome, report.reason, report.executed_sql) == (Outcome.INTERRUPTED, Reason.WINDOW_CLOSED, False)
    assert report.rehearsal is not None
    assert report.rehearsal.passed
    assert dumps(tmp_path) == 1
    assert nothing_ran(database)


def test_what_fits_is_applied(database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "now", lambda: CLOSES - 600 * SECOND)
    assert run(engine, closes_at=CLOSES, window_ms=HOUR_MS).succeeded
    assert applied_names(database) == list(FILES)


def test_files_that_fit_no_window_together_are_applied_as_far_as_this_one_goes(
    database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven seconds with their margin are more than the nine of a window; the first file fits into the four that are left."""
    monkeypatch.setattr(steps, "now", lambda: CLOSES - 4 * SECOND)
    plan = engine.look().plan
    assert plan is not None
    known = Rehearsal(proved_plan=plan.hash, proved_ms={"001_a.sql": 1000, "002_b.sql": 5000, "003_c.sql": 1000})
    report = build_report(run(engine, rehearsal=known, backup=None, closes_at=CLOSES, window_ms=9000), environment=None)
    assert (report.outcome, report.reason) == (Outcome.INTERRUPTED, Reason.WINDOW_CLOSED)
    assert report.message.startswith("002_b.sql took 5.0 s in the rehearsal, and the window closes in 4.0 s")
    assert applied_names(database) == ["001_a.sql"]
