"""`dbmigration drift`, and what apply and verify say of drift, as a person and a script see it."""

from pathlib import Path

import pytest

from dbmigration.cli.exits import Exit
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.server import OWNER
from tests.engine.support import write_files

SET = {"001_app.sql": "CREATE SCHEMA app;\nCREATE TABLE app.projects (id int, region text);\n", "verify-001.sql": "SELECT true;\n"}
BY_HAND = "ALTER TABLE app.projects ALTER region TYPE varchar(20)"
NAMED = "app.projects.region: text → varchar(20)"


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> str:
    write_files(tmp_path / "set", SET)
    succeeds(database, "apply", "--dir", str(tmp_path / "set"))
    return str(tmp_path / "set")


def test_before_the_first_run_there_is_nothing_to_compare_with(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, SET)
    assert "nothing to compare" in succeeds(database, "drift", "--dir", str(tmp_path)).out
    assert dbmigration(database, "drift", "--accept", "--dir", str(tmp_path)).status == Exit.FAILED


def test_no_drift_exits_with_0(database: Database, folder: str) -> None:
    assert succeeds(database, "drift", "--dir", folder).out.splitlines()[-1].startswith("No drift")


def test_drift_is_named_and_exits_with_1_until_it_is_accepted(database: Database, folder: str) -> None:
    database.psql(BY_HAND, user=OWNER)
    ended = dbmigration(database, "drift", "--dir", folder)
    assert (ended.status, NAMED in ended.out, ended.err) == (Exit.FAILED, True, "")
    assert NAMED in succeeds(database, "drift", "--accept", "--dir", folder).out
    assert NAMED not in succeeds(database, "drift", "--dir", folder).out


def test_drift_stands_in_the_json_report(database: Database, folder: str) -> None:
    database.psql(BY_HAND, user=OWNER)
    ended = dbmigration(database, "drift", "--json", "--dir", folder)
    assert (ended.status, ended.report().drift, ended.report().drift_count) == (Exit.FAILED, (NAMED,), 1)


def test_a_database_whose_runs_do_not_look_can_be_looked_at(database: Database, folder: str) -> None:
    (Path(folder) / "dbmigration.toml").write_text('[drift]\npolicy = "off"\n')
    database.psql(BY_HAND, user=OWNER)
    assert NAMED not in succeeds(database, "apply", "--dir", folder).out
    assert NAMED in dbmigration(database, "drift", "--dir", folder).out


def test_apply_names_drift_and_refuses_when_told_so(database: Database, folder: str) -> None:
    database.psql(BY_HAND, user=OWNER)
    assert NAMED in succeeds(database, "apply", "--dir", folder).out
    refused = dbmigration(database, "apply", "--drift", "refuse", "--dir", folder)
    assert refused.status == Exit.FAILED
    assert "SchemaDrifted" in refused.err.splitlines()[0]


def test_verify_names_drift(database: Database, folder: str) -> None:
    database.psql(BY_HAND, user=OWNER)
    assert NAMED in succeeds(database, "verify", "--dir", folder).out
    assert dbmigration(database, "verify", "--drift", "refuse", "--dir", folder).status == Exit.FAILED


def test_many_differences_are_counted_by_apply_and_named_by_drift(database: Database, folder: str) -> None:
    database.psql("".join(f"CREATE TABLE app.t{number} (id int);" for number in range(8)))
    applied = succeeds(database, "apply", "--dir", folder).out
    assert ("app.t4 added" in applied, "app.t5 added" in applied, "3 more" in applied) == (True, False, True)
    assert "app.t7 added" in dbmigration(database, "drift", "--dir", folder).out
