"""Taking up an unfinished file when that is cut off itself: nothing is guessed, nothing is forgotten, and the next run goes on."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.recover import Outcome, note, settle
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from tests.engine.conftest import Database
from tests.engine.support import applied_names, apply_all, apply_pending, roll_back, statements_done, wait_for, write_files
from tests.engine.test_recover import BEFORE, holding, noted, superuser
from tests.soak.proxy import Proxy, Trigger, When

NAME = "001_steps.sql"
SCRATCH = "CREATE TEMP TABLE scratch AS SELECT 42 AS id;\n"
INDEX = "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
USES = "INSERT INTO t SELECT id FROM scratch;\n"
TWICE = "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); ALTER TABLE t OWNER TO platform_owner"


def failing(database: Database, directory: Path, text: str) -> DbmigrationError:
    with pytest.raises(DbmigrationError) as caught:
        apply_all(database, write_files(directory, {NAME: text}))
    return caught.value


def intents(database: Database) -> str:
    return database.psql("SELECT statement FROM dbmigration.progress WHERE state = 'started'")


def test_a_file_begins_again_when_nothing_but_a_temporary_object_was_made(database: Database, tmp_path: Path) -> None:
    """No statement is open here: its transaction was rolled back."""
    database.psql("CREATE TABLE t (id int); ALTER TABLE t OWNER TO platform_owner")
    text = f"-- Transaction: none\n{SCRATCH}SET my.setting = 'kept';\nINSERT INTO t SELECT 1/count(*) FROM t;\n{USES}"
    assert failing(database, tmp_path, text).place.sqlstate == "22012"
    assert (statements_done(database, NAME), intents(database)) == ([1, 2], "")
    database.psql("INSERT INTO t VALUES (7)")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("SELECT id FROM t ORDER BY 1") == "1\n7\n42"


def test_a_file_does_not_begin_again_when_the_index_that_it_needs_nothing_for_was_built(database: Database, tmp_path: Path) -> None:
    """The build whose end nobody saw did happen: then more than the temporary object was made."""
    database.psql(TWICE)
    failing(database, tmp_path, SCRATCH + INDEX + USES)
    database.psql("DROP INDEX i; TRUNCATE t; CREATE UNIQUE INDEX i ON t (id)")
    for _ in range(2):
        error = failing(database, tmp_path, SCRATCH + INDEX + USES)
        assert (error.reason, error.place.line) == (Reason.OUTCOME_UNKNOWN, 1)
        assert (statements_done(database, NAME), intents(database)) == ([1], "2")
    assert database.psql("SELECT count(*) FROM t") == "0"


def test_a_file_does_not_begin_again_over_a_procedure_that_may_have_committed(database: Database, tmp_path: Path) -> None:
    database.psql(
        "CREATE TABLE t (id int); ALTER TABLE t OWNER TO platform_owner;"
        " CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM 1/0; END $$"
    )
    failing(database, tmp_path, f"-- Transaction: none\n{SCRATCH}CALL p();\n{USES}")
    error = failing(database, tmp_path, f"-- Transaction: none\n{SCRATCH}CALL p();\n{USES}")
    assert error.reason is Reason.OUTCOME_UNKNOWN
    assert database.psql("TABLE t") == "1"


def test_a_rollback_script_begins_again_likewise(database: Database, tmp_path: Path) -> None:
    script = f"-- Transaction: none\n{SCRATCH}INSERT INTO t SELECT 1/count(*) FROM t;\n{USES}VACUUM t;\n"
    files = write_files(tmp_path, {NAME: "CREATE TABLE t (id int);\n", "rollback-001.sql": script})
    apply_all(database, files)
    with database.connect() as session, pytest.raises(Permanent):
        roll_back(session, files, NAME)
    assert statements_done(database, "rollback-001.sql") == [1]
    database.psql("INSERT INTO t VALUES (7)")
    with database.connect() as session:
        roll_back(session, files, NAME)
    assert database.psql("SELECT id FROM t ORDER BY 1") == "1\n7\n42"
    assert (applied_names(database), statements_done(database, "rollback-001.sql")) == ([], [])


@contextlib.contextmanager
def cut(database: Database, beginning: str) -> Iterator[None]:
    """The session that works on a statement which begins so is ended by the server."""
    ours = f"application_name = 'taken-up' AND state = 'active' AND query LIKE '{beginning}%'"

    def strike() -> None:
        wait_for(database, f"EXISTS (SELECT FROM pg_stat_activity WHERE {ours} AND wait_event_type = 'Lock')", f"{beginning} waits")
        database.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")

    striking = threading.Thread(target=strike)
    striking.start()
    yield
    striking.join()


@pytest.mark.parametrize("text", [SCRATCH + INDEX + USES, f"INSERT INTO t VALUES (42);\nDELETE FROM t WHERE id = 1;\n{INDEX}"])
def test_cut_off_while_it_drops_what_the_last_one_left_and_taken_up_by_the_next(database: Database, tmp_path: Path, text: str) -> None:
    """Before a file begins again, and before it goes on."""
    database.psql(TWICE if text.startswith(SCRATCH) else TWICE.replace("(1), (1)", "(42), (42)"))
    files = write_files(tmp_path, {NAME: text})
    failing(database, tmp_path, text)
    done = statements_done(database, NAME)
    database.psql("TRUNCATE t" if text.startswith(SCRATCH) else "TRUNCATE t; INSERT INTO t VALUES (42)")
    with holding(database, "SELECT FROM t"), cut(database, "DROP INDEX CONCURRENTLY"), database.connect("taken-up") as session:
        with pytest.raises(Transient) as caught:
            apply_pending(session, files)
        assert caught.value.reason is Reason.CONNECTION_LOST
    assert (statements_done(database, NAME), intents(database)) == (done, str(done[-1] + 1))
    apply_all(database, files)
    assert database.psql("TABLE t") == "42"
    assert database.psql("SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't'::regclass") == "i|t"
    assert (applied_names(database), intents(database)) == ([NAME], "")


def test_a_detachment_that_is_cut_off_again_while_it_is_finished(database: Database) -> None:
    database.psql(BEFORE)
    sql = "ALTER TABLE parted DETACH PARTITION part CONCURRENTLY"
    with superuser(database) as session:
        before = noted(session, sql)
        session.query("SET statement_timeout = '300ms'")
        with holding(database, "SELECT FROM parted"), pytest.raises(Transient):
            session.query(sql)
    with (
        holding(database, "SELECT FROM part"),
        cut(database, "ALTER TABLE parted DETACH PARTITION part FINALIZE"),
        database.connect("taken-up", user="postgres") as session,
    ):
        with pytest.raises(Transient) as caught:
            settle(session, before)
        assert caught.value.reason is Reason.CONNECTION_LOST
    with superuser(database) as session:
        assert settle(session, before) is Outcome.HAPPENED
        assert session.query("SELECT count(*) FROM pg_inherits WHERE inhrelid = 'part'::regclass") == [(0,)]


def through(proxy: Proxy, database: Database) -> Session:
    there = {"host": "127.0.0.1", "port": str(proxy.port), "dbname": database.name, "user": "postgres"}
    password = database.conninfo().password
    assert password is not None
    return connect(ConnInfo(there | {"password": password}), application_name="taken-up", settings=Settings())


@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("CREATE INDEX CONCURRENTLY cut ON t (n)", settle),
        ("DROP INDEX CONCURRENTLY old", settle),
        ("ALTER TABLE parted DETACH PARTITION part CONCURRENTLY", settle),
        ("ALTER TYPE mood ADD VALUE 'sad'", settle),
        ("CREATE DATABASE made_here", settle),
        ("CREATE INDEX CONCURRENTLY cut ON t (n)", lambda session, _: note(session, b"CREATE INDEX CONCURRENTLY cut ON t (n)")),
    ],
    ids=["index", "drop", "detach", "value", "database", "before-it-runs"],
)
def test_a_socket_that_drops_while_a_statement_is_looked_up_says_so_and_tells_nothing(
    database: Database, sql: str, what: Callable[[Session, dict[str, object]], object], when: When
) -> None:
    database.psql(BEFORE)
    with superuser(database) as session:
        before = noted(session, sql)
    with Proxy(database.server.port) as proxy, through(proxy, database) as session:
        proxy.arm(Trigger(1, when), proxy.cut)
        with pytest.raises(Transient) as caught:
            what(session, before)
        assert caught.value.reason is Reason.CONNECTION_LOST
        with pytest.raises(Transient) as caught:
            what(session, before)
        assert caught.value.reason is Reason.CONNECTION_LOST
    with superuser(database) as session:
        assert settle(session, before) is Outcome.RUN_AGAIN
