"""What is told of a file while it waits, holds locks or builds an index; and what a quick one costs."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import TERMINATION_LIMIT, Report
from dbmigration.errors import Transient
from dbmigration.postgres.apply import FileProgress
from dbmigration.postgres.settings import Execution
from dbmigration.postgres.watch import Held
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.progress import Progress, Step
from dbmigration.run.reporting import build_report
from dbmigration.run.result import Done, RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.server import wait_until
from tests.engine.support import Applied, applied_names, apply_all, apply_pending, wait_for, write_files

NAME = "dbmigration/watched"
ALTER = "ALTER TABLE app.busy ADD COLUMN x int;\n"


@contextmanager
def reading(database: Database, name: str = "long-reader") -> Iterator[Callable[[], None]]:
    """A transaction that has read app.busy; what is yielded ends it, from whichever thread."""
    with database.connect(name) as reader:
        reader.query("BEGIN")
        reader.query("SELECT count(*) FROM app.busy WHERE 'customer secret' <> ''")

        def end() -> None:
            reader.query("COMMIT")

        yield end


def log_of(database: Database, name: str) -> str:
    """Every line that the server's log has of an application, prepared or not."""
    return "\n".join(line for line in database.server.log.read_text(errors="replace").splitlines() if f"[{name}] " in line)


def messages(told: Applied) -> list[str]:
    return [at.message for at in told.progress if at.message]


