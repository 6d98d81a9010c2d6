"""--on-failure rollback: what a failed run takes back, what stays, and what it says of both."""

import os
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.run.engine import Engine
from dbmigration.run.options import OnFailure, RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import applied_names, write_files

FIRST = {"001_one.sql": "CREATE TABLE one (id int);", "rollback-001.sql": "DROP TABLE one;"}
GOOD = {
    "002_two.sql": "CREATE TABLE two (id int);",
    "rollback-002.sql": "DROP TABLE two;",
    "003_three.sql": "ALTER TABLE two ADD COLUMN three text;",
    "rollback-003.sql": "ALTER TABLE two DROP COLUMN three;",
}
BAD = {"004_four.sql": "CREATE TABLE four (id int);\nSELECT 1/0;"}


def run(database: Database, folder: Path, on_failure: OnFailure = OnFailure.ROLLBACK) -> RunResult:
    options = RunOptions(directory=folder, run_id=f"test-{os.urandom(3).hex()}", environment="production", on_failure=on_failure)
    return Engine(options, database.conninfo(), lambda _: None, StopRequest()).run()


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    """001 was applied by an earlier run."""
    directory = tmp_path / "migrations"
    write_files(directory, FIRST)
    assert run(database, directory).error is None
    return directory


def test_what_the_failed_run_applied_is_undone_newest_first_and_pending_again(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | BAD)
    done = run(database, folder)
    assert done.reason is Reason.SQL_FAILED
    assert [each.name for each in done.undone] == ["003_three.sql", "002_two.sql"]
    assert (done.applied, done.not_undone, done.version()) == ([], (), "001")
    assert [line.state for line in done.migrations()] == [State.APPLIED, State.PENDING, State.PENDING, State.FAILED]
    assert applied_names(database) == ["001_one.sql"]

    report = build_report(done, environment="production")
    assert (report.undone_now, report.not_undone, report.applied_now) == (("003_three.sql", "002_two.sql"), (), ())
    assert (report.reason, report.failure.file if report.failure else None) == (Reason.SQL_FAILED, "004_four.sql")

    write_files(folder, {"004_four.sql": "CREATE TABLE four (id int);"})
    again = run(database, folder)
    assert again.error is None
    assert [each.name for each in again.applied] == ["002_two.sql", "003_three.sql", "004_four.sql"]
    assert again.drift == ()


def test_stop_leaves_what_was_applied(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | BAD)
    done = run(database, folder, OnFailure.STOP)
    assert (done.reason, done.undone, done.not_undone, done.version()) == (Reason.SQL_FAILED, [], (), "003")
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]


def test_a_missing_script_ends_it_there_and_names_what_stays(database: Database, folder: Path) -> None:
    files = GOOD | BAD
    del files["rollback-002.sql"]
    write_files(folder, files)
    done = run(database, folder)
    assert done.reason is Reason.SQL_FAILED
    assert ([each.name for each in done.undone], done.not_undone) == (["003_three.sql"], ("002_two.sql",))
    assert done.error is not None
    assert "rollback-002.sql" in done.error.message
    assert applied_names(database) == ["001_one.sql", "002_two.sql"]
    assert [line.state for line in done.migrations()] == [State.APPLIED, State.APPLIED, State.PENDING, State.FAILED]


def test_a_rollback_script_that_fails_leaves_its_file_applied_and_the_first_error_counts(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | BAD | {"rollback-003.sql": "DROP TABLE nowhere;"})
    done = run(database, folder)
    assert (done.reason, done.error.place.file if done.error else None) == (Reason.SQL_FAILED, "004_four.sql")
    assert (done.undone, done.not_undone, done.working_on) == ([], ("002_two.sql", "003_three.sql"), "004_four.sql")
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]


def test_nothing_below_a_file_that_is_half_done_is_undone(database: Database, folder: Path) -> None:
    half = "-- Transaction: none\nCREATE TABLE half (id int);\nCREATE INDEX CONCURRENTLY half_id ON half (id);\nSELECT 1/0;"
    write_files(folder, GOOD | {"004_four.sql": half})
    done = run(database, folder)
    assert (done.reason, done.undone, done.not_undone) == (Reason.SQL_FAILED, [], ("002_two.sql", "003_three.sql"))
    assert done.error is not None
    assert "half done" in done.error.message
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]


def test_what_ran_seeds_is_not_undone(database: Database, folder: Path) -> None:
    seed = "INSERT INTO two (id) SELECT 1 WHERE NOT EXISTS (SELECT FROM two);"
    write_files(folder, GOOD | {"seed-a.sql": seed, "seed-b.sql": "SELECT 1/0;"})
    done = run(database, folder)
    assert (done.reason, done.undone, done.not_undone) == (Reason.SEED_FAILED, [], ("002_two.sql", "003_three.sql"))
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]


def test_a_failed_seed_with_none_before_it_takes_the_run_back(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | {"seed-a.sql": "SELECT 1/0;"})
    done = run(database, folder)
    assert (done.reason, [each.name for each in done.undone]) == (Reason.SEED_FAILED, ["003_three.sql", "002_two.sql"])
    assert applied_names(database) == ["001_one.sql"]


def test_an_interruption_takes_nothing_back(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | BAD)
    stop = StopRequest()
    options = RunOptions(directory=folder, run_id="test-stop", environment="production", on_failure=OnFailure.ROLLBACK)
    done = Engine(options, database.conninfo(), lambda at: stop.set() if at.message.startswith("applied 002") else None, stop).run()
    assert (done.reason, done.undone, done.not_undone) == (Reason.INTERRUPTED, [], ())
    assert applied_names(database) == ["001_one.sql", "002_two.sql"]


def test_below_a_file_of_which_nobody_knows_what_it_did_nothing_is_undone(database: Database, folder: Path) -> None:
    """Its procedure committed and then failed in an earlier run; 002 and 003 came after that."""
    midway = (
        "-- Transaction: none\nCREATE TABLE four (id int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO four VALUES (1); COMMIT; INSERT INTO four SELECT 1/0; END $$;\nCALL p();\n"
    )
    write_files(folder, {"004_four.sql": midway})
    assert run(database, folder).reason is Reason.SQL_FAILED
    write_files(folder, GOOD)
    done = run(database, folder)
    assert (done.reason, done.undone, done.not_undone) == (Reason.OUTCOME_UNKNOWN, [], ("002_two.sql", "003_three.sql"))
    assert done.error is not None
    assert (done.error.place.file, done.error.place.line) == ("004_four.sql", 4)
    assert "NOT undone: 003_three.sql, 002_two.sql, because nobody knows what 004_four.sql did" in done.error.message
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]
    assert database.psql("TABLE four") == "1"


def test_a_run_that_stops_says_what_stays_what_the_file_did_and_what_was_not_begun(database: Database, folder: Path) -> None:
    write_files(folder, GOOD | BAD | {"005_five.sql": "CREATE TABLE five (id int);"})
    told = build_report(run(database, folder, OnFailure.STOP), environment="production").message
    assert "nothing of 004_four.sql took effect" in told
    assert told.endswith("; this run had applied 002_two.sql, 003_three.sql, which stay; not begun: 005_five.sql")
    half = "-- Transaction: none\nCREATE TABLE half (id int);\nSELECT 1/0;\nCREATE INDEX CONCURRENTLY half_id ON half (id);"
    write_files(folder, {"004_four.sql": half})
    told = build_report(run(database, folder, OnFailure.STOP), environment="production").message
    assert told.endswith("1 of 3 statements are done, the next run goes on after them; not begun: 005_five.sql")
