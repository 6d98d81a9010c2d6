"""A rollback that is rehearsed: its scripts run in a restored copy first, and what is gone there is told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, Rehearsal, RunOptions
from dbmigration.run.rehearse import PREFIX
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult, now
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

FILES = {
    "001_a.sql": "CREATE TABLE a (id int, note text, \"Odd, one\" int);\nINSERT INTO a SELECT n, 'x', n FROM generate_series(1, 100) AS n;",
    "002_b.sql": "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1), (2);",
    "rollback-002.sql": 'SELECT 1;\nDROP TABLE b;\nDELETE FROM a WHERE id > 97;\nALTER TABLE a DROP COLUMN "Odd, one";',
}
NAMES = ["001_a.sql", "002_b.sql"]
HOUR_MS = 3_600_000


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[Engine]:
    """Both files are applied; whatever a test does, no copy stays."""
    write_files(tmp_path / "migrations", FILES)
    options = RunOptions(tmp_path / "migrations", "test", backup=BackupTarget(tmp_path / "backups"))
    found = Engine(options, database.conninfo(), lambda _: None, StopRequest())
    assert found.run().error is None
    yield replace(found, options=replace(options, rehearsal=Rehearsal()))
    assert database.psql(f"SELECT count(*) FROM pg_database WHERE datname LIKE '{PREFIX}%'") == "0"


def back(engine: Engine, to: str = "001", **options: object) -> RunResult:
    return replace(engine, options=replace(engine.options, **options)).rollback(down_to(to))  # type: ignore[arg-type]


def test_its_scripts_run_in_the_copy_and_then_in_the_database(database: Database, engine: Engine) -> None:
    report = build_report(back(engine), environment=None)
    assert (report.reason, report.rolled_back_now) == (Reason.ROLLED_BACK, ("002_b.sql",))
    rehearsed = report.rehearsal
    assert rehearsed is not None
    assert (rehearsed.passed, rehearsed.plan_hash) == (True, report.plan_hash)
    assert [(file.name, file.statements) for file in rehearsed.files] == [("002_b.sql", 4)]
    assert ("public.b", "ACCESS EXCLUSIVE") in {(lock.table, lock.mode) for lock in rehearsed.locks}
    assert report.backup is not None
    assert report.backup.restored_at is not None
    assert applied_names(database) == ["001_a.sql"]


def test_what_is_gone_in_the_copy_is_told_table_by_table(engine: Engine) -> None:
    """The lines are what a person reads, so they are the promise."""
    found = back(engine, prepare=True).rehearsal
    assert found is not None
    assert found.lost == (
        'public.a."Odd, one": the column, in 100 rows',
        "public.a: 3 of 100 rows",
        "public.b: 2 rows, no table of that name is left",
    )


@pytest.mark.parametrize(
    ("script", "asked", "reason", "line"),
    [
        ("SELECT 1;\nDROP TABLE a, c;", Rehearsal(), Reason.REHEARSAL_FAILED, 2),
        ("SELECT 1;\nDROP TABLE b;\nSELECT pg_sleep(0.5);", Rehearsal(max_lock_ms=200), Reason.REHEARSAL_FAILED, 2),
        ("DROP TABLE b;\nDROP ROLE somebody;", Rehearsal(), Reason.REHEARSAL_UNSAFE, 2),
    ],
)
def test_what_stops_there_leaves_the_database_as_it_is(
    database: Database, engine: Engine, script: str, asked: Rehearsal, reason: Reason, line: int
) -> None:
    write_files(engine.options.directory, {"rollback-002.sql": script})
    result = back(engine, rehearsal=asked)
    assert result.error is not None
    assert (result.error.reason, result.error.place.file, result.error.place.line) == (reason, "rollback-002.sql", line)
    assert not result.executed_sql
    assert applied_names(database) == NAMES
    assert database.psql("SELECT count(*) FROM b") == "2"


def test_a_rollback_that_waits_is_rehearsed_once(database: Database, engine: Engine, tmp_path: Path) -> None:
    prepared = back(engine, run_id="prepare", approved=())
    assert (prepared.error, prepared.prepared) == (None, True)
    assert prepared.rehearsal is not None
    assert prepared.rehearsal.passed
    assert applied_names(database) == NAMES
    assert prepared.rollback is not None
    agreed = prepared.rollback.hash
    proved = Rehearsal(proved_plan=agreed, proved_ms={"002_b.sql": 5})
    done = back(engine, run_id="apply", approved=(agreed,), rehearsal=proved)
    assert (done.error, done.rehearsal) == (None, None)
    assert applied_names(database) == ["001_a.sql"]
    assert len(list(tmp_path.glob("backups/*.dump"))) == 3, "one of the first run, and one of each that had something to undo"


def test_the_rest_of_an_interrupted_rollback_is_measured_by_its_own_files(database: Database, engine: Engine) -> None:
    """What was undone before is not waited for again; where a file has no time of its own, that of all unnamed ones stands for it."""
    write_files(engine.options.directory, {"rollback-001.sql": "DROP TABLE a;"})
    whole = back(engine, to="000", approved=(), rehearsal=None).rollback
    assert whole is not None
    assert back(engine, to="001", rehearsal=None).succeeded

    def rest(**proved_ms: int) -> RunResult:
        proved = Rehearsal(proved_plan=whole.hash, proved_ms={**proved_ms, "*": HOUR_MS})
        return back(engine, to="000", rehearsal=proved, closes_at=now() + timedelta(minutes=10), window_ms=2 * HOUR_MS)

    unnamed = rest().error
    assert unnamed is not None
    assert unnamed.reason is Reason.WINDOW_CLOSED
    done = rest(**{"001_a.sql": 5})
    assert (done.error, done.rehearsed_ms) == (None, {"001_a.sql": 5})
    assert applied_names(database) == []


def test_a_table_that_the_role_may_not_read_is_named(database: Database, engine: Engine) -> None:
    from dbmigration.backup.contents import Contents, Rows
    from dbmigration.migrations.model import HistoryTable
    from dbmigration.run.lost import lost_in_copy

    database.psql("CREATE TABLE secret (id int)")
    before = Contents(tables={"public.secret (id)": Rows(3), "dbmigration.event (id)": Rows(9), "public.gone (id)": Rows(0)})
    with connect(database.conninfo(), application_name="dbmigration/test", settings=Settings()) as session:
        (line,) = lost_in_copy(session, before, HistoryTable())
    assert line.startswith("public.secret: cannot tell what is lost")
