"""dbmigration restore: what comes back is what was there, and everything else leaves nothing."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.backup import restore as restore_module
from dbmigration.backup.access import Access
from dbmigration.backup.clients import Client
from dbmigration.backup.contents import Contents, contents_of_database
from dbmigration.backup.restore import PREFIX, Restored, restore_backup
from dbmigration.backup.stream import StopRequest
from dbmigration.errors import DbmigrationError, Permanent, Usage
from tests.engine.command_line import COMMAND, WITHIN_S, dbmigration, environment_of, succeeds
from tests.engine.conftest import Database
from tests.engine.dumps import back_up, path_of
from tests.engine.server import OWNER, wait_until
from tests.engine.support import PLATFORM

ROWS = 5000

EVERYTHING = f"""
CREATE SCHEMA studio;
CREATE TYPE studio.mood AS ENUM ('good', 'bad');
CREATE TABLE studio.note (id serial PRIMARY KEY, "odd name" text, at timestamptz DEFAULT now(), raw bytea, ratio double precision,
    size int GENERATED ALWAYS AS (length("odd name")) STORED, mood studio.mood);
INSERT INTO studio.note ("odd name", raw, ratio, mood)
    SELECT repeat('x', g % 900) || g, decode(md5(g::text), 'hex'), random() / 3, 'good' FROM generate_series(1, {ROWS}) AS g;
