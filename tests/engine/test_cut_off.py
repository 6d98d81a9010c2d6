"""What a run leaves that is cut off within a file that runs statement by statement, and what the next run takes up of it."""

import threading
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres import lock
from dbmigration.run.engine import Engine
from dbmigration.run.options import DriftPolicy, LintPolicy, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import apply_all, apply_pending, statements_done, wait_for, write_files

NAME = "001_cut_off.sql"


@pytest.mark.parametrize("remains", ["ccnew", "ccold"])
def test_a_reindex_that_was_cut_off_leaves_nothing_behind(database: Database, tmp_path: Path, remains: str) -> None:
    """REINDEX CONCURRENTLY cut off before the swap leaves a new INVALID index, after it the old one under another name."""
    database.psql("CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER TABLE t OWNER TO platform_owner")
    text = "SELECT 1;\nREINDEX INDEX CONCURRENTLY i;\n"
    with database.connect("reader") as reader:
        reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.query("SELECT count(*) FROM t")
        with database.connect("cut-off") as session:

            def cut() -> None:
                wait_for(database, "EXISTS (SELECT FROM pg_class WHERE relname = 'i_ccnew')", "the new index is there")
                database.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut-off'")

            cutting = threading.Thread(target=cut)
            cutting.start()
            with pytest.raises(Transient):
                apply_pending(session, write_files(tmp_path, {NAME: text}))
            cutting.join()
    if remains == "ccold":
        database.psql("DROP INDEX i_ccnew; ALTER INDEX i RENAME TO i_ccold; CREATE INDEX i ON t (id)")
        database.psql("UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'i_ccold'::regclass")
    assert database.psql("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == f"i_{remains}"
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't'::regclass") == "i|t"


def test_discard_all_leaves_the_lock_with_the_run(database: Database, tmp_path: Path) -> None:
    text = (
        "-- Transaction: none\nCREATE TEMP TABLE scratch (id int);\nSET search_path = nowhere;\nDISCARD ALL;\n"
        "CREATE TABLE t AS SELECT to_regclass('scratch') IS NULL AS forgotten;\nVACUUM t;\n"
    )
    with database.connect("discards") as session:
        lock.acquire(session, wait_s=1, on_wait=lambda _: None)
        apply_pending(session, write_files(tmp_path, {NAME: text}))
        assert database.psql("SELECT forgotten FROM public.t") == "t"
    assert "pg_advisory" not in database.statements_of("discards").partition("DISCARD SEQUENCES")[2].partition("CREATE TABLE t")[0]


def test_a_resume_takes_up_no_setting_that_the_file_rolled_back_or_discarded(database: Database, tmp_path: Path) -> None:
    text = (
        "SET work_mem = '1MB';\nDISCARD ALL;\nSET my.kept = 'yes';\nBEGIN;\nSET my.undone = 'yes';\nROLLBACK;\nCREATE TABLE t (id int);\n"
        "INSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
        "CREATE TABLE seen AS SELECT current_setting('my.kept') AS kept, current_setting('my.undone', true) AS undone,"
        " current_setting('work_mem') AS discarded;\n"
    )
    with pytest.raises(Permanent):
        apply_all(database, write_files(tmp_path, {NAME: text}))
    database.psql("TRUNCATE t")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("SELECT kept, coalesce(undone, ''), discarded FROM seen") == f"yes||{database.psql('SHOW work_mem')}"


def test_a_stop_request_right_after_a_procedure_does_not_make_its_outcome_unknown(database: Database, tmp_path: Path) -> None:
    """The CALL ends well although it was asked to stop: that is known, and written down."""
    text = (
        "-- Transaction: none\nCREATE TABLE t (id int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$\n"
        "BEGIN INSERT INTO t VALUES (1); COMMIT;"
        " BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; INSERT INTO t VALUES (2); END $$;\nCALL p();\n"
        "INSERT INTO t VALUES (3);\n"
    )
    files = write_files(tmp_path, {NAME: text})
    with database.connect("stopped") as session:

        def stop() -> None:
            wait_for(database, "to_regclass('t') IS NOT NULL", "the table is there")
            wait_for(database, "EXISTS (SELECT FROM t)", "the procedure has committed its first part")
            session.request_stop()

        stopping = threading.Thread(target=stop)
        stopping.start()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files)
        stopping.join()
    assert caught.value.reason is Reason.INTERRUPTED
    assert statements_done(database, NAME) == [1, 2, 3]
    apply_all(database, files)
    assert database.psql("SELECT id FROM t ORDER BY 1") == "1\n2\n3"


def test_a_run_that_died_over_an_open_statement_makes_no_false_alarm_of_drift(database: Database, tmp_path: Path) -> None:
    """A failed index build is in the snapshot as INVALID; the run that built it well and died was no stranger."""
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); ALTER TABLE t OWNER TO platform_owner")
    write_files(tmp_path, {NAME: "SELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\nSELECT 1/0;\n"})

    def state_of(result: RunResult) -> str | None:
        return result.error.place.sqlstate if result.error else None

    def run() -> RunResult:
        options = RunOptions(tmp_path, "run", drift=DriftPolicy.REFUSE, lint=LintPolicy.OFF)
        return Engine(options, database.conninfo(), lambda _: None, StopRequest()).run()

    first = run()
    assert state_of(first) == "23505"
    database.psql("TRUNCATE t")
    kept = database.psql("SELECT max(id) FROM dbmigration.snapshot")
    intent = database.psql("SELECT detail FROM dbmigration.progress WHERE statement = 2")
    second = run()
    assert state_of(second) == "22012"
    # As if it had died right after the build: the progress row is still the intent, and nobody has recorded the schema.
    database.psql(f"DELETE FROM dbmigration.snapshot WHERE id > {kept}")
    database.psql(f"UPDATE dbmigration.progress SET state = 'started', detail = '{intent}' WHERE statement = 2")
    third = run()
    assert state_of(third) == "22012"
    assert third.drift == ()
