"""Whether a statement that nobody saw the end of happened: each kind that can be looked up, before it ran and after."""

import contextlib
import json
from collections.abc import Iterator

import psycopg
import pytest

from dbmigration.errors import DbmigrationError, Transient
from dbmigration.postgres.recover import Outcome, invalid_indexes, note, settle
from dbmigration.postgres.session import Session
from tests.engine.conftest import Database

BEFORE = """
CREATE TABLE t (n int);
INSERT INTO t VALUES (1), (2);
CREATE INDEX old ON t (n);
CREATE TYPE mood AS ENUM ('glad');
CREATE TABLE parted (n int) PARTITION BY LIST (n);
CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
"""


def superuser(database: Database) -> Session:
    return database.connect(user="postgres")


def noted(session: Session, sql: str) -> dict[str, object]:
    """As it comes back from the progress row."""
    found: dict[str, object] = json.loads(json.dumps(note(session, sql.encode())))
    return found


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY named ON t (n)",
        "CREATE INDEX CONCURRENTLY ON public.t (n)",
        "DROP INDEX CONCURRENTLY public.old",
        "ALTER TABLE parted DETACH PARTITION part CONCURRENTLY",
        "ALTER TYPE mood ADD VALUE 'sad'",
        "CREATE DATABASE made_here",
        "CREATE SUBSCRIPTION sub CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)",
    ],
)
def test_what_the_catalog_shows_is_known(database: Database, sql: str) -> None:
    database.psql(BEFORE)
    with superuser(database) as session:
        before = noted(session, sql)
        assert settle(session, before) is Outcome.RUN_AGAIN
        try:
            session.query(sql)
            assert settle(session, before) is Outcome.HAPPENED
        finally:
            session.query("DROP DATABASE IF EXISTS made_here")
            if "SUBSCRIPTION" in sql:
                session.query("ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
                session.query("DROP SUBSCRIPTION sub")


@pytest.mark.parametrize("kind", ["DATABASE", "SUBSCRIPTION"])
def test_what_drops_is_known_too(database: Database, kind: str) -> None:
    with superuser(database) as session:
        made = {
            "DATABASE": ("CREATE DATABASE gone_soon", "DROP DATABASE gone_soon"),
            "SUBSCRIPTION": (
                "CREATE SUBSCRIPTION gone_soon CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false, slot_name = NONE)",
                "DROP SUBSCRIPTION gone_soon",
            ),
        }[kind]
        session.query(made[0])
        before = noted(session, made[1])
        assert settle(session, before) is Outcome.RUN_AGAIN
        session.query(made[1])
        assert settle(session, before) is Outcome.HAPPENED


@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("VACUUM t", Outcome.RUN_AGAIN),
        ("CALL something()", Outcome.UNKNOWN),
        ("DROP INDEX old", Outcome.UNKNOWN),
        ("ALTER TABLE t ADD x int", Outcome.UNKNOWN),
        ("ALTER TYPE mood RENAME VALUE 'glad' TO 'sad'", Outcome.UNKNOWN),
        ("CREATE INDEX plain ON t (n)", Outcome.UNKNOWN),
        ("THIS is no SQL", Outcome.UNKNOWN),
        ("SELECT 1; SELECT 2", Outcome.UNKNOWN),
        ("COMMIT", Outcome.UNKNOWN),
        ("ALTER SUBSCRIPTION sub REFRESH PUBLICATION", Outcome.RUN_AGAIN),
        ("ALTER SUBSCRIPTION sub ADD PUBLICATION p", Outcome.UNKNOWN),
        (f"CREATE INDEX CONCURRENTLY deep ON t (({' + '.join('n' * 200)}))", Outcome.UNKNOWN),
    ],
)
def test_nothing_is_guessed(database: Database, sql: str, outcome: Outcome) -> None:
    database.psql(BEFORE)
    with superuser(database) as session:
        assert settle(session, noted(session, sql)) is outcome


def test_an_index_that_was_there_already_is_not_the_statements(database: Database) -> None:
    database.psql(BEFORE)
    with superuser(database) as session:
        before = noted(session, "CREATE INDEX CONCURRENTLY ON t (n)")
        assert settle(session, before) is Outcome.RUN_AGAIN
    assert database.psql("SELECT to_regclass('old')") == "old"


