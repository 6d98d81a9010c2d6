"""`dbmigration test`: up, verify, down and up again for each migration, and the object by object truth about a rollback."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from dbmigration.cli.exits import Exit
from dbmigration.scratch.database import PREFIX
from tests.engine.command_line import COMMAND, WITHIN_S, Ended, dbmigration, environment_of
from tests.engine.conftest import Database
from tests.engine.server import PASSWORD, wait_until
from tests.engine.support import PLATFORM, dump_schema, write_files

GOOD = {
    "001_app.sql": "BEGIN;\nCREATE SCHEMA app;\nCREATE TABLE app.projects (id int PRIMARY KEY, region text, name text);\nCOMMIT;\n",
    "rollback-001.sql": "DROP SCHEMA app CASCADE;\n",
    "verify-001.sql": "SELECT count(*) = 0 FROM app.projects;\n",
    "002_index.sql": "CREATE INDEX CONCURRENTLY by_region ON app.projects (region);\n",
    "rollback-002.sql": "DROP INDEX CONCURRENTLY app.by_region;\n",
}


SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"


def started(database: Database, directory: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "test", "--dir", str(directory), *words],
        env=environment_of(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tried(database: Database, directory: Path, *words: str) -> Ended:
    ended = dbmigration(database, "test", "--dir", str(directory), *words)
    assert leftovers(database) == "", "whatever happened, the scratch databases are gone"
    return ended


def leftovers(database: Database) -> str:
    return database.psql(f"SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{PREFIX}%'")


def outcomes(ended: Ended) -> dict[str, str]:
    """The last column of each file's line."""
    lines = [line for line in ended.out.splitlines() if re.match(r"\d{3}_", line)]
    return {line.split()[0][:3]: re.split(r"  +", line)[-1] for line in lines}


def test_a_good_set_passes_and_the_named_database_is_not_touched(database: Database, tmp_path: Path) -> None:
    before = dump_schema(database, without=())
    write_files(tmp_path, GOOD)
    ended = tried(database, tmp_path)
    assert (ended.status, ended.err, outcomes(ended)) == (Exit.OK, "", {"001": "passed", "002": "passed"})
    assert re.match(r"001_app.sql +up +\S+ms  verified  down +\S+ms  up again +\S+ms  passed", ended.out.splitlines()[1])
    assert dump_schema(database, without=()) == before


def test_the_platforms_own_set_passes(database: Database) -> None:
    ended = tried(database, PLATFORM, "--environment", "production", "--require-rollback")
    assert (ended.status, set(outcomes(ended).values())) == (Exit.OK, {"passed"})
    assert tried(database, PLATFORM).status == Exit.USAGE, "004's header names an environment"
    assert "004" not in outcomes(tried(database, PLATFORM, "--environment", "staging"))


def test_what_a_rollback_does_not_restore_is_named_object_by_object(database: Database, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        GOOD
        | {
            "003_more.sql": "ALTER TABLE app.projects ALTER region TYPE varchar(20), ADD COLUMN size int;\n"
            "CREATE TABLE app.notes (id int);\nDROP INDEX app.by_region;\n",
            "rollback-003.sql": "ALTER TABLE app.projects DROP COLUMN size;\n",
            "004_next.sql": "CREATE TABLE app.next (id int);\n",
            "rollback-004.sql": "DROP TABLE app.next;\n",
        },
    )
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)) == (Exit.FAILED, {"001": "passed", "002": "passed", "003": "failed", "004": "passed"})
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"{tmp_path}/rollback-003.sql: error: ")
    assert lines[1:] == [
        "  index app.by_region missing",
        "  table app.notes added, with 1 object in it",
        "  app.projects.region: text → varchar(20)",
    ]


