"""A run that needs an approval executes the approved plan, what an interrupted run left of it, and nothing else."""

from dataclasses import replace
from pathlib import Path

from dbmigration.api.reasons import Reason
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

FILES = {f"00{n}_{t}.sql": f"CREATE TABLE {t} (id int PRIMARY KEY);" for n, t in enumerate("abc", 1)}
FILES |= {f"rollback-00{n}.sql": f"DROP TABLE {t};" for n, t in enumerate("abc", 1)}


def engine(database: Database, folder: Path, *approved: str, target: str | None = None, free: bool = False) -> Engine:
    write_files(folder, FILES)
    options = RunOptions(directory=folder, run_id="test", environment="production", target=target, approved=None if free else approved)
    return Engine(options, database.conninfo(), lambda _: None, StopRequest())


def plan_hash(database: Database, folder: Path) -> str:
    result = engine(database, folder).run()
    assert (result.reason, result.executed_sql) == (Reason.PREPARED, False)
    found = build_report(result, environment="production").plan_hash
    assert found is not None
    return found


def test_only_the_approved_plan_runs(database: Database, tmp_path: Path) -> None:
    wanted = plan_hash(database, tmp_path)
    assert engine(database, tmp_path, "f" * 64).run().reason is Reason.PREPARED
    assert database.psql("SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b', 'c')") == "0"
    result = engine(database, tmp_path, wanted).run()
    assert (result.reason, result.approved_hash) == (Reason.UP_TO_DATE, wanted)
    assert applied_names(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]


def test_the_rest_of_an_approved_plan_runs_and_more_than_it_does_not(database: Database, tmp_path: Path) -> None:
    wanted = plan_hash(database, tmp_path)
    engine(database, tmp_path, free=True, target="001").run()
    (tmp_path / "004_d.sql").write_text("CREATE TABLE d (id int PRIMARY KEY);")
    assert engine(database, tmp_path, wanted).run().reason is Reason.PREPARED
    (tmp_path / "004_d.sql").unlink()
    result = engine(database, tmp_path, wanted).run()
    assert (result.reason, result.approved_hash) == (Reason.UP_TO_DATE, wanted)
    assert [done.name for done in result.applied] == ["002_b.sql", "003_c.sql"]


def test_a_promoted_plan_runs_with_what_is_left_of_it_and_another_is_only_planned(database: Database, tmp_path: Path) -> None:
    wanted = plan_hash(database, tmp_path)
    engine(database, tmp_path, free=True, target="001").run()
    (tmp_path / "004_d.sql").write_text("CREATE TABLE d (id int PRIMARY KEY);")

    def promoted() -> RunResult:
        told = engine(database, tmp_path, free=True)
        return replace(told, options=replace(told.options, promoted=wanted)).run()

    found = promoted()
    assert (found.reason, found.executed_sql) == (Reason.PREPARED, False)
    assert not build_report(found, environment="production").complete
    (tmp_path / "004_d.sql").unlink()
    result = promoted()
    assert [done.name for done in result.applied] == ["002_b.sql", "003_c.sql"]
    assert build_report(result, environment="production").complete
    assert not build_report(engine(database, tmp_path, free=True, target="002").look(), environment="production").complete


def test_nothing_pending_needs_no_approval(database: Database, tmp_path: Path) -> None:
    engine(database, tmp_path, free=True).run()
    assert engine(database, tmp_path).run().reason is Reason.UP_TO_DATE


def test_a_rollback_needs_an_approval_of_its_own(database: Database, tmp_path: Path) -> None:
    engine(database, tmp_path, free=True).run()
    prepared = engine(database, tmp_path).rollback(down_to("001"))
    assert prepared.reason is Reason.PREPARED
    wanted = build_report(prepared, environment="production").plan_hash
    assert wanted is not None
    assert engine(database, tmp_path, wanted).rollback(down_to("001")).reason is Reason.ROLLED_BACK
    assert applied_names(database) == ["001_a.sql"]
