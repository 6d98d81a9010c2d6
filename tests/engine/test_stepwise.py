"""Files that no single transaction can hold: recorded progress, resume, INVALID indexes, and no guessing."""

import threading
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.settings import Execution
from tests.engine.conftest import Database
from tests.engine.stepping import FIVE, NAME, failing, invalid_indexes
from tests.engine.support import (
    QUICK,
    applied_names,
    apply_all,
    apply_pending,
    history_of,
    roll_back,
    statements_done,
    wait_for,
    write_files,
)


def test_failed_midway_non_transactional_says_what_is_done_and_resumes_at_3(database: Database, tmp_path: Path) -> None:
    error = failing(database, tmp_path, FIVE)
    assert (error.reason, error.place.sqlstate, error.place.line) == (Reason.SQL_FAILED, "23505", 3)
    assert statements_done(database, NAME) == [1, 2]
    assert history_of(database).partial[NAME][0] == 2
    assert history_of(database).applied == ()
    database.psql("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
    done = apply_all(database, write_files(tmp_path, {NAME: FIVE}))
    assert (done.files, done.results[0].transactional) == ([NAME], False)
    assert database.psql("SELECT id FROM t ORDER BY 1") == "1\n7"
    assert statements_done(database, NAME) == []
    assert applied_names(database) == [NAME]
    assert invalid_indexes(database) == ""


def test_concurrent_index_left_invalid_is_named_and_dropped_by_the_retry(database: Database, tmp_path: Path) -> None:
    error = failing(database, tmp_path, FIVE)
    assert "public.t_id" in error.message
    assert invalid_indexes(database) == "t_id"
    assert failing(database, tmp_path, FIVE).place.sqlstate == "23505"
    assert invalid_indexes(database) == "t_id"
    database.psql("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
    apply_all(database, write_files(tmp_path, {NAME: FIVE}))
    assert invalid_indexes(database) == ""
    assert database.psql("SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid") == "2"


def test_an_unnamed_invalid_index_is_found_too(database: Database, tmp_path: Path) -> None:
    text = FIVE.replace("CONCURRENTLY t_id ON", "CONCURRENTLY ON")
    assert "public.t_id_idx" in failing(database, tmp_path, text).message
    database.psql("TRUNCATE t")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert invalid_indexes(database) == ""
    assert database.psql("SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass") == "2"


def test_if_not_exists_does_not_hide_an_index_that_someone_else_left_invalid(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); ALTER TABLE t OWNER TO platform_owner")
    with pytest.raises(AssertionError):
        database.psql("CREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id)")
    error = failing(database, tmp_path, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id ON t (id);\n")
    assert (error.reason, error.place.line) == (Reason.SQL_FAILED, 1)
    assert "public.t_id" in error.message
    assert history_of(database).applied == ()
    database.psql("DROP INDEX t_id; TRUNCATE t")
    apply_all(database, write_files(tmp_path, {NAME: "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id ON t (id);\n"}))
    assert invalid_indexes(database) == ""


def test_blocks_of_the_file_are_transactions_with_their_progress(database: Database, tmp_path: Path) -> None:
    text = (
        "BEGIN;\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\nCOMMIT;\n"
        "BEGIN;\nINSERT INTO a VALUES (2);\nINSERT INTO a SELECT 1/0;\nCOMMIT;\nINSERT INTO a VALUES (3);\n"
    )
    error = failing(database, tmp_path, text)
    assert (error.place.line, error.place.sqlstate) == (7, "22012")
    assert statements_done(database, NAME) == [1, 2, 3, 4]
    assert database.psql("TABLE a") == "1"
    apply_all(database, write_files(tmp_path, {NAME: text.replace("1/0", "5")}))
    assert database.psql("TABLE a") == "1\n2\n5\n3"


def test_a_block_that_rolls_itself_back_leaves_nothing_but_its_progress(database: Database, tmp_path: Path) -> None:
    text = "CREATE TABLE a (id int);\nBEGIN;\nINSERT INTO a VALUES (1);\nROLLBACK;\nVACUUM a;\nINSERT INTO a VALUES (2);\n"
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("TABLE a") == "2"
    assert applied_names(database) == [NAME]


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("CREATE TABLE t (id int);\nVACUUM t;\nANALYZE t;\n", "to_regclass('t') IS NOT NULL"),
        (
            "CREATE TABLE t (id int PRIMARY KEY);\nREINDEX TABLE CONCURRENTLY t;\nCLUSTER t USING t_pkey;\n",
            "to_regclass('t_pkey') IS NOT NULL",
        ),
        ("CREATE TABLE t (id int);\nCREATE INDEX i ON t (id);\nDROP INDEX CONCURRENTLY i;\n", "to_regclass('i') IS NULL"),
        (
            "-- Transaction: none\nCREATE TYPE e AS ENUM ('a');\nALTER TYPE e ADD VALUE 'b';\nCREATE TABLE t (x e DEFAULT 'b');\n",
            "to_regclass('t') IS NOT NULL",
        ),
        (
            "CREATE TABLE p (id int) PARTITION BY RANGE (id);\nCREATE TABLE c PARTITION OF p FOR VALUES FROM (1) TO (9);\n"
            "ALTER TABLE p DETACH PARTITION c CONCURRENTLY;\n",
            "NOT EXISTS (SELECT FROM pg_inherits)",
        ),
        (
            "-- Transaction: none\nCREATE TABLE t (id int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); END $$;\nCALL p();\n",
            "(SELECT count(*) = 2 FROM t)",
        ),
        (
            "-- Transaction: none\nCREATE TABLE t (id int);\nCOPY t FROM STDIN;\n1\n2\n\\.\nBEGIN;\nCOPY t FROM STDIN;\n3\n\\.\nCOMMIT;\n",
            "(SELECT sum(id) = 6 FROM t)",
        ),
    ],
    ids=["vacuum", "reindex", "drop-index", "enum", "detach", "procedure-that-commits", "copy"],
)  # fmt: skip
def test_what_cannot_run_in_a_transaction_runs_outside_of_one(database: Database, tmp_path: Path, text: str, check: str) -> None:
    done = apply_all(database, write_files(tmp_path, {NAME: text}))
    assert done.results[0].transactional is False
    assert database.psql(f"SELECT {check}") == "t"
    assert applied_names(database) == [NAME]
    assert database.psql("SELECT count(*) FROM dbmigration.progress") == "0"


def test_a_database_is_created_and_dropped(database: Database, tmp_path: Path) -> None:
    other = f"{database.name}_other"
    apply_all(database, write_files(tmp_path, {NAME: f"CREATE DATABASE {other};\n"}))
    assert database.psql(f"SELECT count(*) FROM pg_database WHERE datname = '{other}'") == "1"
    apply_all(database, write_files(tmp_path, {NAME: f"CREATE DATABASE {other};\n", "002_drop.sql": f"DROP DATABASE {other};\n"}))
    assert database.psql(f"SELECT count(*) FROM pg_database WHERE datname = '{other}'") == "0"


def test_a_concurrent_index_is_built_without_lock_timeout_and_what_follows_has_the_files_own(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE TABLE t (id int);\nSET lock_timeout = '1234ms';\nCREATE INDEX CONCURRENTLY i ON t (id);\n"
        "SELECT set_config('test.seen', current_setting('lock_timeout'), false);\n"
    )
    with database.connect("dbmigration/cic") as session:
        apply_pending(session, write_files(tmp_path, {NAME: text}))
    log = database.statements_of("dbmigration/cic")
    build = log.index("statement: CREATE INDEX CONCURRENTLY i")
    assert log.index("SET lock_timeout = '1234ms'") < log.rindex("SET lock_timeout = 0", 0, build)
    assert build < log.index("SET lock_timeout = 1234", build) < log.index("set_config('test.seen'")


@pytest.mark.parametrize("statement", ["VACUUM FULL app.busy", "REINDEX SCHEMA app"])
def test_what_keeps_others_out_and_needs_no_transaction_waits_no_longer_than_the_growing_lock_timeout(
    database: Database, tmp_path: Path, statement: str
) -> None:
    database.psql("CREATE SCHEMA app AUTHORIZATION platform_owner; CREATE TABLE app.busy (id int PRIMARY KEY)")
    database.psql("ALTER TABLE app.busy OWNER TO platform_owner")
    with database.connect("blocker") as blocker, database.connect(f"dbmigration/{database.name}", execution=QUICK) as session:
        blocker.query("BEGIN")
        blocker.query("LOCK app.busy IN ROW EXCLUSIVE MODE")
        with pytest.raises(Transient) as caught:
            apply_pending(session, write_files(tmp_path, {NAME: f"{statement};\n"}), execution=QUICK)
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert "blocker" in caught.value.message
    log = database.statements_of(f"dbmigration/{database.name}")
    assert [log.count(f"SET lock_timeout = {ms}") for ms in (62, 78)] == [1, 1]
    assert "SET lock_timeout = 0" not in log


def test_a_concurrent_index_that_fails_gives_the_lock_timeout_back(database: Database, tmp_path: Path) -> None:
    """What is tried again in the same session must not wait for ever."""
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); ALTER TABLE t OWNER TO platform_owner")
    text = "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
    with database.connect("dbmigration/given-back") as session, pytest.raises(Permanent):
        apply_pending(session, write_files(tmp_path, {NAME: text}))
    log = database.statements_of("dbmigration/given-back")
    assert log.index("SET lock_timeout = 0") < log.index("SET lock_timeout = 2000")