def test_a_rollback_that_fails_is_named_with_its_line_and_the_next_file_is_tried(database: Database, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        GOOD
        | {
            "003_more.sql": "CREATE TABLE app.notes (id int);\n",
            "rollback-003.sql": "SELECT 1;\nDROP TABLE app.nothing;\n",
            "004_next.sql": "ALTER TABLE app.notes ADD COLUMN more int;\n",
            "rollback-004.sql": "ALTER TABLE app.notes DROP COLUMN more;\n",
        },
    )
    ended = tried(database, tmp_path)
    assert outcomes(ended) == {"001": "passed", "002": "passed", "003": "failed", "004": "passed"}
    assert ended.err.startswith(f"{tmp_path}/rollback-003.sql:2: error: SqlFailed (SQLSTATE 42P01)")


def test_there_is_never_more_than_one_scratch_database_however_many_rollbacks_are_wrong(database: Database, tmp_path: Path) -> None:
    alone = f"DO $$ BEGIN ASSERT (SELECT count(*) = 1 FROM pg_database WHERE datname LIKE '{PREFIX}%'); END $$;\n"
    files = dict[str, str]()
    for number in range(1, 5):
        files |= {f"00{number}_t.sql": f"{alone}CREATE TABLE t{number} (id int);\n", f"rollback-00{number}.sql": "SELECT 1;\n"}
    write_files(tmp_path, files)
    ended = tried(database, tmp_path)
    assert outcomes(ended) == dict.fromkeys(("001", "002", "003", "004"), "failed")
    assert "AssertError" not in ended.err
    assert ended.err.count("the schema is not what it was before") == 4


def test_a_statement_that_takes_too_long_fails_its_file_and_no_other(database: Database, tmp_path: Path) -> None:
    slow = {
        "003_x.sql": "SELECT 1;\n",
        "rollback-003.sql": "SELECT pg_sleep(600);\n",
        "004_y.sql": "SELECT 1;\n",
        "rollback-004.sql": "SELECT 1;\n",
    }
    write_files(tmp_path, GOOD | slow)
    ended = tried(database, tmp_path, "--statement-timeout", "2s")
    assert (ended.status, outcomes(ended)) == (Exit.FAILED, {"001": "passed", "002": "passed", "003": "failed", "004": "passed"})


def test_a_connection_that_is_lost_is_no_fault_of_a_file(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_slow.sql": "SELECT pg_sleep(600);\n"})
    process = started(database, tmp_path)
    wait_until(lambda: database.psql(SLEEPS) == "1", "003 runs")
    database.psql(SLEEPS.replace("count(*)", "pg_terminate_backend(pid)"))
    out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, "ConnectionLost" in err, "\n003" in out) == (Exit.TRY_AGAIN, True, False)
    assert leftovers(database) == ""


def test_rows_that_a_rollback_leaves_fail_the_second_time_up(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_row.sql": "INSERT INTO app.projects VALUES (1);\n", "rollback-003.sql": "SELECT 1;\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)["003"]) == (Exit.FAILED, "failed")
    assert "003_row.sql:1: error: SqlFailed (SQLSTATE 23505)" in ended.err


