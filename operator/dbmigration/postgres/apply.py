"""Run one migration file, or one rollback script, together with what the history says of it."""

import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Place, Transient
from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.postgres import lock, record
from dbmigration.postgres.blockers import blockers
from dbmigration.postgres.errors import RETRIED
from dbmigration.postgres.progress import FileProgress, OnProgress, Ticker
from dbmigration.postgres.reading import Source, is_read, source_of
from dbmigration.postgres.session import Session
from dbmigration.postgres.settings import Execution
from dbmigration.postgres.transactional import Ran, Task, apply_in_transaction, make_ahead, rollback_in_transaction
from dbmigration.postgres.verify import verify_source
from dbmigration.postgres.watch import Held, Watch, watching

__all__ = ["FileApplied", "FileProgress", "RolledBackBy", "apply_file", "apply_seed", "read_ahead", "rollback_file", "seed_source"]

_GROWTH = 1.25
_GROWS_TO = 5
"""Each try waits a quarter longer for a lock, up to five times the first: 2 s becomes 10 s."""

_FOR_GOOD = (Reason.SQL_FAILED, Reason.VERIFY_FAILED)


class FileApplied(NamedTuple):
    """`attempts` counts the tries that lock timeouts cost. `transactional`: body and history row were one transaction.

    `held`: the locks that kept others from a table for a second or longer, longest first.
    """

    duration_ms: int
    statements: int
    attempts: int
    transactional: bool
    held: tuple[Held, ...] = ()


class RolledBackBy(StrEnum):
    """Who took a file back: a file that a person rolled back stays so, one that a failed run undid is pending again."""

    PERSON = "rolled_back"
    FAILED_RUN = "undone"


def read_ahead(session: Session, file: MigrationFile) -> None:
    """Split a file and its verify script to their ends before anything is done: what cannot be read must not be found after others ran.

    What is found is kept for `apply_file`. Raises Permanent META_COMMAND and SOURCE_INVALID, Transient SOURCE_CHANGING.
    """
    source_of(session, file, transaction=file.header.transaction)
    if file.verify is not None:
        verify_source(session, file.verify)


def apply_file(
    session: Session,
    file: MigrationFile,
    *,
    table: HistoryTable,
    execution: Execution,
    run_id: str,
    on_progress: OnProgress,
    then: Mapping[str, MigrationFile] = MappingProxyType({}),
) -> FileApplied:
    """Run `file` with its verify script and record it: in one transaction when it can, else statement by statement with its progress.

    `then` tells by a file's name which one comes next: its message is made while the server works on this one.

    Afterwards, whatever came of it, the session has no transaction, and no setting, role or temporary object of the file.

    Raises Permanent SQL_FAILED, VERIFY_FAILED, OUTCOME_UNKNOWN, PARTIAL_FILE_EDITED, META_COMMAND, SOURCE_INVALID, HISTORY_FOREIGN,
    HISTORY_MOVED; Transient LOCK_TIMEOUT (naming who held the lock), CONNECTION_LOST, INTERRUPTED, DEADLINE_EXCEEDED, SOURCE_CHANGING.
    """
    task = _task(session, file, table, run_id, on_progress)
    ahead, session.ahead = session.ahead, None

    def make_next() -> None:
        following = then.get(file.name)
        # Nothing may fail or be read here: the session is in the middle of a message.
        if session.trace is not None or following is None or following.verify is not None:
            return
        if is_read(session, following, transaction=following.header.transaction):
            made = make_ahead(_task(session, following, table, run_id, on_progress), execution.lock_timeout_ms)
            session.ahead = (following, made) if made is not None else None

    def once(attempt: int, lock_timeout_ms: int) -> Ran:
        if task.source.shape.transactional:
            made = ahead[1] if ahead is not None and ahead[0] is file and attempt == 1 else None
            session.while_waiting = make_next if attempt == 1 else None
            return apply_in_transaction(task, lock_timeout_ms=lock_timeout_ms, attempt=attempt, made=made)
        from dbmigration.postgres.stepwise import apply_stepwise  # few runs need it, and every run would pay for it

        return apply_stepwise(task, lock_timeout_ms=lock_timeout_ms, attempt=attempt)

    return _run(task, execution, once)


def _task(session: Session, file: MigrationFile, table: HistoryTable, run_id: str, on_progress: OnProgress) -> Task:
    source = source_of(session, file, transaction=file.header.transaction)
    verify = verify_source(session, file.verify) if file.verify is not None else None
    return Task(session, file, source, verify, table, run_id, Ticker(on_progress, file.name, source.shape.statements, file.size))


def apply_seed(
    session: Session,
    file: MigrationFile,
    *,
    table: HistoryTable,
    execution: Execution,
    run_id: str,
    on_progress: OnProgress,
) -> FileApplied:
    """Run a seed and record when and with which text, in one transaction. The parameters are those of `apply_file`.

    Raises Permanent SEED_FAILED, META_COMMAND, SOURCE_INVALID, and the Transient errors of `apply_file`.
    """
    source = seed_source(session, file)
    ticker = Ticker(on_progress, file.name, source.shape.statements, file.size)
    task = Task(session, file, source, None, table, run_id, ticker, record.seeded)
    try:
        return _run(task, execution, lambda attempt, ms: apply_in_transaction(task, lock_timeout_ms=ms, attempt=attempt))
    except Permanent as error:
        if error.reason is Reason.SQL_FAILED:
            error.reason = Reason.SEED_FAILED
        raise