def test_a_procedure_that_failed_midway_is_never_run_again_by_guess(database: Database, tmp_path: Path) -> None:
    text = (
        "-- Transaction: none\nCREATE TABLE t (id int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO t VALUES (1); COMMIT; INSERT INTO t SELECT 1/0; END $$;\nCALL p();\n"
    )
    assert failing(database, tmp_path, text).place.sqlstate == "22012"
    error = failing(database, tmp_path, text)
    assert (error.reason, error.place.line) == (Reason.OUTCOME_UNKNOWN, 4)
    assert database.psql("TABLE t") == "1"
    way_out = error.message[error.message.index("UPDATE") : error.message.index("; if not")]
    database.psql(way_out)
    assert apply_all(database, write_files(tmp_path, {NAME: text})).files == [NAME]
    assert database.psql("TABLE t") == "1"


def test_a_verify_script_runs_after_a_non_transactional_file_and_leaves_nothing(database: Database, tmp_path: Path) -> None:
    text = "CREATE TABLE t (id int);\nCREATE INDEX CONCURRENTLY i ON t (id);\n"
    verify = "INSERT INTO t VALUES (1);\nSELECT count(*) = 0 AS t_is_empty FROM t;\n"
    error = failing(database, tmp_path, text, **{"verify-001.sql": verify})
    assert (error.reason, error.place.file, error.place.line) == (Reason.VERIFY_FAILED, "verify-001.sql", 2)
    assert statements_done(database, NAME) == [1, 2]
    apply_all(database, write_files(tmp_path, {NAME: text, "verify-001.sql": verify.replace("= 0", "= 1")}))
    assert applied_names(database) == [NAME]
    assert database.psql("SELECT count(*) FROM t") == "0"


