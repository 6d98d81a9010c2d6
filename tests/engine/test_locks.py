"""The run's own lock, and the locks of others that a file has to wait for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres import lock
from dbmigration.postgres.apply import FileProgress
from dbmigration.postgres.settings import Execution
from tests.engine.conftest import Database
from tests.engine.support import QUICK, applied_names, apply_all, apply_pending, write_files

ALTER = "CREATE TABLE IF NOT EXISTS before_it (id int);\nALTER TABLE busy ADD COLUMN x int;\n"


def busy(database: Database) -> None:
    database.psql("CREATE TABLE busy (id int); ALTER TABLE busy OWNER TO platform_owner")


def test_the_second_session_waits_and_is_told_who_holds_the_lock(database: Database) -> None:
    with database.connect("dbmigration/one") as one, database.connect("dbmigration/two") as two:
        lock.acquire(one, wait_s=0, on_wait=lambda _: None)
        told: list[str] = []
        with pytest.raises(Transient) as caught:
            lock.acquire(two, wait_s=1.5, on_wait=told.append)
        assert len(told) == 1
        assert caught.value.reason is Reason.LOCK_HELD
        assert caught.value.after_sql is False
        for text in (told[0], caught.value.message):
            assert f"process {one.pid}" in text
            assert "dbmigration/one" in text
        lock.release(one)
        lock.acquire(two, wait_s=5, on_wait=told.append)
        lock.check(two)


def test_the_lock_is_one_per_database(database: Database, database_factory: Callable[[], Database]) -> None:
    with database.connect() as one, database_factory().connect() as two:
        lock.acquire(one, wait_s=0, on_wait=lambda _: None)
        lock.acquire(two, wait_s=0, on_wait=lambda _: None)
        lock.check(one)
        lock.check(two)


def test_who_has_the_lock_and_asks_again_gives_it_back_with_one_release(database: Database) -> None:
    with database.connect() as one, database.connect() as two:
        lock.acquire(one, wait_s=0, on_wait=lambda _: None)
        lock.acquire(one, wait_s=0, on_wait=lambda _: None)
        lock.release(one)
        lock.acquire(two, wait_s=0, on_wait=lambda _: None)


def test_a_lock_that_is_lost_is_noticed_by_check_and_by_release(database: Database) -> None:
    with database.connect() as session:
        for notice in (lock.check, lock.release):
            lock.acquire(session, wait_s=0, on_wait=lambda _: None)
            session.query("SELECT pg_advisory_unlock_all()")
            with pytest.raises(Transient) as caught:
                notice(session)
            assert caught.value.reason is Reason.CONNECTION_LOST


def test_a_file_that_gives_all_locks_back_stops_the_run_before_the_next_file(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_a.sql": "SELECT pg_advisory_unlock_all();\n", "002_b.sql": "CREATE TABLE b (id int);\n"})
    with pytest.raises(Transient) as caught:
        apply_all(database, files)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert applied_names(database) == ["001_a.sql"]
    assert apply_all(database, files).files == ["002_b.sql"]


def test_waiting_for_the_lock_ends_with_a_stop_request(database: Database) -> None:
    with database.connect() as one, database.connect() as two:
        lock.acquire(one, wait_s=0, on_wait=lambda _: None)
        with pytest.raises(Transient) as caught:
            lock.acquire(two, wait_s=600, on_wait=lambda _: two.request_stop())
        assert caught.value.reason is Reason.INTERRUPTED


def test_lock_queue_gives_up_after_its_tries_and_names_the_blocker(database: Database, tmp_path: Path) -> None:
    busy(database)
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    with database.connect("long-reader") as reader:
        pid = reader.pid
        reader.query("BEGIN")
        reader.query("SELECT count(*) FROM busy WHERE 'customer secret' <> ''")
        with pytest.raises(Transient) as caught:
            apply_all(database, files, execution=QUICK)
    error = caught.value
    assert (error.reason, error.after_sql) == (Reason.LOCK_TIMEOUT, True)
    assert (error.place.file, error.place.line, error.place.sqlstate) == ("001_alter.sql", 2, "55P03")
    for part in (f"process {pid}", "platform_owner", "long-reader", "idle in transaction"):
        assert part in error.message
    assert "customer secret" not in str(error)
    assert database.psql("SELECT to_regclass('before_it') IS NULL") == "t"
    assert apply_all(database, files).files == ["001_alter.sql"]


def test_a_prepared_transaction_that_blocks_is_named(database: Database, tmp_path: Path) -> None:
    busy(database)
    with database.connect() as other:
        other.query("BEGIN")
        other.query("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        other.query(f"PREPARE TRANSACTION '{database.name}-left-over'")
    with pytest.raises(Transient) as caught:
        apply_all(database, write_files(tmp_path, {"001_alter.sql": ALTER}), execution=QUICK)
    assert f"{database.name}-left-over" in caught.value.message
    with database.connect() as other:
        other.query(f"ROLLBACK PREPARED '{database.name}-left-over'")


def test_the_whole_file_is_tried_again_with_growing_timeouts_until_the_reader_has_gone(database: Database, tmp_path: Path) -> None:
    busy(database)
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    with database.connect("long-reader") as reader, database.connect("dbmigration/patient", execution=QUICK) as session:
        reader.query("BEGIN")
        reader.query("SELECT count(*) FROM busy")
        told: list[str] = []

        def listen(at: FileProgress) -> None:
            if at.message:
                told.append(at.message)
                if len(told) == 2:
                    reader.query("COMMIT")

        done = apply_pending(session, files, execution=Execution(lock_timeout_ms=40, lock_retries=5), on_progress=listen)
    assert done.results[0].attempts == 3
    assert all("long-reader" in message for message in told)
    log = database.statements_of("dbmigration/patient")
    assert [log.count(f"SET LOCAL lock_timeout = {ms}") for ms in (40, 50, 62)] == [1, 1, 1]
    assert applied_names(database) == ["001_alter.sql"]


def test_other_readers_are_let_through_between_tries(database: Database, tmp_path: Path) -> None:
    """A waiting ALTER TABLE queues every later reader behind it: never longer than the lock timeout."""
    busy(database)
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    with database.connect("long-reader") as reader, database.connect("late-reader") as late:
        reader.query("BEGIN")
        reader.query("SELECT count(*) FROM busy")
        late.query("SET lock_timeout = '20s'")
        seen: list[int] = []

        def read(at: FileProgress) -> None:
            if at.message:
                seen.append(len(late.query("SELECT count(*) FROM busy")))

        with pytest.raises(Transient), database.connect() as session:
            apply_pending(session, files, execution=QUICK, on_progress=read)
        assert seen == [1, 1]


def test_only_locks_deadlocks_and_serialization_are_tried_again(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE SEQUENCE IF NOT EXISTS never;\nDO $$ BEGIN\n"
        "  IF nextval('tries') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '{}'; END IF;\nEND $$;\n"
    )
    database.psql("CREATE SEQUENCE tries; ALTER SEQUENCE tries OWNER TO platform_owner")
    for state, attempts in (("40P01", 3), ("40001", 3), ("55P03", 3)):
        database.psql("ALTER SEQUENCE tries RESTART")
        name = f"001_{state.lower()}.sql"
        folder = tmp_path / state
        table = write_files(
            folder, {name: text.format(state), "dbmigration.toml": f'[history]\nschema = "h{state.lower()}"\ntable = "t"\n'}
        )
        database.psql("DROP SCHEMA IF EXISTS dbmigration CASCADE")
        done = apply_all(database, table, execution=Execution(lock_timeout_ms=20, lock_retries=5))
        assert done.results[0].attempts == attempts
    database.psql("ALTER SEQUENCE tries RESTART; DROP SCHEMA dbmigration CASCADE")
    with pytest.raises(Transient) as caught:
        apply_all(database, write_files(tmp_path / "other", {"001_a.sql": text.format("53200")}))
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    assert database.psql("SELECT last_value FROM tries") == "1"


def test_a_statement_timeout_is_transient_and_counted(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_slow.sql": "SELECT 1;\nSELECT pg_sleep(600);\n"})
    with pytest.raises(Transient) as caught:
        apply_all(database, files, execution=Execution(statement_timeout_ms=100))
    assert (caught.value.reason, caught.value.after_sql, caught.value.place.line) == (Reason.DEADLINE_EXCEEDED, True, 2)
