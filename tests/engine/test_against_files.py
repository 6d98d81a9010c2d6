"""verify --against-files: the applied files replayed in a scratch database, compared with the real one."""

import re
from pathlib import Path

import pytest

from dbmigration.cli.exits import Exit
from dbmigration.scratch.binaries import find_binaries
from dbmigration.scratch.database import PREFIX
from tests.engine.command_line import Ended, dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.server import OWNER
from tests.engine.support import PLATFORM, write_files

SET = {
    "001_app.sql": "CREATE SCHEMA app;\nCREATE TABLE app.projects (id int, region text);\nGRANT SELECT ON app.projects TO PUBLIC;\n",
    "verify-001.sql": "SELECT count(*) > 0 FROM app.projects;\n",
    "002_index.sql": "CREATE INDEX CONCURRENTLY by_region ON app.projects (region);\n",
    "003_role.sql": "CREATE ROLE somebody;\n",
}


def compared(database: Database, directory: Path, *words: str) -> Ended:
    ended = dbmigration(database, "verify", "--against-files", "--dir", str(directory), *words)
    assert leftovers(database) == "", "whatever happened, the scratch database is gone"
    return ended


def leftovers(database: Database) -> str:
    return database.psql(f"SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{PREFIX}%'")


@pytest.fixture
def migrated(database: Database, tmp_path: Path) -> Path:
    write_files(tmp_path, {name: text for name, text in SET.items() if name[:3] in ("001", "002")})
    succeeds(database, "apply", "--dir", str(tmp_path))
    return tmp_path


def test_a_database_that_the_files_made_is_what_they_make(database: Database, migrated: Path) -> None:
    ended = compared(database, migrated)
    assert (ended.status, ended.out.splitlines()[-1]) == (Exit.OK, "The schema is what the applied files make.")


def test_each_difference_is_named_also_where_no_run_recorded_a_schema(database: Database, migrated: Path) -> None:
    database.psql("ALTER TABLE app.projects ALTER region TYPE varchar(20); DROP INDEX app.by_region", user=OWNER)
    succeeds(database, "drift", "--accept", "--dir", str(migrated))
    ended = compared(database, migrated)
    assert ended.status == Exit.FAILED
    assert [line.strip() for line in ended.out.splitlines()][-2:] == [
        "index app.by_region missing",
        "app.projects.region: text → varchar(20)",
    ]


def test_pending_files_are_not_part_of_the_comparison(database: Database, migrated: Path) -> None:
    write_files(migrated, {"004_later.sql": "CREATE TABLE app.later (id int);\n"})
    assert compared(database, migrated).status == Exit.OK


def test_the_platforms_own_set_is_what_its_files_make(database: Database) -> None:
    succeeds(database, "apply", "--dir", str(PLATFORM), "--environment", "production", "--no-backup")
    assert compared(database, PLATFORM, "--environment", "production").status == Exit.OK


def test_settings_of_the_database_hold_in_the_scratch_database(database: Database, tmp_path: Path) -> None:
    database.psql(f"CREATE SCHEMA own AUTHORIZATION {OWNER}; ALTER DATABASE {database.name} SET search_path TO own, public")
    database.psql(f"ALTER DATABASE {database.name} SET work_mem TO '5MB'")
    write_files(tmp_path, {"001_own.sql": "CREATE SCHEMA IF NOT EXISTS own;\nCREATE TABLE unqualified (id int);\n"})
    succeeds(database, "apply", "--dir", str(tmp_path))
    assert compared(database, tmp_path).status == Exit.OK


def test_a_file_for_the_whole_server_is_refused_on_a_shared_one(database: Database, migrated: Path) -> None:
    write_files(migrated, {"003_role.sql": SET["003_role.sql"]})
    database.psql("INSERT INTO dbmigration.schema_migrations (migration_name) VALUES ('003_role.sql')", user=OWNER)
    ended = compared(database, migrated)
    assert ended.status == Exit.FAILED
    assert re.match(r".*003_role\.sql:1: error: RehearsalUnsafe", ended.err)
    assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'") == "0"


@pytest.mark.parametrize(("change", "reason"), [("edit", "ChecksumMismatch"), ("remove", "MissingFiles")])
def test_files_that_cannot_make_it_again_are_refused(change: str, reason: str, database: Database, migrated: Path) -> None:
    if change == "edit":
        (migrated / "001_app.sql").write_text("SELECT 1;\n")
    else:
        (migrated / "002_index.sql").unlink()
    ended = compared(database, migrated)
    assert (ended.status, reason in ended.err) == (Exit.FAILED, True)


def test_a_file_that_fails_in_the_scratch_database_says_where(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE by_hand (id int)", user=OWNER)
    write_files(tmp_path, {"001_column.sql": "ALTER TABLE by_hand ADD COLUMN more int;\n"})
    succeeds(database, "apply", "--dir", str(tmp_path))
    ended = compared(database, tmp_path)
    assert ended.status == Exit.FAILED
    assert "001_column.sql:1: error: SqlFailed" in ended.err
    assert "in the scratch database" in ended.err


def test_a_role_that_may_not_create_databases_is_told_what_to_do(database: Database, migrated: Path) -> None:
    database.psql(f"ALTER ROLE {OWNER} NOCREATEDB")
    try:
        ended = compared(database, migrated)
    finally:
        database.psql(f"ALTER ROLE {OWNER} CREATEDB")
    assert (ended.status != Exit.OK, "PermissionDenied" in ended.err, "--private" in ended.err) == (True, True, True)


def test_another_server_may_be_named(database: Database, migrated: Path) -> None:
    assert compared(database, migrated, "--scratch-dsn", database.dsn.replace(database.name, "postgres")).status == Exit.OK
    assert compared(database, migrated, "--scratch-dsn", database.dsn, "--private").status == Exit.USAGE
    assert dbmigration(database, "verify", "--private", "--dir", str(migrated)).status == Exit.USAGE


def test_a_private_server_has_the_same_roles_and_takes_any_file(database: Database, tmp_path: Path) -> None:
    major = int(database.psql("SELECT current_setting('server_version_num')::int / 10000"))
    assert major in {binaries.major for binaries in find_binaries()}
    database.psql(f"ALTER ROLE {OWNER} CREATEROLE")
    try:
        write_files(tmp_path, {**SET, "verify-001.sql": "SELECT true;\n"})
        succeeds(database, "apply", "--dir", str(tmp_path))
        ended = compared(database, tmp_path, "--private")
    finally:
        database.psql(f"DROP ROLE IF EXISTS somebody; ALTER ROLE {OWNER} NOCREATEROLE")
    assert (ended.status, ended.err) == (Exit.OK, "")