def test_a_non_transactional_rollback_script_works_and_resumes(database: Database, tmp_path: Path) -> None:
    files = write_files(
        tmp_path,
        {
            NAME: "CREATE TABLE t (id int);\nCREATE INDEX i ON t (id);\n",
            "rollback-001.sql": "DROP INDEX CONCURRENTLY i;\nSELECT 1/(SELECT count(*) FROM t);\nDROP TABLE t;\n",
        },
    )
    with database.connect() as session:
        apply_pending(session, files)
        with pytest.raises(Permanent) as caught:
            roll_back(session, files, NAME)
        assert (caught.value.place.file, caught.value.place.line) == ("rollback-001.sql", 2)
        assert history_of(database).partial == {}
        assert applied_names(database) == [NAME]
        database.psql("INSERT INTO t VALUES (1)")
        assert roll_back(session, files, NAME).transactional is False
    assert applied_names(database) == []
    assert database.psql("SELECT to_regclass('t') IS NULL AND to_regclass('i') IS NULL") == "t"


def test_lock_timeouts_within_the_file_are_tried_again_where_it_stands(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE busy (id int); ALTER TABLE busy OWNER TO platform_owner")
    text = "CREATE TABLE t (id int);\nVACUUM t;\nALTER TABLE busy ADD COLUMN x int;\n"
    execution = Execution(lock_timeout_ms=50, lock_retries=2)
    with database.connect("blocker") as blocker:
        blocker.query("BEGIN")
        blocker.query("SELECT count(*) FROM busy")
        with pytest.raises(Transient) as caught:
            apply_all(database, write_files(tmp_path, {NAME: text}), execution=execution)
        assert (caught.value.reason, caught.value.place.line) == (Reason.LOCK_TIMEOUT, 3)
        assert statements_done(database, NAME) == [1, 2]
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert applied_names(database) == [NAME]


def test_a_block_of_long_statements_is_sent_in_pieces_and_is_one_transaction(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"INSERT INTO t VALUES ('{letter * 40_000}');\n" for letter in "abc")
    text = f"CREATE TABLE t (v text UNIQUE);\nVACUUM t;\nBEGIN;\n{rows}INSERT INTO t VALUES ('a'), ('a');\nCOMMIT;\n"
    error = failing(database, tmp_path, text)
    assert (error.place.sqlstate, error.place.line) == ("23505", 7)
    assert database.psql("SELECT count(*) FROM t") == "0"
    apply_all(database, write_files(tmp_path, {NAME: text.replace("('a'), ('a')", "('d')")}))
    assert database.psql("SELECT count(*) FROM t") == "4"


def test_what_is_known_of_a_statement_is_written_down_though_a_late_cancel_hits_it(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE t (id int); ALTER TABLE t OWNER TO platform_owner")
    files = write_files(tmp_path, {"000_first.sql": "SELECT 1;", NAME: "VACUUM t;\nCREATE TABLE never (id int);\n"})
    apply_all(database, files, target="000")
    patient = Execution(lock_timeout_ms=60_000)
    raised: list[DbmigrationError] = []
    waiting = "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND waitstart > '{}' AND relation = '{}'::regclass)"

    def run() -> None:
        try:
            apply_pending(session, files, execution=patient)
        except DbmigrationError as error:
            raised.append(error)

    with (
        database.connect(execution=patient) as session,
        psycopg.connect(database.dsn, user="postgres") as table,
        psycopg.connect(database.dsn, user="postgres") as progress,
    ):
        table.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(database, waiting.format("-infinity", "t"), "VACUUM waits")
        progress.execute("LOCK TABLE dbmigration.progress IN ACCESS EXCLUSIVE MODE")
        table.rollback()
        wait_for(database, waiting.format("-infinity", "dbmigration.progress"), "its end is about to be written down")
        session.request_stop()
        before = database.psql(f"SELECT clock_timestamp() FROM pg_cancel_backend({session.pid})")
        wait_for(database, waiting.format(before, "dbmigration.progress"), "it is written down once more")
        progress.rollback()
        thread.join(60)
    assert [error.reason for error in raised] == [Reason.INTERRUPTED]
    assert statements_done(database, NAME) == [1]
    assert database.psql("SELECT to_regclass('never') IS NULL") == "t"