def seed_source(session: Session, file: MigrationFile) -> Source:
    """Split a seed to its end. Raises Permanent META_COMMAND, SOURCE_INVALID, also for what no transaction can hold, Transient
    SOURCE_CHANGING.
    """
    return source_of(session, file, transaction=True)


def rollback_file(
    session: Session,
    file: MigrationFile,
    *,
    table: HistoryTable,
    execution: Execution,
    run_id: str,
    on_progress: OnProgress,
    by: RolledBackBy = RolledBackBy.PERSON,
) -> FileApplied:
    """Run the file's rollback script and take its row out of the history, in one transaction when the script can.

    Whether later files are still applied is the caller's business. Raises Permanent ROLLBACK_MISSING, and what `apply_file` raises.
    """
    if file.rollback is None:
        raise Permanent(
            Reason.ROLLBACK_MISSING,
            f"there is no {file.rollback_name}: write it, or go forward with a new migration",
            place=Place(file.name),
        )
    source = source_of(session, file.rollback, transaction=file.rollback.transaction)
    ticker = Ticker(on_progress, source.name, source.shape.statements, source.size)
    task = Task(session, file, source, None, table, run_id, ticker)

    def once(attempt: int, lock_timeout_ms: int) -> Ran:
        if source.shape.transactional:
            return rollback_in_transaction(task, kind=by.value, lock_timeout_ms=lock_timeout_ms, attempt=attempt)
        from dbmigration.postgres.stepwise import rollback_stepwise

        return rollback_stepwise(task, kind=by.value, lock_timeout_ms=lock_timeout_ms, attempt=attempt)

    return _run(task, execution, once)


def _run(task: Task, execution: Execution, once: Callable[[int, int], Ran]) -> FileApplied:
    """Try until it is done, a lock has timed out too often, or something else fails."""
    session, ticker = task.session, task.ticker
    lock.raise_if_lost(session)
    session.take_warnings()
    ticker.at(0, 1, 0)
    attempt = 0
    with watching(session, ticker) as watch:
        try:
            while True:
                attempt += 1
                lock_timeout_ms = int(execution.lock_timeout_ms * min(_GROWTH ** (attempt - 1), _GROWS_TO))
                watch.begin()
                if session.trace is not None:
                    session.trace.begin(session, task.source.name)
                try:
                    ran = once(attempt, lock_timeout_ms)
                    watch.end()
                    if session.trace is not None:
                        session.trace.end()
                    break
                except DbmigrationError as error:
                    _place_and_raise_unless_retried(task, error)
                    session.roll_back()
                    watch.end()
                    standing = _standing_in_the_way(session, watch, lock_timeout_ms)
                    if attempt > execution.lock_retries:
                        raise _gave_up(error, attempt, standing) from None
                    again = f"trying again ({attempt} of {execution.lock_retries})"
                    ticker.say(f"{error.message}; {_in_words(standing)}; {again}", blocked_by=standing)
                    _pause(session, lock_timeout_ms)
            for warning in session.take_warnings():
                ticker.say(f"WARNING: {warning}")
        finally:
            session.while_waiting = None
            _clear(session)
    return FileApplied(ran.duration_ms, ran.statements, attempt, task.source.shape.transactional, watch.held())


def _place_and_raise_unless_retried(task: Task, error: DbmigrationError) -> None:
    """Say where it happened and whether anything took effect; raise what no other try at once can mend."""
    if error.place.file is None:
        error.place = error.place._replace(file=task.source.name)
    if not isinstance(error, Transient):
        if task.source.shape.transactional and error.reason in _FOR_GOOD:
            error.message += f"; nothing of {task.source.name} took effect"
        raise error
    error.after_sql = True
    if error.reason is not Reason.LOCK_TIMEOUT or error.place.sqlstate not in RETRIED:
        raise error


def _clear(session: Session) -> None:
    """The file's own outcome is what counts: a connection that is lost only now shows itself with the next use."""
    try:
        session.clear()
    except DbmigrationError:
        session.connection.close()


def _standing_in_the_way(session: Session, watch: Watch, lock_timeout_ms: int) -> str | None:
    """Who was seen in the way; where nobody looked meanwhile, who is there now and can have been it. None: nobody."""
    return watch.blocked_by() or "; ".join(blockers(session, lock_timeout_ms / 1000)) or None


def _in_words(standing: str | None) -> str:
    return f"in the way: {standing}" if standing else "who was in the way has gone"


def _gave_up(error: DbmigrationError, attempts: int, standing: str | None) -> Transient:
    message = f"{error.message} in each of {attempts} tries; {_in_words(standing)}"
    return Transient(Reason.LOCK_TIMEOUT, message, place=error.place, values=error.values, after_sql=True)


def _pause(session: Session, lock_timeout_ms: int) -> None:
    """Let those pass who queued behind us, and not in step with anybody else. Raises Transient INTERRUPTED."""
    session.stop.wait(lock_timeout_ms / 1000 * random.uniform(0.25, 0.75))  # noqa: S311 - jitter, no secret
    session.raise_if_stopped(after_sql=True)