INSERT INTO studio.note ("odd name") VALUES (E'two\\nlines\\nCOPY studio.note FROM stdin;\\n\\\\.\\n'), (NULL), ('');
DELETE FROM studio.note WHERE id % 7 = 0;
UPDATE studio.note SET ratio = 2 WHERE id % 11 = 0;
CREATE TABLE studio.empty ();
CREATE TABLE studio.lines ();
INSERT INTO studio.lines DEFAULT VALUES;
CREATE TABLE studio.part (k int, v varchar(9) CHECK (v IN ('a', 'b'))) PARTITION BY LIST (k);
CREATE TABLE studio.part_1 PARTITION OF studio.part FOR VALUES IN (1);
INSERT INTO studio.part VALUES (1, 'a'), (1, 'b');
ALTER TABLE studio.note ADD CONSTRAINT later CHECK (id > 0) NOT VALID;
CREATE SEQUENCE studio.counter; SELECT setval('studio.counter', 41);
CREATE SEQUENCE studio.unused;
CREATE MATERIALIZED VIEW studio.sums AS SELECT sum(id) FROM studio.note;
CREATE FUNCTION studio.hello() RETURNS text LANGUAGE sql AS $$
SELECT 'a line
COPY studio.note (id) FROM stdin;
'::text; $$;
"""


@pytest.fixture(autouse=True)
def nothing_is_left(database: Database) -> Iterator[None]:
    yield
    assert database.psql(f"SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{PREFIX}%'") == ""


@pytest.fixture
def filled(database: Database) -> Database:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(EVERYTHING)
        connection.execute("SELECT lo_from_bytea(0, decode(repeat('ab', 40000), 'hex')), lo_from_bytea(0, '')")
    return database


@pytest.fixture
def into(filled: Database) -> Iterator[str]:
    name = f"{filled.name} restored"
    yield name
    filled.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def restored(database: Database, dump: Path, into: str, **changes: object) -> Restored:
    options: dict[str, object] = {"stop": threading.Event(), "say": lambda _: None} | changes
    return restore_backup(database.conninfo(), dump, into, **options)  # type: ignore[arg-type]


def refused(database: Database, dump: Path, into: str, **changes: object) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught:
        restored(database, dump, into, **changes)
    assert database.psql(f"SELECT count(*) FROM pg_database WHERE datname = '{into}'") == "0"
    return caught.value


def rows_of(database: Database, name: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.dsn, dbname=name) as connection:
        return connection.execute('SELECT id, "odd name", at, raw, ratio, size, mood FROM studio.note ORDER BY id').fetchall()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_row_is_back_after_data_was_lost(filled: Database, into: str, tmp_path: Path, jobs: int) -> None:
    before = rows_of(filled, filled.name)
    filled.psql(f"ALTER DATABASE {filled.name} SET search_path TO studio, public")
    filled.psql(f"ALTER DATABASE {filled.name} SET timezone TO 'Asia/Kathmandu'")
    dump = path_of(back_up(filled, tmp_path))
    filled.psql("DROP SCHEMA studio CASCADE")
    filled.psql(f"ALTER DATABASE {filled.name} RESET ALL")
    said: list[str] = []
    done = restored(filled, dump, into, jobs=jobs, say=said.append)
    assert rows_of(filled, into) == before
    assert (done.tables, done.rows, done.sequences, done.large_objects) == (4, len(before) + 1 + 2, 3, 2)
    assert list(done.unvalidated) == ["later on studio.note"]
    assert said[0].startswith(f"{dump.name} is whole: 4 tables, ")
    with psycopg.connect(filled.dsn, dbname=into) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("studio, public",)
        assert connection.execute("SELECT nextval('counter'), nextval('unused')").fetchone() == (42, 1)
        assert connection.execute("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'note'").fetchone() == (OWNER,)


def test_encoding_and_locale_come_from_the_backup_and_not_from_the_connection(filled: Database, into: str, tmp_path: Path) -> None:
    filled.psql("CREATE DATABASE latin OWNER platform_owner TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        dump = path_of(back_up(Database(filled.server, "latin"), tmp_path))
    finally:
        filled.psql("DROP DATABASE latin")
    restored(filled, dump, into)
    made = f"SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = '{into}'"
    assert filled.psql(made) == "LATIN1|C"


def test_the_command_line(filled: Database, into: str, tmp_path: Path) -> None:
    dump = path_of(back_up(filled, tmp_path))
    ended = succeeds(filled, "restore", str(dump), "--into", into)
    assert f"Database {into} holds " in ended.out
    assert "constraint later on studio.note is NOT VALID" in ended.out
    again = dbmigration(filled, "restore", str(dump), "--into", into)
    assert (again.status, again.out) == (2, "")
    assert "never writes into one" in again.err
    filled.psql(f'DROP DATABASE "{into}"')
    report = json.loads(succeeds(filled, "restore", str(dump), "--into", into, "--json").out)
    assert (report["database"], report["tables"], report["backup"]["verified"]) == (into, 4, True)


def test_the_platforms_history_goes_on_where_the_backup_was(database: Database, tmp_path: Path) -> None:
    words = ("--dir", str(PLATFORM), "--environment", "staging")  # 004 is for production
    succeeds(database, "apply", *words, "--target", "002")
    dump = path_of(back_up(database, tmp_path))
    succeeds(database, "apply", *words)
    name = f"{database.name}_restored"
    try:
        restored(database, dump, name)
        there = Database(database.server, name)
        assert "Applied 1 migration; the database is at version 003" in succeeds(there, "apply", *words).out
    finally:
        database.psql(f"DROP DATABASE IF EXISTS {name}")


@pytest.mark.parametrize("damage", ["flip", "cut", "record"])
def test_a_damaged_backup_is_not_begun(filled: Database, into: str, tmp_path: Path, damage: str) -> None:
    dump = path_of(back_up(filled, tmp_path))
    whole = dump.read_bytes()
    if damage == "flip":
        dump.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    elif damage == "cut":
        dump.write_bytes(whole[:-100])
    else:
        dump.with_suffix(".json").unlink()
    error = refused(filled, dump, into)
    assert error.reason is Reason.BACKUP_FAILED
    assert dump.name in error.message


def test_a_missing_role_is_named_and_nothing_is_left(filled: Database, into: str, tmp_path: Path) -> None:
    filled.psql("CREATE ROLE passing")
    filled.psql("ALTER TABLE studio.lines OWNER TO passing")
    filled.psql("GRANT passing TO platform_owner")
    dump = path_of(back_up(filled, tmp_path))
    filled.psql(f"REASSIGN OWNED BY passing TO {OWNER}; DROP OWNED BY passing; DROP ROLE passing")
    error = refused(filled, dump, into)
    assert error.reason is Reason.RESTORE_FAILED
    assert 'role "passing" does not exist: roles are not in a dump' in error.message


def test_a_role_that_may_not_make_databases_is_told(filled: Database, into: str, tmp_path: Path) -> None:
    dump = path_of(back_up(filled, tmp_path))
    filled.psql(f"ALTER ROLE {OWNER} NOCREATEDB")
    try:
        error = refused(filled, dump, into)
    finally:
        filled.psql(f"ALTER ROLE {OWNER} CREATEDB")
    assert error.reason is Reason.PERMISSION_DENIED
    assert "CREATEDB" in error.message


def test_a_database_that_differs_never_gets_its_name(filled: Database, into: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of the new database is changed on the server first: a row, a value, a sequence, an owner, a large object, an index."""
    dump = path_of(back_up(filled, tmp_path))
    read = contents_of_database
    spoil = (
        "DELETE FROM studio.part WHERE v = 'a'",
        "UPDATE studio.note SET ratio = ratio + 1e-15 WHERE id = 3",
        "SELECT nextval('studio.counter')",
        "ALTER FUNCTION studio.hello() OWNER TO postgres",
        "SELECT lo_put(oid, 0, 'other') FROM pg_largeobject_metadata",
        "ALTER TABLE studio.note DROP CONSTRAINT note_pkey",
    )

    def spoiled(client: Client, access: Access, stop: StopRequest) -> Contents:
        for statement in spoil:
            filled.server.psql(statement, database=access.environment["PGDATABASE"], user="postgres")
        return read(client, access, stop)

    monkeypatch.setattr(restore_module, "contents_of_database", spoiled)
    monkeypatch.setattr(restore_module, "_DIFFERENCES_SHOWN", 20)
    error = refused(filled, dump, into)
    assert error.reason is Reason.RESTORE_FAILED
    for words in (
        "table studio.part_1 (k, v) has 1 rows instead of 2",
        'table studio.note (id, "odd name", at, raw, ratio, mood) has rows with other values',
        "sequence studio.counter stands at 42 instead of 41",
        f"FUNCTION studio hello() {OWNER} is missing",
        "FUNCTION studio hello() postgres was not in the backup",
        "2 large objects differ",
        f"CONSTRAINT studio note note_pkey {OWNER} is missing",
    ):
        assert words in error.message


