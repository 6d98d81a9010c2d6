"""Messages to the server and their results, below psycopg's cursors: one message may hold many statements (manual, 55.2.2.1).

libpq gives one result for each statement of a message, so how many came before an error says which statement failed. Waiting honours the
session's stop request: the server is asked to cancel, and what it answers is still read.
"""

import select
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient
from dbmigration.postgres.errors import ServerError
from dbmigration.postgres.session import Session

_CANCEL_EVERY_S = 1.0
"""A cancel that arrives between two statements is lost, so it is repeated."""

_GIVE_UP_AFTER_S = 15.0
"""From the stop request on: what does not answer by then is cut off, and the server rolls back."""

_COMPLETE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})
_ROWS = frozenset({ExecStatus.TUPLES_OK, ExecStatus.SINGLE_TUPLE})

OnRows = Callable[[int, PGresult], None]
"""Gets the number (from 0) of the statement in its message, and one of its rows at a time; at the end a result without a row."""


class Answer(NamedTuple):
    """`completed` statements of the message ran; `error` is what stopped the next one. What follows in the message was not run."""

    completed: int
    error: ServerError | None


def send(session: Session, message: bytes, on_rows: OnRows | None = None) -> Answer:
    """Run all statements of `message`. Raises Transient INTERRUPTED when stop was asked before it was sent, or nothing answers after."""
    return start(session, message).finish(on_rows)


def start(session: Session, message: bytes) -> "Exchange":
    """Send `message` and leave its results to `finish`: until then the session can do nothing else. Raises as `send`."""
    session.raise_if_stopped(after_sql=True)
    exchange = Exchange(session)
    exchange.start(message)
    return exchange


def copy_in(session: Session, statement: bytes, chunks: Iterable[bytes]) -> Answer:
    """Run one COPY … FROM STDIN and feed it. When `chunks` raises, the COPY is ended as failed and the exception goes on."""
    session.raise_if_stopped(after_sql=True)
    return Exchange(session).run_copy(statement, chunks)


class Exchange:
    """One message and all its results."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pgconn = session.connection.pgconn
        self._cancel_at = 0.0
        self._cut_off_at = 0.0
        self._lost: ServerError | None = None

    def start(self, message: bytes) -> None:
        try:
            self._start(message)
        except psycopg.Error as error:
            self._lost = ServerError.from_exception(error)

    def finish(self, on_rows: OnRows | None) -> Answer:
        """All results of the message, once the server has run it."""
        work, self._session.while_waiting = self._session.while_waiting, None
        if work is not None:
            work()
        return Answer(0, self._lost) if self._lost is not None else self._finish(on_rows)

    def run_copy(self, statement: bytes, chunks: Iterable[bytes]) -> Answer:
        try:
            self._start(statement)
            result = self._next()
            if result is not None and result.status == ExecStatus.COPY_IN:
                self._feed(chunks)
                return self._finish(None)
            answer = self._finish(None)
            return answer if result is None else Answer(0, _error_of(result) or answer.error)
        except psycopg.Error as error:
            return Answer(0, ServerError.from_exception(error))

    def _start(self, message: bytes) -> None:
        self._pgconn.send_query(message)
        # A SELECT in a migration must not gather its rows in our memory. (Chunks of rows would be fewer results, but libpq 17 and 18 put
        # the command tag on the last chunk or on the result after it, as it happens, and the tag is what is counted below.)
        self._pgconn.set_single_row_mode()
        self._flush()

    def _feed(self, chunks: Iterable[bytes]) -> None:
        failed: DbmigrationError | None = None
        end: bytes | None = None
        try:
            for chunk in chunks:
                if self._session.stop.is_set():
                    end = b"stopped"
                    break
                self._pgconn.put_copy_data(chunk)
                self._flush()  # libpq would keep what the socket does not take
        except DbmigrationError as error:
            failed, end = error, b"its data cannot be read"
        self._pgconn.put_copy_end(end)
        self._flush()
        if failed is not None:
            self._finish(None)
            raise failed

    def _finish(self, on_rows: OnRows | None) -> Answer:
        completed = 0
        error: ServerError | None = None
        while True:
            try:
                result = self._next()
            except psycopg.Error as lost:
                # The server's last words may have come just before.
                return Answer(completed, error or ServerError.from_exception(lost))
            if result is None:
                return Answer(completed, error)
            status = result.status
            if on_rows is not None and status in _ROWS:
                on_rows(completed, result)
            if status in _COMPLETE:
                # The rows of a rule's additional query come without a command tag: they are no statement of the message.
                completed += status == ExecStatus.EMPTY_QUERY or bool(result.command_status)
            elif status == ExecStatus.COPY_OUT:
                self._discard_copy_out()
            elif status == ExecStatus.COPY_IN:
                self._pgconn.put_copy_end(b"no data follow this COPY")
                self._flush()
            elif status not in _ROWS:
                error = error or _error_of(result)

    def _next(self) -> PGresult | None:
        while self._pgconn.is_busy():
            self._wait(write=False)
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    def _discard_copy_out(self) -> None:
        while True:
            size, _ = self._pgconn.get_copy_data(1)
            if size < 0:
                return
            if size == 0:
                self._wait(write=False)
                self._pgconn.consume_input()

    def _flush(self) -> None:
        while self._pgconn.flush():
            if self._wait(write=True):
                self._pgconn.consume_input()

    def _wait(self, *, write: bool) -> bool:
        """Until the socket is ready. True: it can be read."""
        socket = self._pgconn.socket
        stop = self._session.stop
        watch = self._session.watch
        while True:
            asked = stop.is_set()
            if asked:
                self._cancel()
            watched = [socket] if asked else [socket, stop.wakes.fileno()]
            timeout = _CANCEL_EVERY_S if asked else watch.due_in() if watch is not None else None
            readable, writable, _ = select.select(watched, [socket] if write else [], [], timeout)
            if socket in readable or writable:
                return socket in readable
            if watch is not None:
                watch.look()

    def _cancel(self) -> None:
        now = time.monotonic()
        self._cut_off_at = self._cut_off_at or now + _GIVE_UP_AFTER_S
        if now >= self._cut_off_at:
            self._session.connection.close()
            raise Transient(Reason.INTERRUPTED, "the run was asked to stop and the database did not answer: cut off", after_sql=True)
        if now >= self._cancel_at:
            self._session.cancel()
            self._cancel_at = time.monotonic() + _CANCEL_EVERY_S


def _error_of(result: PGresult) -> ServerError | None:
    return None if result.status in _COMPLETE or result.status in _ROWS else ServerError.from_result(result)