def test_a_wait_is_told_with_what_is_waited_for_and_who_blocks_it_while_it_lasts(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    told: list[FileProgress] = []
    with reading(busy) as end, busy.connect(NAME) as session:

        def listen(at: FileProgress) -> None:
            told.append(at)
            if at.blocked_by:
                end()

        done = apply_pending(session, files, execution=Execution(lock_timeout_ms=60_000), on_progress=listen)
    assert done.results[0].attempts == 1
    waiting = next(at for at in told if at.blocked_by)
    assert waiting.notice
    assert waiting.blocked_by
    assert waiting.message
    for part in ("long-reader", "platform_owner", "idle in transaction", "process "):
        assert part in waiting.blocked_by
    assert "ACCESS EXCLUSIVE on app.busy" in waiting.message
    assert "customer secret" not in waiting.message + waiting.blocked_by
    assert applied_names(busy) == ["001_alter.sql"]


def test_a_quick_file_opens_no_second_connection(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {f"{number:03}_quick.sql": f"CREATE TABLE t{number} (id int);\n" for number in range(1, 6)})
    with busy.connect("dbmigration/quick") as session:
        done = apply_pending(session, files)
    assert [result.held for result in done.results] == [()] * 5
    assert log_of(busy, "dbmigration/quick monitor") == ""


def test_the_monitor_is_another_session_that_only_looks_and_ends_with_the_file(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_slow.sql": "SELECT pg_sleep(1.6);\n", "002_quick.sql": "SELECT 1;\n"})
    with busy.connect(NAME) as session:
        apply_pending(session, files)
        assert busy.psql(f"SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '{NAME}%'") == NAME
    sent = re.findall(rf"\[{NAME} monitor\] LOG:  (?:statement|execute [^:]*):\s*(\w+)", busy.server.log.read_text(errors="replace"))
    assert set(sent) == {"SELECT", "WITH"}


def test_a_long_application_name_still_ends_in_monitor(busy: Database, tmp_path: Path) -> None:
    name = "dbmigration/" + "x" * 80
    with busy.connect(name) as session:
        apply_pending(session, write_files(tmp_path, {"001_slow.sql": "SELECT pg_sleep(1.6);\n"}))
    assert "pg_stat_activity" in log_of(busy, name[:55] + " monitor")


def test_how_long_tables_were_locked_is_measured(busy: Database, tmp_path: Path) -> None:
    busy.psql("CREATE TABLE app.other (id int); ALTER TABLE app.other OWNER TO platform_owner")
    text = (
        "LOCK app.busy IN SHARE MODE;\n"
        + ALTER
        + "CREATE INDEX ON app.other (id);\nCREATE TABLE app.new (id int);\nSELECT pg_sleep(2);\nDROP TABLE app.new;\n"
    )
    result = apply_all(busy, write_files(tmp_path, {"001_holds.sql": text})).results[0]
    assert {(each.mode, each.table) for each in result.held} == {("ACCESS EXCLUSIVE", "app.busy"), ("SHARE", "app.other")}
    for held in result.held:
        assert 2000 <= held.ms <= result.duration_ms + 1000


def test_a_strong_lock_taken_late_is_not_counted_from_the_beginning_and_hides_no_weaker_one_held_longer(
    busy: Database, tmp_path: Path
) -> None:
    text = f"LOCK app.busy IN SHARE MODE;\nSELECT pg_sleep(3);\n{ALTER}SELECT pg_sleep(1.2);\n"
    weaker, stronger = apply_all(busy, write_files(tmp_path, {"001_late.sql": text})).results[0].held
    assert (weaker.mode, stronger.mode) == ("SHARE", "ACCESS EXCLUSIVE")
    assert weaker.ms >= 4200
    assert 1200 <= stronger.ms < 3000


def test_waiting_for_a_lock_is_not_holding_it(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    looks: list[FileProgress] = []
    with reading(busy) as end, busy.connect(NAME) as session:

        def listen(at: FileProgress) -> None:
            if at.blocked_by:
                looks.append(at)
            if len(looks) == 1:
                end()

        done = apply_pending(session, files, execution=Execution(lock_timeout_ms=60_000), on_progress=listen)
    assert done.results[0].held == ()


def test_readers_wait_at_most_the_lock_timeout_while_a_migration_waits_for_its_first_lock(busy: Database, tmp_path: Path) -> None:
    """The reader's own statement_timeout is the bound: the server would cancel it if it queued longer than one try of the migration."""
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    told: list[FileProgress] = []
    rows: list[list[tuple[object, ...]]] = []
    failed: list[BaseException] = []
    leave = threading.Event()

    def read() -> None:
        try:
            with busy.connect("late-reader") as late:
                # 0.6 s is the longest of the three tries below; one more second is for the machine.
                late.query("SET statement_timeout = '1.6s'")
                while not leave.is_set():
                    wait_until(
                        lambda: (
                            leave.is_set() or bool(late.query("SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"))
                        ),
                        "the migration waits",
                    )
                    rows.append(late.query("SELECT count(*) FROM app.busy"))
        except BaseException as error:
            failed.append(error)
            raise

    reader = threading.Thread(target=read)
    with reading(busy) as end, busy.connect(NAME) as session:

        def listen(at: FileProgress) -> None:
            if at.message and "trying again" in at.message:
                told.append(at)
                if len(told) == 3:
                    leave.set()
                    end()

        reader.start()
        try:
            done = apply_pending(session, files, execution=Execution(lock_timeout_ms=400), on_progress=listen)
        finally:
            leave.set()
            reader.join()
    assert failed == []
    assert done.results[0].attempts == 4
    assert len(told) == 3
    assert all("long-reader" in (at.blocked_by or "") for at in told)
    assert len(rows) >= 3
    assert {tuple(each) for each in rows} == {((3,),)}
    log = busy.server.log.read_text(errors="replace")
    assert log.count(f"[{NAME}] ERROR:  canceling statement due to lock timeout") == 3
    assert "[late-reader] ERROR:" not in log
    assert applied_names(busy) == ["001_alter.sql"]


def test_the_last_failure_names_what_was_waited_for_and_who_had_it(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_alter.sql": ALTER})
    with reading(busy), pytest.raises(Transient) as caught:
        apply_all(busy, files, execution=Execution(lock_timeout_ms=1900, lock_retries=0))
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    for part in ("ACCESS EXCLUSIVE on app.busy", "long-reader"):
        assert part in caught.value.message


def test_who_queues_behind_the_migration_is_counted(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_holds.sql": ALTER + "SELECT pg_sleep(600);\n"})
    told: list[str] = []
    with busy.connect("behind") as behind, busy.connect(NAME) as session:
        behind.query("SET lock_timeout = '60s'")

        def read() -> None:
            wait_for(busy, "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'app.busy'::regclass)", "held")
            behind.query("SELECT count(*) FROM app.busy")

        reader = threading.Thread(target=read)

        def listen(at: FileProgress) -> None:
            if at.message and "for what it holds" in at.message:
                told.append(at.message)
                session.request_stop()

        reader.start()
        with pytest.raises(Transient) as caught:
            apply_pending(session, files, on_progress=listen)
        reader.join()
    assert caught.value.reason is Reason.INTERRUPTED
    assert "1 session waits for what it holds: ACCESS EXCLUSIVE on app.busy for up to" in told[0]


def test_an_index_build_tells_its_phase_and_that_it_waits_for_an_old_transaction(busy: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_index.sql": "CREATE INDEX CONCURRENTLY busy_id ON app.busy (id);\n"})
    told: list[FileProgress] = []
    with busy.connect("old-writer") as writer, busy.connect(NAME) as session:
        writer.query("BEGIN")
        writer.query("INSERT INTO app.busy VALUES (4)")

        def listen(at: FileProgress) -> None:
            told.append(at)
            if at.blocked_by:
                writer.query("COMMIT")

        # lock_timeout of the run is far below the wait: an index build that it ended would be INVALID.
        done = apply_pending(session, files, execution=Execution(lock_timeout_ms=100, lock_retries=0), on_progress=listen)
    waiting = next(at for at in told if at.blocked_by)
    assert "old-writer" in (waiting.blocked_by or "")
    assert "CREATE INDEX CONCURRENTLY on app.busy: waiting for writers before build, 0 of 1 transactions" in (waiting.message or "")
    assert done.results[0].attempts == 1
    assert busy.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'app.busy_id'::regclass") == "t"


def test_how_far_an_index_build_is_comes_in_blocks_or_rows(busy: Database, tmp_path: Path) -> None:
    """The key is computed by a function that waits for a lock, so that the build stands still as long as it is looked at."""
    busy.psql("CREATE TABLE app.gate (id int); ALTER TABLE app.gate OWNER TO platform_owner")
    busy.psql(
        "CREATE FUNCTION app.slowly(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
        "'BEGIN PERFORM count(*) FROM app.gate; PERFORM pg_sleep(1); RETURN i; END'; INSERT INTO app.busy SELECT 5"
    )
    files = write_files(tmp_path, {"001_index.sql": "CREATE INDEX busy_slowly ON app.busy (app.slowly(id));\n"})
    done = apply_all(busy, files)
    assert [m for m in messages(done) if m.startswith("CREATE INDEX on app.busy: building index") and m.endswith("1 blocks (100 %)")]


def test_without_a_second_connection_the_run_says_so_once_and_goes_on(busy: Database, tmp_path: Path) -> None:
    busy.psql("ALTER ROLE platform_owner CONNECTION LIMIT 1")
    try:
        files = write_files(tmp_path, {"001_slow.sql": "SELECT pg_sleep(1.6);\n", "002_slow.sql": "SELECT pg_sleep(1.6);\n"})
        done = apply_all(busy, files)
    finally:
        busy.psql("ALTER ROLE platform_owner CONNECTION LIMIT -1")
    assert done.files == ["001_slow.sql", "002_slow.sql"]
    assert len([m for m in messages(done) if "second connection" in m and "too many connections" in m]) == 1


def test_the_monitor_that_loses_its_connection_leaves_the_run_alone(busy: Database, tmp_path: Path) -> None:
    text = (
        "SELECT pg_sleep(1.5);\n"
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{NAME} monitor';\n"
        "SELECT pg_sleep(1.5);\n"
    )
    with busy.connect(NAME) as session:
        done = apply_pending(session, write_files(tmp_path, {"001_kills.sql": text}))
    assert done.files == ["001_kills.sql"]
    assert len([m for m in messages(done) if "second connection" in m]) == 1


def test_a_prepared_transaction_in_the_way_is_named_while_it_is_waited_for(busy: Database, tmp_path: Path) -> None:
    gid = f"{busy.name}-left-over"
    busy.psql(f"BEGIN; LOCK TABLE app.busy IN ACCESS SHARE MODE; PREPARE TRANSACTION '{gid}'")
    ended: list[FileProgress] = []
    with busy.connect(NAME) as session:

        def listen(at: FileProgress) -> None:
            if at.blocked_by and not ended:
                ended.append(at)
                busy.psql(f"ROLLBACK PREPARED '{gid}'")

        apply_pending(
            session, write_files(tmp_path, {"001_alter.sql": ALTER}), execution=Execution(lock_timeout_ms=60_000), on_progress=listen
        )
    assert gid in (ended[0].blocked_by or "")


def test_a_run_tells_its_waits_as_progress_and_reports_what_it_held(busy: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "m", {"001_holds.sql": ALTER + "SELECT pg_sleep(1.5);\n"})
    told: list[Progress] = []
    with reading(busy) as end:

        def listen(progress: Progress) -> None:
            told.append(progress)
            if progress.blocked_by:
                end()

        options = RunOptions(tmp_path / "m", "run-1", execution=Execution(lock_timeout_ms=60_000))
        result = Engine(options, busy.conninfo(), listen, StopRequest()).run()
    assert result.error is None
    waiting = next(progress for progress in told if progress.blocked_by)
    assert (waiting.step, waiting.file, waiting.done, waiting.total, waiting.notice) == (Step.APPLY, "001_holds.sql", 0, 1, True)
    assert told[-1].blocked_by is None
    report = build_report(result, environment=None)
    assert [(held.file, held.mode, held.table) for held in report.held] == [("001_holds.sql", "ACCESS EXCLUSIVE", "app.busy")]
    assert report.held[0].ms >= 1500
    applied = next(progress for progress in told if progress.finished and progress.step is Step.APPLY)
    for text in (applied.message, report.message):
        assert "ACCESS EXCLUSIVE on app.busy for up to" in text
    assert Report.model_validate_json(report.to_json()).held == report.held


def test_the_summary_of_a_report_with_long_warnings_and_locks_still_fits() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    result = RunResult("r", at, at, warnings=tuple("WARNING: " + "é" * 400 for _ in range(20)))
    result.applied.append(
        Done("1" * 200 + ".sql", at, 1, 1, 1, transactional=True, verified=False, held=(Held("SHARE", "t" * 120, 1),) * 20)
    )
    whole = build_report(result, environment=None)
    assert (len(whole.warnings), len(whole.held)) == (10, 5)
    short = whole.summary()
    assert short.truncated
    assert len(short.to_json().encode()) <= TERMINATION_LIMIT
