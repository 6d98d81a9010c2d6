"""A file that no single transaction can hold: statement by statement, with recorded progress, so that another run can go on.

A statement that may share a transaction commits together with its progress row; the file's own BEGIN … COMMIT blocks commit with the
rows of all their statements. Of any other statement the intent is written first, and after a crash the catalog says whether it happened.
"""

import time
from collections.abc import Iterable

from psycopg.pq import TransactionStatus

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Place, Transient
from dbmigration.migrations.progress import StatementHash
from dbmigration.migrations.statements import Kind, Statement
from dbmigration.postgres import history, lock, record, recover
from dbmigration.postgres.batch import Piece, Sender
from dbmigration.postgres.errors import QUERY_CANCELED
from dbmigration.postgres.reading import statements_with_data
from dbmigration.postgres.resume import DISCARD_ALL, Intent, Progress, StartOver, read_progress
from dbmigration.postgres.transactional import Ran, Task
from dbmigration.postgres.verify import Verdict, add_verify

_ONLY_OUTSIDE = frozenset({"25001", "2D000"})
"""The server itself says that the statement cannot share a transaction (active SQL transaction, invalid transaction termination)."""


def apply_stepwise(task: Task, *, lock_timeout_ms: int, attempt: int) -> Ran:
    """Run what is left of the file, verify it, and record it. `attempt` above 1: the same session tried before.

    Raises as `apply.apply_file` says; what is done stays done and recorded.
    """
    started = time.monotonic()
    statements = _run_all(task, lock_timeout_ms, attempt)
    sender = Sender(task.session)
    if task.verify is not None:
        verdict = Verdict()
        checking = Sender(task.session, lambda piece, rows: verdict.look(piece, rows) if piece.verifies else None)
        checking.say("BEGIN", f"SET LOCAL lock_timeout = {lock_timeout_ms}")
        add_verify(checking, task.verify)
        checking.say("ROLLBACK")
        checking.flush()
        verdict.raise_if_failed()
    sender.say("BEGIN", *record.AS_OURSELVES)
    sender.flush()
    history.prepare(task.session, task.table)
    duration_ms = int((time.monotonic() - started) * 1000)
    detail = {"statements": statements, "attempt": attempt}
    sender.say(
        *record.applied(
            task.table, task.file, actor=task.session.actor, run_id=task.run_id, duration_ms=f"{duration_ms}::bigint", detail=detail
        ),
        record.unstep(task.source.key),
        "COMMIT",
    )
    sender.flush()
    task.session.ready_for = task.table
    lock.look(task.session)
    return Ran(duration_ms, statements)


def rollback_stepwise(task: Task, *, kind: str, lock_timeout_ms: int, attempt: int) -> Ran:
    """Run what is left of the rollback script, then take the file out of the history."""
    started = time.monotonic()
    statements = _run_all(task, lock_timeout_ms, attempt)
    sender = Sender(task.session)
    sender.say("BEGIN", *record.AS_OURSELVES)
    sender.flush()
    task.session.ready_for = None
    history.prepare(task.session, task.table)
    sender.say(
        record.event(kind, task.file, actor=task.session.actor, run_id=task.run_id, detail={"attempt": attempt}),
        *record.forgotten(task.table, task.file),
        record.unstep(task.source.key),
        "COMMIT",
    )
    sender.flush()
    lock.look(task.session)
    return Ran(int((time.monotonic() - started) * 1000), statements)


def _run_all(task: Task, lock_timeout_ms: int, attempt: int) -> int:
    session = task.session
    session.used = True
    if session.ready_for != task.table:
        sender = Sender(session)
        sender.say("BEGIN", *record.AS_OURSELVES)
        sender.flush()
        history.prepare(session, task.table, history_too=False)
        sender.say("COMMIT")
        sender.flush()
    while True:
        progress = read_progress(session, task.source.key, same_session=attempt > 1)
        steps = _Steps(task, lock_timeout_ms, progress)
        try:
            return steps.run()
        except StartOver as lost:
            intent = progress.intent
            if intent is not None and (intent.noted is None or recover.settle(session, intent.noted) is not recover.Outcome.RUN_AGAIN):
                raise lost.refusal from None
            session.query(record.unstep(task.source.key))
        except Permanent as error:
            if error.reason is Reason.SQL_FAILED:
                error.message += f"; {steps.done} of {task.source.shape.statements} statements are done, the next run goes on after them"
            raise