def test_of_an_index_on_a_table_that_is_not_there_nothing_is_left(database: Database) -> None:
    with superuser(database) as session:
        before = noted(session, "CREATE INDEX CONCURRENTLY i ON nowhere (n)")
        assert settle(session, before) is Outcome.RUN_AGAIN
        assert invalid_indexes(session, before) == []


@contextlib.contextmanager
def holding(database: Database, statement: str) -> Iterator[None]:
    """Another session's open transaction, which CONCURRENTLY waits for."""
    with psycopg.connect(database.dsn, user="postgres") as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute(statement)
        yield
        other.rollback()


def test_a_cut_off_index_is_dropped_and_built_again(database: Database) -> None:
    database.psql(BEFORE)
    sql = "CREATE INDEX CONCURRENTLY cut ON t (n)"
    with superuser(database) as session:
        before = noted(session, sql)
        session.query("SET statement_timeout = '300ms'")
        with holding(database, "INSERT INTO t VALUES (3)"), pytest.raises(DbmigrationError):
            session.query(sql)
        assert invalid_indexes(session, before) == ["public.cut"]
        assert settle(session, before) is Outcome.RUN_AGAIN
        assert session.query("SELECT to_regclass('cut')") == [(None,)]


def test_what_a_cut_off_reindex_left_is_dropped(database: Database) -> None:
    database.psql(BEFORE)
    sql = "REINDEX INDEX CONCURRENTLY old"
    with superuser(database) as session:
        before = noted(session, sql)
        session.query("SET statement_timeout = '300ms'")
        with holding(database, "INSERT INTO t VALUES (3)"), pytest.raises(DbmigrationError):
            session.query(sql)
        assert invalid_indexes(session, before) == ["public.old_ccnew"]
        assert settle(session, before) is Outcome.RUN_AGAIN
        assert session.query("SELECT relname FROM pg_class WHERE relname LIKE 'old%' ORDER BY 1") == [("old",)]


@pytest.mark.parametrize("end", ["COMMIT PREPARED", "ROLLBACK PREPARED"])
def test_a_prepared_transaction_that_is_there_was_not_ended(database: Database, end: str) -> None:
    gid = f"{database.name}-{end[0]}"
    with superuser(database) as session:
        session.query("BEGIN")
        session.query("CREATE TABLE prepared (n int)")
        session.query(f"PREPARE TRANSACTION '{gid}'")
        before = noted(session, f"{end} '{gid}'")
        assert settle(session, before) is Outcome.RUN_AGAIN
        session.query(f"{end} '{gid}'")
        assert settle(session, before) is Outcome.HAPPENED


def test_what_a_cut_off_reindex_left_of_long_values_is_said_where_the_role_may_not_drop_it(database: Database) -> None:
    database.psql("CREATE TABLE long (v text); ALTER TABLE long OWNER TO platform_owner")
    sql = "REINDEX TABLE CONCURRENTLY long"
    with database.connect() as session:
        before = noted(session, sql)
        session.query("SET statement_timeout = '300ms'")
        with holding(database, "INSERT INTO long VALUES ('x')"), pytest.raises(DbmigrationError):
            session.query(sql)
        session.take_warnings()
        assert settle(session, before) is Outcome.RUN_AGAIN
        (warning,) = session.take_warnings()
    left = database.psql("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")
    assert left.startswith("pg_toast.")
    assert f"DROP INDEX {left}" in warning


def test_a_detachment_cut_off_in_the_middle_is_finished(database: Database) -> None:
    database.psql(BEFORE)
    sql = "ALTER TABLE parted DETACH PARTITION part CONCURRENTLY"
    with superuser(database) as session:
        before = noted(session, sql)
        session.query("SET statement_timeout = '300ms'")
        with holding(database, "SELECT FROM parted"), pytest.raises(Transient):
            session.query(sql)
        session.query("RESET statement_timeout")
        assert session.query("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'part'::regclass") == [(True,)]
        assert settle(session, before) is Outcome.HAPPENED
        assert session.query("SELECT count(*) FROM pg_inherits WHERE inhrelid = 'part'::regclass") == [(0,)]
