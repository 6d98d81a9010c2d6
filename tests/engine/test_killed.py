"""The runner's process ends at the worst moments; afterwards each file has been applied exactly once."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres import lock
from dbmigration.postgres.session import Session
from tests.engine.conftest import Database
from tests.engine.server import wait_until
from tests.engine.support import applied_names, apply_all, apply_pending, start_apply, statements_done, wait_for, write_files

GATE = 4242
"""An advisory lock that the test holds: a migration that asks for it stands still until the test opens it."""

AT_THE_GATE = f"EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted)"
NOBODY_WORKS = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'dbmigration/%' AND datname = current_database())"

FIRST = "CREATE TABLE log (file int);\nINSERT INTO log VALUES (1);\n"
SECOND = f"INSERT INTO log VALUES (2);\nSET lock_timeout = 0;\nSELECT pg_advisory_xact_lock({GATE});\nINSERT INTO log VALUES (22);\n"
THIRD = "INSERT INTO log VALUES (3);\n"
FILES = {"001_first.sql": FIRST, "002_second.sql": SECOND, "003_third.sql": THIRD}


@pytest.fixture
def gate(database: Database) -> Iterator[Session]:
    """Closed until the test releases it: `gate.query("SELECT pg_advisory_unlock_all()")`."""
    with database.connect("gate") as session:
        session.query(f"SELECT pg_advisory_lock({GATE})")
        yield session


@contextlib.contextmanager
def running(database: Database, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """`dbmigration apply` in a process of its own, killed at the end whatever happens."""
    process = start_apply(database, directory)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def open_gate(gate: Session) -> None:
    gate.query("SELECT pg_advisory_unlock_all()")


def finish(database: Database, directory: Path) -> list[str]:
    """A second run, from the same files."""
    return apply_all(database, write_files(directory, {})).files


def assert_each_file_once(database: Database) -> None:
    assert applied_names(database) == list(FILES)
    assert database.psql("SELECT file FROM log") == "1\n2\n22\n3"
    assert database.psql("SELECT count(*) FROM dbmigration.event WHERE kind = 'applied'") == "3"


def test_killed_in_mid_file_frees_the_lock_at_once_and_each_file_runs_exactly_once(
    database: Database, gate: Session, tmp_path: Path
) -> None:
    write_files(tmp_path, FILES)
    with running(database, tmp_path) as process:
        wait_for(database, AT_THE_GATE, "the second file runs")
        process.send_signal(signal.SIGKILL)
        # The gate stays closed: only the server's own look at its client can end that statement.
        wait_for(database, NOBODY_WORKS, "the server notices that its client is gone")
    assert applied_names(database) == ["001_first.sql"]
    open_gate(gate)
    assert finish(database, tmp_path) == ["002_second.sql", "003_third.sql"]
    assert_each_file_once(database)


def test_killed_between_files_the_next_run_goes_on_with_the_next_file(database: Database, gate: Session, tmp_path: Path) -> None:
    write_files(tmp_path, FILES | {"002_second.sql": SECOND.replace("INSERT INTO log VALUES (2);\n", "")})
    with running(database, tmp_path) as process:
        wait_for(database, AT_THE_GATE, "the second file is reached")
        process.send_signal(signal.SIGKILL)
        wait_for(database, NOBODY_WORKS, "the server notices that its client is gone")
    open_gate(gate)
    assert finish(database, tmp_path) == ["002_second.sql", "003_third.sql"]
    assert database.psql("SELECT file FROM log") == "1\n22\n3"


def test_killed_right_after_a_commit_that_it_never_heard_of(database: Database, gate: Session, tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    with running(database, tmp_path) as process:
        wait_for(database, AT_THE_GATE, "the second file runs")
        process.send_signal(signal.SIGSTOP)  # frozen: whatever the server answers now is never read
        open_gate(gate)
        wait_until(lambda: "002_second.sql" in applied_names(database), "the server commits")
        process.send_signal(signal.SIGKILL)
        wait_for(database, NOBODY_WORKS, "the server notices that its client is gone")
    assert finish(database, tmp_path) == ["003_third.sql"]
    assert_each_file_once(database)


def test_killed_in_an_index_build_the_next_run_drops_the_invalid_index_and_builds_it(database: Database, tmp_path: Path) -> None:
    name = "001_build.sql"
    write_files(tmp_path, {name: "CREATE TABLE log (file int);\nINSERT INTO log VALUES (1);\nCREATE INDEX CONCURRENTLY i ON log (file);\n"})
    with database.connect("reader") as reader:
        reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.query("SELECT 1 FROM pg_class LIMIT 1")  # an old snapshot, which the build waits for in the end
        with running(database, tmp_path) as process:
            wait_for(database, "EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)"
                     " AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock')",
                     "the build waits")  # fmt: skip
            process.send_signal(signal.SIGKILL)
            wait_for(database, NOBODY_WORKS, "the server notices that its client is gone")
    assert statements_done(database, name) == [1, 2]
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "f"
    assert finish(database, tmp_path) == [name]
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "t"
    assert database.psql("SELECT file FROM log") == "1"


def test_two_runners_at_once_apply_each_file_once_and_both_end_well(database: Database, gate: Session, tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    with running(database, tmp_path) as one:
        wait_for(database, AT_THE_GATE, "the first runner holds the lock")
        with running(database, tmp_path) as two:
            wait_for(
                database,
                "(SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name LIKE 'dbmigration/%'"
                " AND application_name NOT LIKE '% monitor' AND datname = current_database())",
                "the second runner is connected",
            )
            open_gate(gate)
            said = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], said
    assert_each_file_once(database)


def test_sigterm_rolls_the_running_file_back_and_ends_the_process(database: Database, gate: Session, tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    with running(database, tmp_path) as process:
        wait_for(database, AT_THE_GATE, "the second file runs")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)  # the gate is closed all the while: the statement was cancelled
    assert process.returncode not in (0, -signal.SIGTERM), said
    assert Reason.INTERRUPTED in said
    assert applied_names(database) == ["001_first.sql"]
    assert database.psql("SELECT file FROM log") == "1"
    open_gate(gate)
    assert finish(database, tmp_path) == ["002_second.sql", "003_third.sql"]
    assert_each_file_once(database)


def test_a_stop_request_cancels_the_statement_and_leaves_a_session_that_works(database: Database, gate: Session, tmp_path: Path) -> None:
    files = write_files(tmp_path, FILES)
    with database.connect("stopped") as session:

        def stop() -> None:
            wait_for(database, AT_THE_GATE, "the second file runs")
            session.request_stop()

        asking = threading.Thread(target=stop)
        asking.start()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files)
        asking.join()
        assert (caught.value.reason, caught.value.after_sql) == (Reason.INTERRUPTED, True)
        assert session.query("SELECT current_setting('lock_timeout')") == [("2s",)]
        lock.check(session)
    assert applied_names(database) == ["001_first.sql"]


def test_a_server_that_no_longer_answers_is_cut_off_after_a_stop_request(
    database: Database, gate: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbmigration.postgres.wire._GIVE_UP_AFTER_S", 0.5)
    monkeypatch.setattr("dbmigration.postgres.wire._CANCEL_EVERY_S", 0.1)
    files = write_files(tmp_path, FILES)
    with database.connect("hung") as session:
        backend = session.pid

        def hang() -> None:
            wait_for(database, AT_THE_GATE, "the second file runs")
            os.kill(backend, signal.SIGSTOP)
            session.request_stop()

        hanging = threading.Thread(target=hang)
        hanging.start()
        try:
            with pytest.raises(Transient) as caught:
                apply_pending(session, files)
        finally:
            hanging.join()
            os.kill(backend, signal.SIGCONT)
    assert (caught.value.reason, caught.value.after_sql) == (Reason.INTERRUPTED, True)
    assert applied_names(database) == ["001_first.sql"]


def test_a_stop_request_ends_a_copy(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"{n}\n" for n in range(200_000))
    text = f"CREATE TABLE t (id int);\nCOPY t FROM STDIN;\n{rows}\\.\n"
    files = write_files(tmp_path, {"001_copy.sql": text})
    with database.connect("stopped") as session:

        def stop() -> None:
            wait_for(database, "EXISTS (SELECT FROM pg_stat_progress_copy) OR to_regclass('t') IS NOT NULL", "the COPY runs")
            session.request_stop()

        stopper = threading.Thread(target=stop)
        database.psql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN new; END $$")
        files = write_files(
            tmp_path,
            {
                "001_copy.sql": text.replace(
                    "COPY t", "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow();\nCOPY t", 1
                )
            },
        )
        stopper.start()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files)
        stopper.join()
    assert caught.value.reason is Reason.INTERRUPTED
    assert database.psql("SELECT to_regclass('t') IS NULL") == "t"


def test_a_connection_that_the_server_ends_is_transient_and_counted(database: Database, gate: Session, tmp_path: Path) -> None:
    files = write_files(tmp_path, FILES)
    with database.connect("victim") as session:

        def end() -> None:
            wait_for(database, AT_THE_GATE, "the second file runs")
            database.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'")

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files)
        ending.join()
    assert (caught.value.reason, caught.value.after_sql, caught.value.place.sqlstate) == (Reason.CONNECTION_LOST, True, "57P01")
    assert (caught.value.place.file, caught.value.place.line) == ("002_second.sql", 3)
    open_gate(gate)
    assert finish(database, tmp_path) == ["002_second.sql", "003_third.sql"]
    assert_each_file_once(database)
