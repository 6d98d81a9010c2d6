"""One writer for each database: the first resource that changes it claims it, and nobody else writes unless a person names the owner."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import Exit
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.claim import Owner, Taken, stored, taken, write
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

STUDIO = Owner("studio", "studio", "uid-1")
OTHER = Owner("staging", "studio", "uid-2")
FILES = {"001_one.sql": "CREATE TABLE one (id int);", "rollback-001.sql": "DROP TABLE one;"}
SECOND = {"002_two.sql": "CREATE TABLE two (id int);"}
NO_OPTIONS = RunOptions(directory=Path(), run_id="test-claims", environment="staging")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    return tmp_path


def engine(database: Database, folder: Path, owner: Owner | None, *, claimed_by: str | None = None, baseline: str | None = None) -> Engine:
    options = replace(NO_OPTIONS, directory=folder, owner=owner, claimed_by=claimed_by, baseline=baseline)
    return Engine(options, database.conninfo(), lambda _: None, StopRequest())


def run(database: Database, folder: Path, owner: Owner | None, *, claimed_by: str | None = None) -> RunResult:
    return engine(database, folder, owner, claimed_by=claimed_by).run()


def claims(database: Database) -> list[str]:
    """Who claimed the database, first to last."""
    owner = "concat_ws('/', detail->'claim'->>'namespace', detail->'claim'->>'name')"
    rows = database.psql(f"SELECT {owner} FROM dbmigration.event WHERE kind = 'claimed' ORDER BY id")
    return rows.split("\n") if rows else []


def reason_of(result: RunResult) -> Reason | None:
    return result.error.reason if result.error else None


def test_the_first_resource_claims_and_another_is_refused_before_any_sql(database: Database, folder: Path) -> None:
    first = run(database, folder, STUDIO)
    assert (first.error, first.owner, claims(database)) == (None, "studio/studio", ["studio/studio"])
    write_files(folder, SECOND)
    second = run(database, folder, OTHER)
    assert (reason_of(second), second.owner, second.executed_sql) == (Reason.DATABASE_CLAIMED, "studio/studio", False)
    assert applied_names(database) == ["001_one.sql"]
    report = build_report(second, environment="staging").database
    assert report is not None
    assert report.claim == "studio/studio"
    assert 'takeOver: "studio/studio"' in str(second.error)


def test_a_resource_that_has_nothing_to_do_is_refused_alike(database: Database, folder: Path) -> None:
    assert run(database, folder, STUDIO).error is None
    assert reason_of(run(database, folder, OTHER)) is Reason.DATABASE_CLAIMED


def test_the_owner_goes_on_and_writes_its_claim_once(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    write_files(folder, SECOND)
    assert (run(database, folder, STUDIO).error, run(database, folder, STUDIO).error) == (None, None)
    assert claims(database) == ["studio/studio"]


def test_a_resource_made_anew_under_its_name_takes_its_claim_up(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    assert run(database, folder, replace(STUDIO, uid="uid-9")).error is None
    assert claims(database) == ["studio/studio", "studio/studio"]
    assert database.psql("SELECT value::jsonb->>'uid' FROM dbmigration.meta WHERE key = 'claim'") == "uid-9"


def test_the_same_name_in_a_cluster_of_another_name_is_somebody_else(database: Database, folder: Path) -> None:
    run(database, folder, replace(STUDIO, cluster="rome"))
    refused = run(database, folder, replace(STUDIO, cluster="milan"))
    assert (reason_of(refused), refused.owner) == (Reason.DATABASE_CLAIMED, "studio/studio@rome")


def test_taking_over_names_the_owner_and_locks_the_former_one_out(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    assert reason_of(run(database, folder, OTHER, claimed_by="studio/another")) is Reason.DATABASE_CLAIMED
    taken = run(database, folder, OTHER, claimed_by="studio/studio")
    assert (taken.error, taken.owner, claims(database)) == (None, "staging/studio", ["studio/studio", "staging/studio"])
    assert reason_of(run(database, folder, STUDIO)) is Reason.DATABASE_CLAIMED
    # The field stays in the manifest: it takes nothing from whoever comes later.
    third = Owner("third", "studio", "uid-3")
    assert run(database, folder, third, claimed_by="staging/studio").error is None
    assert reason_of(run(database, folder, OTHER, claimed_by="studio/studio")) is Reason.DATABASE_CLAIMED


def test_rolling_back_is_refused_alike(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    assert reason_of(engine(database, folder, OTHER).rollback(down_to("0"))) is Reason.DATABASE_CLAIMED
    assert applied_names(database) == ["001_one.sql"]
    assert engine(database, folder, STUDIO).rollback(down_to("0")).error is None


def test_a_claim_that_came_along_in_a_dump_of_another_database_holds_nobody_back(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    database.psql("UPDATE dbmigration.meta SET value = jsonb_set(value::jsonb, '{identity}', '\"1/1\"')::text WHERE key = 'claim'")
    assert run(database, folder, OTHER).error is None
    assert claims(database) == ["studio/studio", "staging/studio"]


def test_a_claim_that_nobody_can_read_is_refused(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    database.psql("UPDATE dbmigration.meta SET value = 'mine' WHERE key = 'claim'")
    assert reason_of(run(database, folder, STUDIO)) is Reason.DATABASE_CLAIMED


def test_what_a_person_made_is_claimed_by_the_first_resource_that_looks(database: Database, folder: Path) -> None:
    assert run(database, folder, None).error is None
    assert claims(database) == []
    assert run(database, folder, STUDIO).error is None
    assert claims(database) == ["studio/studio"]


def test_a_run_with_nothing_to_do_leaves_a_strange_database_as_it_is(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, {"001_one.sql": "-- Environment: production\nCREATE TABLE one (id int);"})
    assert run(database, tmp_path, STUDIO).error is None
    assert database.psql("SELECT to_regnamespace('dbmigration') IS NULL") == "t"


def test_the_command_line_is_refused_until_it_names_the_owner(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    write_files(folder, SECOND)
    refused = dbmigration(database, "apply", "--dir", str(folder))
    assert (refused.status, applied_names(database)) == (Exit.FAILED, ["001_one.sql"])
    assert "--claimed-by studio/studio" in refused.err
    done = dbmigration(database, "apply", "--dir", str(folder), "--claimed-by", "studio/studio")
    assert (done.status, applied_names(database)) == (Exit.OK, ["001_one.sql", "002_two.sql"])
    assert claims(database) == ["studio/studio"]
    assert dbmigration(database, "plan", "--dir", str(folder)).status == Exit.OK


def test_a_first_run_with_a_baseline_records_up_to_it_and_applies_the_rest(database: Database, folder: Path) -> None:
    write_files(folder, SECOND)
    result = engine(database, folder, STUDIO, baseline="001").run()
    assert (result.error, result.baselined, [done.name for done in result.applied]) == (None, ["001_one.sql"], ["002_two.sql"])
    assert database.psql("SELECT to_regclass('one') IS NULL AND to_regclass('two') IS NOT NULL") == "t"
    assert (result.version(), claims(database)) == ("002", ["studio/studio"])
    again = engine(database, folder, STUDIO, baseline="001").run()
    assert (again.error, again.baselined, again.applied) == (None, [], [])


def test_a_baseline_where_something_is_recorded_changes_nothing(database: Database, folder: Path) -> None:
    run(database, folder, STUDIO)
    write_files(folder, SECOND)
    result = engine(database, folder, STUDIO, baseline="002").run()
    assert (result.error, result.baselined, [done.name for done in result.applied]) == (None, [], ["002_two.sql"])


def test_a_baseline_that_is_no_file_is_refused_with_nothing_recorded(database: Database, folder: Path) -> None:
    result = engine(database, folder, STUDIO, baseline="009").run()
    assert reason_of(result) is Reason.TARGET_UNKNOWN
    assert database.psql("SELECT to_regnamespace('dbmigration') IS NULL") == "t"


def test_a_claim_whose_event_is_gone_stands_all_the_same(database: Database) -> None:
    with database.connect() as session:
        claimed = write(session, HistoryTable(), STUDIO, run_id="r-1")
        assert taken(session, claimed).run_id == "r-1"
        session.query("DELETE FROM dbmigration.event")
        assert (stored(session), taken(session, claimed)) == (claimed, Taken())
