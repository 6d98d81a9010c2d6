"""What must hold on every major is tested on the system's server; here is what the newer ones, from wheels, do differently.

One server of each major for the whole module, and a run of everything: split, apply, resume, snapshot, drift, backup, restore.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup.check import check_backup
from dbmigration.backup.clients import choose_dump_client
from dbmigration.backup.dump import take_backup
from dbmigration.backup.restore import restore_backup
from dbmigration.backup.shape import DumpShape
from dbmigration.catalog.compare import compare
from dbmigration.catalog.snapshot import take_snapshot
from dbmigration.cli.exits import Exit
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres.roles import bootstrap_superuser, copy_roles
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.stop import StopRequest
from dbmigration.scratch.account import account
from dbmigration.scratch.binaries import choose_binaries
from dbmigration.scratch.server import private_server
from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database
from tests.engine.server import PostgresServer, running_server
from tests.engine.support import applied_names, apply_all, write_files

WHEELS = (17, 18)


@pytest.fixture(scope="module", params=WHEELS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """In place of the session's server."""
    found = choose_binaries(request.param)
    folder = found.directory
    if not found.within_reach:
        copied = tmp_path_factory.mktemp("programs")
        shutil.copytree(folder.parent, copied, symlinks=True, dirs_exist_ok=True)
        account().give(copied)
        folder = copied / folder.name
    with running_server(binaries=folder, log_statements=False) as running:
        yield running


@pytest.fixture
def major(server: PostgresServer) -> int:
    return int(server.psql("SHOW server_version_num")) // 10000


