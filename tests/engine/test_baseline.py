"""A database that was made before its history is adopted: recorded up to a version, and nothing is run."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.run.adopt import baseline
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database
from tests.engine.support import applied_names, apply_all, write_files

FILES = {
    "001_one.sql": "CREATE TABLE one (id int);",
    "002_two.sql": "-- Environment: production\nCREATE TABLE two (id int);",
    "003_three.sql": "CREATE TABLE three (id int);",
    "004_four.sql": "CREATE TABLE four (id int);",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    return tmp_path


def adopted(database: Database, folder: Path, version: str, *, environment: str = "staging") -> RunResult:
    options = RunOptions(directory=folder, run_id="test-baseline", environment=environment)
    return Engine(options, database.conninfo(), lambda _: None, StopRequest()).adopt(baseline(version))


def test_files_up_to_the_version_are_recorded_and_not_run(database: Database, folder: Path) -> None:
    result = adopted(database, folder, "003")
    assert (result.error, result.adopted) == (None, ["001_one.sql", "003_three.sql"])
    assert applied_names(database) == ["001_one.sql", "003_three.sql"]
    assert database.psql("SELECT to_regclass('one') IS NULL AND to_regclass('three') IS NULL") == "t"
    assert database.psql("SELECT kind, migration_name FROM dbmigration.event ORDER BY id").split("\n") == [
        "baselined|001_one.sql", "baselined|003_three.sql",
    ]  # fmt: skip
    assert result.version() == "003"
    assert result.pending() == ("004_four.sql",)


def test_a_history_table_without_rows_in_a_full_database_is_no_obstacle(database: Database, folder: Path) -> None:
    """baseline-with-empty-history"""
    database.psql("CREATE TABLE one (id int); ALTER TABLE one OWNER TO platform_owner")
    refused = dbmigration(database, "apply", "--dir", str(folder), "--environment", "staging")
    assert refused.status == 1
    assert "SQLSTATE 42P07" in refused.err
    assert "dbmigration baseline" in refused.err
    ended = dbmigration(database, "baseline", "1", "--dir", str(folder), "--environment", "staging", "--yes")
    assert ended.status == 0, ended.err
    assert dbmigration(database, "apply", "--dir", str(folder), "--environment", "staging").status == 0
    assert applied_names(database) == ["001_one.sql", "003_three.sql", "004_four.sql"]


def test_a_baseline_that_is_there_already_changes_nothing_however_far_the_history_went(database: Database, folder: Path) -> None:
    adopted(database, folder, "001")
    apply_all(database, write_files(folder, {}))
    before = database.psql("SELECT count(*) FROM dbmigration.event")
    result = adopted(database, folder, "001")
    assert (result.error, result.adopted) == (None, [])
    assert database.psql("SELECT count(*) FROM dbmigration.event") == before


def test_a_file_that_arrived_late_is_not_waved_through(database: Database, folder: Path) -> None:
    adopted(database, folder, "003")
    write_files(folder, {"000_late.sql": "SELECT 1;"})
    result = adopted(database, folder, "003")
    assert result.error is not None
    assert result.error.reason is Reason.OUT_OF_ORDER
    assert applied_names(database) == ["001_one.sql", "003_three.sql"]


@pytest.mark.parametrize(
    ("version", "environment", "reason"),
    [
        ("009", "staging", Reason.TARGET_UNKNOWN),
        ("x", "staging", Reason.TARGET_UNKNOWN),
        ("003", "prod", Reason.UNKNOWN_ENVIRONMENT),
    ],
)
def test_words_that_mean_nothing_record_nothing(database: Database, folder: Path, version: str, environment: str, reason: Reason) -> None:
    result = adopted(database, folder, version, environment=environment)
    assert result.error is not None
    assert result.error.reason is reason
    assert database.psql("SELECT to_regclass('dbmigration.event') IS NULL") == "t"


def test_the_unfinished_statements_of_an_adopted_file_are_forgotten(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_one.sql": "-- Transaction: none\nCREATE TABLE one (id int);\nSELECT 1/0;\n"})
    options = RunOptions(directory=tmp_path, run_id="test-baseline")
    engine = Engine(options, database.conninfo(), lambda _: None, StopRequest())
    assert engine.run().error is not None
    assert engine.adopt(baseline("001")).adopted == [file.name for file in files.files]
    assert database.psql("SELECT count(*) FROM dbmigration.progress") == "0"


def test_in_a_pipe_somebody_has_to_say_yes_or_only_look(database: Database, folder: Path) -> None:
    words = ("baseline", "003", "--dir", str(folder), "--environment", "staging")
    assert dbmigration(database, *words).status == 2
    looked = dbmigration(database, *words, "--dry-run")
    assert (looked.status, looked.out.splitlines()[:2]) == (0, ["001_one.sql", "003_three.sql"])
    assert database.psql("SELECT to_regclass('dbmigration.event') IS NULL") == "t"
    assert dbmigration(database, *words, "--yes").status == 0
    assert dbmigration(database, *words, "--yes").out.splitlines()[-1].startswith("Nothing to record")