def test_a_name_taken_meanwhile_is_refused(filled: Database, into: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = path_of(back_up(filled, tmp_path))
    look = restore_module._look_inside

    def taken(made: object) -> list[str]:
        filled.psql(f'CREATE DATABASE "{into}"')
        return look(made)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_module, "_look_inside", taken)
    with pytest.raises(Usage, match="already"):
        restored(filled, dump, into)


@pytest.mark.parametrize("name", ["", "x" * 64, f"{PREFIX}mine"])
def test_a_bad_name_is_refused(filled: Database, tmp_path: Path, name: str) -> None:
    with pytest.raises(Usage):
        restored(filled, tmp_path / "no.dump", name)


def test_another_major_is_refused(filled: Database, into: str, tmp_path: Path) -> None:
    dump = path_of(back_up(filled, tmp_path))
    record = dump.with_suffix(".json")
    record.write_text(record.read_text().replace('"dumpVersion": "1', '"dumpVersion": "9'))
    error = refused(filled, dump, into)
    assert isinstance(error, Permanent)
    assert "can be proved equal only on a server of major 9" in error.message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_restore_that_is_ended_leaves_nothing(filled: Database, into: str, tmp_path: Path, number: signal.Signals) -> None:
    """After SIGKILL, nothing once the next restore has begun."""
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("""CREATE FUNCTION studio.slow(int) RETURNS bool LANGUAGE sql AS
            $$SELECT CASE WHEN current_setting('studio.slow', true) = 'on' THEN pg_sleep(60) IS NOT NULL ELSE true END$$""")
        connection.execute("CREATE TABLE studio.late (id int CHECK (studio.slow(id)))")
        connection.execute("INSERT INTO studio.late VALUES (1)")
    dump = path_of(back_up(filled, tmp_path))
    slowly = environment_of(filled) | {"PGOPTIONS": "-c studio.slow=on"}
    command = [*COMMAND, "restore", str(dump), "--into", into]
    with subprocess.Popen(command, env=slowly, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        busy = f"SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '{PREFIX}%' AND query LIKE 'COPY studio.late%'"
        wait_until(lambda: filled.psql(busy) == "1", "pg_restore fills the slow table")
        process.send_signal(number)
        _, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == (130 if number is signal.SIGINT else -number)
    if number is signal.SIGINT:
        assert b"Interrupted" in err
        return
    filled.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE '{PREFIX}%'")
    wait_until(lambda: filled.psql(busy) == "0", "the server has ended what nobody waits for")
    assert f"dropping {PREFIX}" in succeeds(filled, "restore", str(dump), "--into", into).out