@pytest.fixture
def clients(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's pg_dump and pg_restore are on PATH."""
    monkeypatch.setenv("PATH", str(server.binaries), prepend=":")


FILES = {
    "001_tables.sql": """BEGIN;
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('glad');
CREATE TABLE shop.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, age int);
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT n; SELECT n * 2; END;
CREATE FUNCTION shop.say() RETURNS text LANGUAGE plpgsql AS $body$ BEGIN RETURN $q$a;b$q$; END $body$;
COPY shop.users (name, age) FROM STDIN;
Ann	1
Bob; drop	\\N
\\.
COMMIT;
""",
    "rollback-001.sql": "DROP SCHEMA shop CASCADE;",
    "verify-001.sql": "SELECT count(*) = 2 FROM shop.users;",
    "002_alone.sql": """CREATE INDEX CONCURRENTLY users_age ON shop.users (age);
ALTER TYPE shop.mood ADD VALUE 'sad';
CREATE TABLE shop.moods (mood shop.mood DEFAULT 'sad');
VACUUM shop.users;
REINDEX INDEX CONCURRENTLY shop.users_age;
""",
    "003_newer.sql": """MERGE INTO shop.users AS u USING (VALUES (1, 'Ann', 5)) AS v (id, name, age) ON u.id = v.id
    WHEN MATCHED THEN UPDATE SET age = v.age RETURNING merge_action(), u.*;
CREATE TABLE shop.numbers AS SELECT n FROM JSON_TABLE('[1, 2]', '$[*]' COLUMNS (n int PATH '$')) AS t;
SET transaction_timeout = '1h';
""",
}


def test_a_set_runs_once_with_everything_that_this_major_splits_and_classifies(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "migrations", FILES)
    words = ["--dir", str(tmp_path / "migrations"), "--lint", "off"]
    ran = dbmigration(database, "apply", *words, "--no-backup")
    assert (ran.status, ran.err) == (Exit.OK, "")
    assert applied_names(database) == ["001_tables.sql", "002_alone.sql", "003_newer.sql"]
    assert database.psql("SELECT string_agg(n::text, ' ') FROM shop.numbers") == "1 2"
    assert database.psql("SELECT string_agg(name || coalesce(age::text, '-'), ' ' ORDER BY id) FROM shop.users") == "Ann5 Bob; drop-"
    assert database.psql("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == "0"
    assert "Nothing to do" in dbmigration(database, "apply", *words, "--no-backup").out
    assert dbmigration(database, "drift", *words[:2]).status == Exit.OK
    report = json.loads(dbmigration(database, "status", *words[:2], "--json").out)
    assert (report["version"], report["applied"], report["pending"]) == ("003", 3, 0)


def test_what_our_parser_cannot_take_in_runs_all_the_same(database: Database, tmp_path: Path) -> None:
    deep = " || ".join(["'x'"] * 1000)
    files = write_files(
        tmp_path / "migrations",
        {
            "001_whole.sql": f"CREATE TABLE a AS SELECT {deep} AS x;\nSELECT 1;",
            "002_alone.sql": f"CREATE INDEX CONCURRENTLY i ON a ((x || {deep}));\nINSERT INTO a SELECT {deep};\nVACUUM a;",
        },
    )
    assert [result.transactional for result in apply_all(database, files).results] == [True, False]
    assert database.psql("SELECT count(*), max(length(x)) FROM a") == "2|1000"
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "t"


def test_a_failed_index_is_dropped_and_built_again(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    files = write_files(
        folder,
        {
            "001_a.sql": "CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1);",
            "002_b.sql": "CREATE TABLE b ();\nCREATE UNIQUE INDEX CONCURRENTLY a_n ON a (n);\nCREATE TABLE c ();",
        },
    )
    with pytest.raises(Permanent) as caught:
        apply_all(database, files)
    assert (caught.value.reason, caught.value.place.line) == (Reason.SQL_FAILED, 2)
    database.psql("DELETE FROM a WHERE ctid <> (SELECT min(ctid) FROM a)")
    apply_all(database, files)
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_n'::regclass") == "t"
    assert database.psql("SELECT count(*) FROM pg_tables WHERE tablename IN ('b', 'c')") == "2"


@pytest.mark.usefixtures("clients")
def test_a_backup_by_this_majors_client_is_whole_and_can_be_restored(database: Database, major: int, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path / "migrations", FILES))
    with database.connect() as session:
        server = session.server
        backup = take_backup(database.conninfo(), server, tmp_path / "backups", run_id="r", name_prefix="", stop=StopRequest())
    assert backup.dump_version.startswith(f"{major}.")
    (dump,) = (tmp_path / "backups").glob("*.dump")
    check_backup(dump)
    database.psql(f"CREATE DATABASE {database.name}_copy")
    try:
        database.server.run("pg_restore", "--exit-on-error", "-d", f"{database.name}_copy", str(dump), database="postgres", user="postgres")
        copied = database.server.psql("SELECT count(*) FROM shop.users", database=f"{database.name}_copy")
    finally:
        database.psql(f"DROP DATABASE {database.name}_copy")
    assert copied == "2"


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize(
    "shape", [DumpShape(DumpFormat.DIRECTORY, 2, "zstd:3"), DumpShape(DumpFormat.DIRECTORY, 1, "none"), DumpShape(compression="lz4")]
)
def test_a_backup_can_be_a_folder_and_compressed_by_choice(database: Database, major: int, shape: DumpShape, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path / "migrations", FILES))
    with database.connect() as session:
        server = session.server
    if major == 18 and shape.compression != "none":  # that wheel is built with gzip alone
        with pytest.raises(Transient) as caught:
            take_backup(database.conninfo(), server, tmp_path / "backups", run_id="r", stop=StopRequest(), shape=shape)
        assert caught.value.reason is Reason.BACKUP_FAILED
        assert "this build does not support compression" in caught.value.message
        return
    backup = take_backup(database.conninfo(), server, tmp_path / "backups", run_id="r", stop=StopRequest(), shape=shape)
    assert (backup.format, backup.compression) == (shape.format, shape.compression)
    (dump,) = (tmp_path / "backups").glob("*.dump")
    assert check_backup(dump) == backup
    restored = restore_backup(database.conninfo("postgres"), dump, f"{database.name}_copy", stop=StopRequest(), say=lambda _: None, jobs=2)
    database.psql(f"DROP DATABASE {database.name}_copy")
    assert restored.rows > 0


def test_a_backup_without_this_majors_client_is_refused(database: Database, major: int) -> None:
    with database.connect() as session, pytest.raises(Transient) as caught:
        choose_dump_client(session.server.version, session.server.major, ())
    assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH
    assert f"postgresql-client-{major}" in caught.value.message


@pytest.mark.usefixtures("clients")
def test_a_plain_dump_of_this_major_is_a_migration(database: Database, tmp_path: Path) -> None:
    """It sets transaction_timeout (17) and is wrapped in \\restrict and \\unrestrict."""
    database.psql("CREATE TABLE before (id int PRIMARY KEY, note text); INSERT INTO before VALUES (1, E'a;\\nb')")
    dump = database.server.run("pg_dump", "--no-owner", database=database.name, user="postgres")
    assert "SET transaction_timeout = 0;" in dump
    assert "\\restrict " in dump
    database.psql("DROP TABLE before")
    files = write_files(tmp_path / "migrations", {"001_dump.sql": dump, "002_after.sql": "CREATE TABLE after (id int);"})
    apply_all(database, files)
    assert database.psql("SELECT note FROM before") == "a;\nb"
    assert database.psql("SELECT 'public.after'::regclass") == "after"


def test_a_servers_transaction_timeout_ends_no_migration(database: Database, tmp_path: Path) -> None:
    """17 has the setting, and a role or database may have a value: it would end the session in the middle of a long file."""
    database.psql(f"ALTER DATABASE {database.name} SET transaction_timeout = '300ms'")
    files = write_files(tmp_path / "migrations", {"001_long.sql": "SELECT pg_sleep(0.5);", "002_long.sql": "SELECT pg_sleep(0.5);"})
    assert apply_all(database, files).files == ["001_long.sql", "002_long.sql"]
    with database.connect() as session:
        session.query("RESET ALL")
        assert session.query("SHOW transaction_timeout") == [("0",)]


def test_the_right_to_maintain_is_a_grant_like_the_others(database: Database) -> None:
    database.psql("CREATE TABLE kept (id int)")
    with database.connect(user="postgres") as session:
        before = take_snapshot(session)
        session.query("GRANT MAINTAIN ON kept TO PUBLIC")
        after = take_snapshot(session)
    assert [str(drift) for drift in compare(before, after)] == ["public.kept: granted to PUBLIC: nothing → MAINTAIN"]


def test_a_file_whose_own_timeout_ends_it_has_failed_and_can_be_mended(database: Database, tmp_path: Path) -> None:
    """The server ends the session, not the statement (25P04): no other try would fare better."""
    folder = tmp_path / "migrations"
    files = write_files(folder, {"001_bounded.sql": "CREATE TABLE a ();\nSET LOCAL transaction_timeout = '100ms';\nSELECT pg_sleep(5);"})
    with pytest.raises(Permanent) as caught:
        apply_all(database, files)
    assert (caught.value.reason, caught.value.place.sqlstate, caught.value.place.line) == (Reason.SQL_FAILED, "25P04", 3)
    assert database.psql("SELECT to_regclass('a')") == ""
    files = write_files(folder, {"001_bounded.sql": "CREATE TABLE a ();"})
    assert apply_all(database, files).files == ["001_bounded.sql"]


@pytest.mark.parametrize("server", [18], indirect=True)
def test_what_18_can_say_of_a_table_is_in_a_snapshot(database: Database) -> None:
    steps = {
        "ALTER TABLE t ADD CONSTRAINT a_here NOT NULL a NOT VALID": ["public.t.a: nullable → NOT NULL", "constraint public.t.a_here added"],
        "ALTER TABLE t VALIDATE CONSTRAINT a_here": ["constraint public.t.a_here missing"],
        "ALTER TABLE t ADD twice int GENERATED ALWAYS AS (a * 2) VIRTUAL": ["column public.t.twice added"],
        "ALTER TABLE t ALTER twice SET EXPRESSION AS (a * 3)": ["public.t.twice: generated (a * 2) VIRTUAL → (a * 3) VIRTUAL"],
        "ALTER TABLE t ADD CONSTRAINT told FOREIGN KEY (b) REFERENCES u NOT ENFORCED": ["constraint public.t.told added"],
        "ALTER TABLE t ALTER CONSTRAINT told ENFORCED": [
            "constraint public.t.told: FOREIGN KEY (b) REFERENCES public.u(id) NOT ENFORCED → FOREIGN KEY (b) REFERENCES public.u(id)"
        ],
        "ALTER TABLE v ADD PRIMARY KEY (id, during WITHOUT OVERLAPS)": ["constraint public.v.v_pkey added, with 1 object in it"],
    }
    database.psql(
        "CREATE TABLE t (a int, b int); CREATE TABLE u (id int PRIMARY KEY);"
        "CREATE TABLE v (id int4range NOT NULL, during daterange NOT NULL)"
    )
    said = {}
    with database.connect(user="postgres") as session:
        before = take_snapshot(session)
        for statement in steps:
            session.query(statement)
            after = take_snapshot(session)
            said[statement] = [str(drift) for drift in compare(before, after)]
            before = after
    assert said == steps


def test_a_server_of_ones_own_gets_the_roles_as_they_were_given(database: Database, major: int) -> None:
    """From PostgreSQL 16 on a membership has its grantor and two more options; read by a role that is no superuser."""
    database.psql("CREATE ROLE lead CREATEROLE; CREATE ROLE reader NOINHERIT; CREATE ROLE writer LOGIN CONNECTION LIMIT 3")
    database.psql("GRANT reader TO lead WITH ADMIN TRUE; SET ROLE lead; GRANT reader TO writer WITH INHERIT FALSE, SET TRUE; RESET ROLE")
    database.psql("GRANT SET ON PARAMETER log_statement TO writer; GRANT pg_monitor TO reader; ALTER ROLE writer SET work_mem = '7MB'")
    looks = (
        "SELECT rolname, rolcreaterole, rolinherit, rolcanlogin, rolconnlimit FROM pg_roles WHERE oid >= 16384 ORDER BY 1",
        """SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text, admin_option, inherit_option, set_option
        FROM pg_auth_members WHERE member >= 16384 ORDER BY 1, 2, 3""",
        "SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting WHERE setdatabase = 0",
        "SELECT parname, paracl::text FROM pg_parameter_acl",
    )
    try:
        with database.connect() as live, private_server(choose_binaries(major), superuser=bootstrap_superuser(live)) as own:
            said: list[str] = []
            with connect(own.conninfo, application_name="roles", settings=Settings()) as there:
                copy_roles(live, there, said.append)
                assert said == []
                assert [there.query(look) for look in looks] == [live.query(look) for look in looks]
                assert there.query("SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == [(0,)]
    finally:
        database.psql("DROP OWNED BY writer, lead CASCADE; DROP ROLE writer; DROP ROLE lead, reader")


@pytest.mark.usefixtures("clients")
def test_a_rehearsal_starts_a_server_of_this_major(database: Database, tmp_path: Path, major: int) -> None:
    write_files(tmp_path / "migrations", {"001_first.sql": FILES["001_tables.sql"]})
    words = ["--dir", str(tmp_path / "migrations"), "--lint", "off"]
    assert dbmigration(database, "apply", *words).status == Exit.OK
    write_files(tmp_path / "migrations", {"002_second.sql": "ALTER TABLE shop.users ALTER age TYPE bigint;"})
    ended = dbmigration(database, "rehearse", "--private", *words)
    assert ended.status == Exit.OK, ended.err
    assert f"starting a private PostgreSQL {major}." in ended.out
    assert "WARNING" not in ended.out
    assert re.search(r"^shop.users +ACCESS EXCLUSIVE", ended.out, re.MULTILINE)
    assert database.psql("SELECT pg_typeof(age) FROM shop.users LIMIT 1") == "integer"
