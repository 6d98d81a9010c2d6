"""Single looks of the monitor, and a session that is lost when all is done."""

import threading
import time
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres.activity import look
from dbmigration.postgres.apply import FileProgress
from dbmigration.postgres.monitor import Monitor, Sight
from dbmigration.postgres.session import connect_beside
from tests.engine.conftest import Database
from tests.engine.server import wait_until
from tests.engine.support import Applied, applied_names, apply_pending, wait_for, write_files

NAME = "dbmigration/watched"


LOCKS_WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.mark.parametrize(
    ("held", "wanted", "words"),
    [
        ("UPDATE app.busy SET id = 9 WHERE id = 1", "UPDATE app.busy SET id = 8 WHERE id = 1", "rows that another transaction has changed"),
        ("SELECT pg_advisory_xact_lock(7)", "SELECT pg_advisory_xact_lock(7)", "a lock (advisory)"),
    ],
    ids=["rows", "advisory"],
)
def test_what_is_waited_for_that_is_no_table(busy: Database, held: str, wanted: str, words: str) -> None:
    with busy.connect("holder") as holder, busy.connect(NAME) as session, connect_beside(session, "monitor") as beside:
        holder.query("BEGIN")
        holder.query(held)
        waiter = threading.Thread(target=session.query, args=(wanted,))
        waiter.start()
        wait_for(busy, f"({LOCKS_WAITED_FOR}) = 1", "it waits")
        seen = look(lambda sql, given: beside.execute(sql.encode(), given).fetchall(), session.pid)
        holder.query("ROLLBACK")
        waiter.join(60)
    assert seen.waiting is not None
    assert seen.waiting.what == words
    assert "application holder" in seen.waiting.blockers[0]


def test_a_look_that_the_migration_shuts_out_is_missing_and_the_next_one_is_not(busy: Database) -> None:
    with busy.connect(NAME, user="postgres") as session:
        monitor = Monitor(session)
        monitor.start()
        try:
            assert isinstance(monitor.found.get(timeout=60), Sight)
            session.query("BEGIN")
            session.query("LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
            wait_until(
                lambda: f"[{NAME} monitor] ERROR:  canceling statement due to lock timeout" in busy.server.log.read_text(), "no look"
            )
            session.query("ROLLBACK")
            at = time.monotonic()
            while isinstance(found := monitor.found.get(timeout=60), Sight) and found.at < at:
                pass
            assert isinstance(found, Sight)
        finally:
            monitor.close()


def test_a_lost_session_after_a_file_that_is_done_is_told_by_its_next_use(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_a.sql": "-- Transaction: none\nDO $$BEGIN RAISE WARNING 'kill me'; END$$;\nSELECT 1;\n"})
    with busy.connect(NAME) as session:

        def kill(at: FileProgress) -> None:
            if at.message == "WARNING: kill me":
                busy.psql(f"SELECT pg_terminate_backend({session.pid}, 5000)")

        done = Applied()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files, on_progress=kill, into=done)
    assert (done.files, applied_names(busy)) == (["001_a.sql"], ["001_a.sql"])
    assert caught.value.reason is Reason.CONNECTION_LOST