class _Steps:
    """One walk through the file's statements."""

    def __init__(self, task: Task, lock_timeout_ms: int, progress: Progress) -> None:
        self._task = task
        self._session = task.session
        self._sender = Sender(task.session)
        self._progress = progress
        self._lock_timeout_ms = lock_timeout_ms
        self._lock_timeout = f"SET LOCAL lock_timeout = {lock_timeout_ms}"
        self._block: list[tuple[Statement, str]] | None = None
        """The statements of the file's own open transaction, with their hashes."""
        self.done = progress.done
        """How many statements are committed and recorded, in this walk or an earlier one."""

    def run(self) -> int:
        source = self._task.source
        bytes_done = 0
        last = 0
        for statement, chunks in statements_with_data(source):
            last = statement.index
            bytes_done += len(statement.sql)
            if last <= self._progress.done:
                self._progress.pass_over(statement, _digest(statement, chunks), source.name)
                continue
            self._progress.take_up(self._sender, source.name)
            self._run(statement, chunks)
            if self._block is None:
                self.done = last
            self._task.ticker.at(last, statement.line, bytes_done)
        self._progress.end(source.name, last)
        return last

    def _run(self, statement: Statement, chunks: Iterable[bytes]) -> None:
        kind = statement.kind
        intent = self._progress.take_intent()
        if intent is not None and self._settled(intent, statement, chunks):
            return
        if self._block is not None:
            self._run_in_block(self._block, statement, chunks)
        elif kind is Kind.BEGIN:
            self._sender.add(self._piece(statement))
            self._sender.say(self._lock_timeout)
            self._sender.flush()
            self._block = [(statement, _digest(statement, ()))]
        elif DISCARD_ALL.match(statement.sql):
            step = self._step(statement, _digest(statement, ()))
            self._sender.say("BEGIN", *record.AS_OURSELVES, *record.FORGET_OBJECTS, step, "COMMIT")
            self._sender.flush()
        elif kind in (Kind.NO_TRANSACTION, Kind.COMMIT, Kind.ROLLBACK):
            self._run_alone(statement)
        else:
            self._run_with_its_step(statement, chunks)

    def _run_with_its_step(self, statement: Statement, chunks: Iterable[bytes]) -> None:
        """One transaction for the statement and its progress row."""
        digest = StatementHash(statement.sql)
        self._sender.say("BEGIN", self._lock_timeout)
        try:
            if statement.kind is Kind.COPY_IN:
                self._sender.copy(self._piece(statement), _hashed(chunks, digest))
            else:
                self._sender.add(self._piece(statement))
            self._sender.say(*record.AS_OURSELVES_HERE, self._step(statement, digest.hexdigest()), "COMMIT")
            self._sender.flush()
        except Permanent as error:
            if error.place.sqlstate not in _ONLY_OUTSIDE:
                raise
            self._session.roll_back()
            self._run_alone(statement)

    def _run_in_block(self, block: list[tuple[Statement, str]], statement: Statement, chunks: Iterable[bytes]) -> None:
        """The rows of a block are written just before its COMMIT; after a ROLLBACK, on their own."""
        digest = StatementHash(statement.sql)
        if statement.kind is Kind.COPY_IN:
            self._sender.copy(self._piece(statement), _hashed(chunks, digest))
            block.append((statement, digest.hexdigest()))
            return
        block.append((statement, digest.hexdigest()))
        if statement.kind not in (Kind.COMMIT, Kind.ROLLBACK):
            self._sender.add(self._piece(statement))
            return
        steps = [self._step(done, text) for done, text in block]
        if statement.kind is Kind.COMMIT:
            self._sender.say(*record.AS_OURSELVES_HERE, *steps)
        self._sender.add(self._piece(statement))
        self._sender.flush()
        chained = self._session.connection.pgconn.transaction_status == TransactionStatus.INTRANS
        self._block = [] if chained else None
        if statement.kind is Kind.ROLLBACK:
            if chained:
                self._block = block  # what was rolled back is written down with what follows
            else:
                self._sender.say("BEGIN", *record.AS_OURSELVES_HERE, *steps, "COMMIT")
                self._sender.flush()

    def _run_alone(self, statement: Statement) -> None:
        """Intent, statement, outcome. An INVALID index is named; the next try drops it."""
        self._session.raise_if_stopped(after_sql=True)  # an intent of what is then not even sent would be a riddle for the next run
        digest = _digest(statement, ())
        noted = recover.note(self._session, statement.sql)
        self._write(record.step(
            self._task.source.key, statement.index, statement.line,
            state="started", digest=digest, checksum=self._task.source.checksum, detail=noted,
        ))  # fmt: skip
        before = self._lock_timeout_of_session()
        own = before == self._session.settings.execution.lock_timeout_ms  # else the file has set its own
        here = 0 if recover.waits_for_others(noted) else self._lock_timeout_ms if own else before
        if here != before:
            self._session.query(f"SET lock_timeout = {here}")
        try:
            self._sender.add(self._piece(statement))
            self._sender.flush()
        except DbmigrationError as error:
            if self._session.connection.closed or (isinstance(error, Transient) and error.reason is Reason.CONNECTION_LOST):
                raise
            if here != before:
                self._session.query(f"SET lock_timeout = {before}")
            if recover.fails_as_a_whole(noted):
                self._write(record.unstep(self._task.source.key, statement.index))
            raise _with_invalid(error, recover.invalid_indexes(self._session, noted)) from None
        if here != before:
            self._session.query(f"SET lock_timeout = {before}")
        if left := recover.invalid_indexes(self._session, noted):
            message = f"the statement ended well, but {', '.join(left)} is INVALID: drop it with DROP INDEX CONCURRENTLY and try again"
            raise Permanent(Reason.SQL_FAILED, message, place=self._place(statement))
        self._write(self._step(statement, digest))

    def _lock_timeout_of_session(self) -> int:
        """In milliseconds."""
        return int(self._session.query("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'")[0][0])

    def _settled(self, intent: Intent, statement: Statement, chunks: Iterable[bytes]) -> bool:
        """Whether the statement whose end nobody saw, which is this one, happened."""
        if intent.noted is None or intent.statement != statement.index:
            raise Permanent(
                Reason.OUTCOME_UNKNOWN,
                f"dbmigration.progress has a gap: an earlier run was at statement {intent.statement}, but only {self._progress.done} "
                "before it are recorded as done, so somebody changed it. Look what happened, then mend the file's rows there, or delete "
                "them all if nothing of the file is in effect",
                place=self._place(statement),
            )
        self._write(record.touch(self._task.source.key, statement.index))  # what follows may drop remains, and end before it is done
        outcome = recover.settle(self._session, intent.noted)
        if outcome is recover.Outcome.UNKNOWN:
            raise Permanent(
                Reason.OUTCOME_UNKNOWN,
                "an earlier run ended while this statement ran, and nothing tells whether it happened. Look; "
                + recover.way_out(self._task.source.key, statement.index),
                place=self._place(statement),
            )
        if outcome is recover.Outcome.RUN_AGAIN:
            return False
        digest = _digest(statement, chunks)
        if digest != intent.digest:
            raise Permanent(
                Reason.PARTIAL_FILE_EDITED, "this statement had already happened and was then edited", place=self._place(statement)
            )
        self._write(self._step(statement, digest))
        return True

    def _write(self, statement: str) -> None:
        """A record of ours in a transaction of its own, whatever role and settings the file has set.

        Also after a stop request: what is known of a statement must not be forgotten. A cancel that was meant for the statement may hit
        this instead, and then it is written once more.
        """
        message = ";".join(("BEGIN", *record.AS_OURSELVES_HERE, statement, "COMMIT"))
        try:
            self._session.query(message)
        except DbmigrationError as error:
            if error.place.sqlstate != QUERY_CANCELED or not self._session.stop.is_set():
                raise
            self._session.roll_back()
            self._session.query(message)

    def _step(self, statement: Statement, digest: str) -> str:
        source = self._task.source
        return record.step(source.key, statement.index, statement.line, state="done", digest=digest, checksum=source.checksum)

    def _piece(self, statement: Statement) -> Piece:
        return Piece(statement.sql, self._task.source.name, statement.line)

    def _place(self, statement: Statement) -> Place:
        return Place(self._task.source.name, statement.line)


def _digest(statement: Statement, chunks: Iterable[bytes]) -> str:
    digest = StatementHash(statement.sql)
    for chunk in chunks:
        digest.add(chunk)
    return digest.hexdigest()


def _hashed(chunks: Iterable[bytes], digest: StatementHash) -> Iterable[bytes]:
    for chunk in chunks:
        digest.add(chunk)
        yield chunk


def _with_invalid(error: DbmigrationError, names: list[str]) -> DbmigrationError:
    """The same error; when it left INVALID indexes, it names them."""
    if names:
        error.message += f"; it left {', '.join(names)} INVALID, which the next try drops first"
    return error