def test_another_schema_the_second_time_up_is_named(database: Database, tmp_path: Path) -> None:
    text = (
        "INSERT INTO app.projects VALUES (1) ON CONFLICT (id) DO UPDATE SET region = 'again';\nDO $$ BEGIN\n"
        "IF EXISTS (SELECT FROM app.projects WHERE region = 'again') THEN CREATE TABLE app.second (); END IF;\nEND $$;\n"
    )
    write_files(tmp_path, GOOD | {"003_twice.sql": text, "rollback-003.sql": "DROP TABLE IF EXISTS app.second;\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)["003"]) == (Exit.FAILED, "failed")
    assert [line.strip() for line in ended.err.splitlines()[1:]] == ["table app.second added"]


def test_a_file_that_cannot_be_applied_ends_it_and_the_rest_is_not_tried(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_bad.sql": "SELECT 1;\nSELECT nothing;\n", "004_next.sql": "SELECT 1;\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)) == (Exit.FAILED, {"001": "passed", "002": "passed", "003": "failed"})
    assert "003_bad.sql:2: error: SqlFailed (SQLSTATE 42703)" in ended.err
    assert "1 not tried" in ended.out.splitlines()[-1]


def test_a_verify_script_that_fails_fails_the_file(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"verify-001.sql": "SELECT false;\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, "VerifyFailed" in ended.err) == (Exit.FAILED, True)


def test_a_missing_rollback_script_is_no_failure_unless_it_is_required(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_more.sql": "CREATE TABLE app.notes (id int);\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)["003"]) == (Exit.OK, "no rollback")
    ended = tried(database, tmp_path, "--require-rollback")
    assert (ended.status, outcomes(ended)["003"], "rollback-003.sql" in ended.err) == (Exit.FAILED, "failed", True)


def test_a_column_that_comes_back_elsewhere_and_an_extension_that_stays_are_notes(database: Database, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        GOOD
        | {
            "003_drop.sql": "CREATE EXTENSION IF NOT EXISTS citext;\nALTER TABLE app.projects DROP COLUMN region;\n",
            "rollback-003.sql": "ALTER TABLE app.projects ADD COLUMN region text;\nCREATE INDEX by_region ON app.projects (region);\n",
            "004_drop.sql": "ALTER TABLE app.projects DROP COLUMN name;\n",
            "rollback-004.sql": "ALTER TABLE app.projects ADD COLUMN name text;\n",
            "005_back.sql": "ALTER TABLE app.projects ADD COLUMN a int, ADD COLUMN b int;\n",
            "rollback-005.sql": "ALTER TABLE app.projects DROP COLUMN a, DROP COLUMN b;\n",
            "006_drop.sql": "ALTER TABLE app.projects DROP COLUMN a;\n",
            "rollback-006.sql": "ALTER TABLE app.projects ADD COLUMN a int;\n",
        },
    )
    ended = tried(database, tmp_path)
    assert (ended.status, set(outcomes(ended).values())) == (Exit.OK, {"passed"})
    notes = [line for line in ended.out.splitlines() if line.startswith("note: ")]
    assert ["003_drop.sql" in notes[0], "extension citext" in notes[0]] == [True, True]
    assert ["006_drop.sql" in notes[1], "id, a, b → id, b, a" in notes[1]] == [True, True]
    assert len(notes) == 2


def test_objects_that_the_set_ignores_are_ignored_here_too(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_log.sql": "CREATE SCHEMA IF NOT EXISTS audit;\n", "rollback-003.sql": "SELECT 1;\n"})
    assert tried(database, tmp_path).status == Exit.FAILED
    (tmp_path / "dbmigration.toml").write_text('[drift]\nignore = ["audit"]\n')
    assert tried(database, tmp_path).status == Exit.OK


def test_earlier_files_are_only_applied_and_later_ones_left_out(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_more.sql": "SELECT 1;\n", "rollback-003.sql": "SELECT 1;\n", "004_bad.sql": "SELECT nothing;\n"})
    ended = tried(database, tmp_path, "--from", "003", "--target", "003")
    assert (ended.status, outcomes(ended)) == (Exit.OK, {"001": "applied", "002": "applied", "003": "passed"})
    assert tried(database, tmp_path, "--from", "three").status == Exit.USAGE


def test_a_script_gets_the_same_as_json(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_bad.sql": "CREATE TABLE app.notes (id int);\n", "rollback-003.sql": "SELECT 1;\n"})
    ended = tried(database, tmp_path, "--json")
    found = json.loads(ended.out)
    assert (ended.status, found["outcome"]) == (Exit.FAILED, "Failed")
    first, _, third = found["migrations"]
    assert (first["outcome"], first["verified"], first["upMs"] >= 0, "turn" in first) == ("passed", True, True, False)
    assert (third["outcome"], third["turn"], third["drift"]) == ("failed", "down", ["table app.notes added, with 1 object in it"])


def test_a_file_for_the_whole_server_is_refused_on_a_server_that_others_use(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD | {"003_role.sql": "SELECT 1;\nDO $$ BEGIN CREATE ROLE try_out_role; END $$;\n"})
    ended = tried(database, tmp_path)
    assert (ended.status, outcomes(ended)) == (Exit.FAILED, {})
    assert "003_role.sql:2: error: RehearsalUnsafe" in ended.err
    assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'try_out_role'") == "0"


@pytest.mark.parametrize("major", [(), ("--postgres", "17")], ids=["installed", "17 from a wheel"])
def test_a_private_server_takes_any_file_and_has_the_roles_that_files_name(
    database: Database, tmp_path: Path, major: tuple[str, ...]
) -> None:
    write_files(
        tmp_path,
        GOOD
        | {
            "003_role.sql": "CREATE ROLE try_out_role;\nGRANT SELECT ON app.projects TO try_out_role, reader;\n"
            "DO $$ BEGIN GRANT SELECT ON app.projects TO hidden; END $$;\n",
            "rollback-003.sql": "REVOKE ALL ON app.projects FROM try_out_role, reader, hidden;\nDROP ROLE try_out_role;\n",
        },
    )
    ended = tried(database, tmp_path, "--private", "--role", "hidden", *major)
    assert (ended.err, set(outcomes(ended).values())) == ("", {"passed"})
    assert f"private PostgreSQL {'17' if major else ''}" in ended.out
    assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname IN ('try_out_role', 'reader', 'hidden')") == "0"


def test_without_a_server_named_a_private_one_is_started(tmp_path: Path) -> None:
    write_files(tmp_path, GOOD)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PG") and name != "DATABASE_URL"}
    done = subprocess.run(
        [*COMMAND, "test", "--dir", str(tmp_path)], env=bare, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert done.stdout.startswith("starting a private PostgreSQL")


def test_two_places_at_once_and_a_major_that_is_not_there_are_refused(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, GOOD)
    assert tried(database, tmp_path, "--dsn", database.dsn, "--private").status == Exit.USAGE
    ended = tried(database, tmp_path, "--postgres", "9")
    assert (ended.status, "DatabaseUnavailable" in ended.err) == (Exit.TRY_AGAIN, True)


@pytest.mark.parametrize(("signal_number", "place"), [(signal.SIGINT, "given"), (signal.SIGTERM, "given"), (signal.SIGINT, "private")])
def test_ctrl_c_drops_the_scratch_database_and_stops_the_server(
    database: Database, tmp_path: Path, temporary: Path, signal_number: signal.Signals, place: str
) -> None:
    write_files(tmp_path, GOOD | {"003_slow.sql": "SELECT pg_sleep(600);\n"})
    words = ["--private"] if place == "private" else []
    process = started(database, tmp_path, *words)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("002_"):
        assert process.poll() is None
    if place == "given":
        wait_until(lambda: database.psql(SLEEPS) == "1", "003 runs")
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, "Interrupted" in err, PASSWORD in out + err) == (128 + signal_number, True, False)
    assert leftovers(database) == ""
    assert list(temporary.iterdir()) == []


def test_a_seed_has_to_run_twice_and_leave_as_many_rows(database: Database, tmp_path: Path) -> None:
    seeds = {
        "seed-again.sql": "INSERT INTO app.projects VALUES (1) ON CONFLICT DO NOTHING;\n",
        "seed-fails.sql": "INSERT INTO app.projects VALUES (2);\n",
        "seed-grows.sql": "INSERT INTO app.projects SELECT max(id) + 10 FROM app.projects;\n",
        "seed-other.sql": "-- Environment: development\nSELECT 1 / 0;\n",
    }
    write_files(tmp_path, GOOD | seeds)
    ended = tried(database, tmp_path, "--environment", "staging")
    lines = {line.split()[0]: re.split(r"  +", line)[-1] for line in ended.out.splitlines() if line.startswith("seed-")}
    assert (ended.status, lines) == (Exit.FAILED, {"seed-again.sql": "passed", "seed-fails.sql": "failed", "seed-grows.sql": "failed"})
    said = ended.err.splitlines()
    assert said[0].startswith(f"{tmp_path / 'seed-fails.sql'}:1: error: SeedFailed (SQLSTATE 23505)")
    grows = said.index(f"{tmp_path / 'seed-grows.sql'}: error: run a second time, it leaves another number of rows:")
    assert said[grows + 1] == "  app.projects: 3 rows, then 4"
