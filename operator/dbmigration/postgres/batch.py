"""Statements gathered into messages, and an error traced back to its file and line."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from psycopg.pq.abc import PGresult

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Place, Transient
from dbmigration.postgres import wire
from dbmigration.postgres.errors import QUERY_CANCELED, ServerError, classify
from dbmigration.postgres.session import Session

MESSAGE_BYTES = 64 * 1024
"""More in one message gains nothing and costs memory on both sides."""

_CANNOT_IN_TRANSACTION = frozenset({"25001", "2D000"})

_OF_BLOCK = re.compile(r"\binline_code_block\D{1,20}(\d{1,9})\b")
"""In whatever language the server speaks."""

_BODY = re.compile(rb"DO\b[^'$]*(?:'|\$[^$]*\$)", re.IGNORECASE)
"""Up to the first byte of a block's text."""

OnRows = Callable[["Piece", PGresult], None]


@dataclass(slots=True)
class Piece:
    """One statement of a message. `file` None: it is ours and stands in no file. Not frozen, for speed alone."""

    sql: bytes
    file: str | None = None
    line: int = 0
    verifies: bool = False


class Sender:
    """Gathers pieces and sends them in messages of at most 64 KiB (a larger piece goes alone).

    A session with a trace gets each statement of a file in a message of its own.

    An error of the server is raised as what `errors.classify` makes of it, placed in the piece's file; of a verify script as VERIFY_FAILED.
    """

    def __init__(self, session: Session, on_rows: OnRows | None = None) -> None:
        self._session = session
        self._on_rows = on_rows
        self._pieces: list[Piece] = []
        self._size = 0
        self._settled: int | None = None
        self._sealed: bytes | None = None
        self._sent: tuple[list[Piece], int | None, wire.Exchange] | None = None

    def add(self, *pieces: Piece) -> bool:
        """True: what had been gathered before was sent first."""
        sent = False
        for piece in pieces:
            if piece.file is not None and self._session.trace is not None:
                self._run_traced(piece)
                sent = True
                continue
            size = len(piece.sql) + 2
            if self._size + size > MESSAGE_BYTES and self._pieces:
                self.flush()
                sent = True
            self._pieces.append(piece)
            self._size += size
        return sent

    def say(self, *statements: str) -> None:
        """Add statements of ours."""
        self.add(*(Piece(statement.encode()) for statement in statements))

    def settle(self) -> None:
        """What was added so far decides: an error of what is added after it, before the next flush, is not raised but returned as False."""
        self._settled = len(self._pieces)

    def seal(self) -> None:
        """What was added is the whole message: make it now, so that the next flush need only send it."""
        self._sealed = _message(self._pieces)

    def stream(self, piece: Piece) -> bool:
        """As `add`, but what is sent is not waited for: the file is read on while the server works.

        An error may be that of the message before. Afterwards, come what may, the caller calls `wait`.
        """
        if self._session.trace is not None:
            return self.add(piece)
        size = len(piece.sql) + 2
        full = self._size + size > MESSAGE_BYTES and bool(self._pieces)
        if full:
            self._send()
        self._pieces.append(piece)
        self._size += size
        return full

    def wait(self) -> bool:
        """Read the results of what `stream` sent. True: all of it ran."""
        if self._sent is None:
            return True
        (pieces, settled, exchange), self._sent = self._sent, None
        on_rows = self._on_rows
        answer = exchange.finish(None if on_rows is None else lambda number, rows: on_rows(pieces[number], rows))
        if answer.error is not None and (settled is None or answer.completed < settled):
            raise self._error(answer.error, pieces, answer.completed)
        return answer.error is None

    def flush(self) -> bool:
        """Send what is gathered and read all results. True: all of it ran."""
        if self._pieces:
            self._send()
        return self.wait()

    def _send(self) -> None:
        self.wait()
        pieces, settled = self._pieces, self._settled
        self._pieces, self._size, self._settled = [], 0, None
        message, self._sealed = _message(pieces) if self._sealed is None else self._sealed, None
        self._sent = (pieces, settled, wire.start(self._session, message))

    def copy(self, piece: Piece, chunks: Iterable[bytes]) -> None:
        """Run a COPY … FROM STDIN with its data, after what was gathered before it."""
        trace = self._session.trace
        if trace is not None:
            trace.before(self._session)
        self.flush()
        began = time.monotonic()
        answer = wire.copy_in(self._session, piece.sql, chunks)
        if answer.error is not None:
            raise self._error(answer.error, [piece], 0)
        if trace is not None and piece.file is not None:
            trace.ran(self._session, piece.sql, piece.file, piece.line, began)

    def _run_traced(self, piece: Piece) -> None:
        """In a message of its own, after what was gathered before it."""
        trace = self._session.trace
        assert trace is not None and piece.file is not None  # noqa: S101, PT018 - the caller asked
        trace.before(self._session)
        self.flush()
        began = time.monotonic()
        self._pieces.append(piece)
        self.flush()
        trace.ran(self._session, piece.sql, piece.file, piece.line, began)

    def _error(self, error: ServerError, pieces: list[Piece], completed: int) -> DbmigrationError:
        if error.sqlstate == QUERY_CANCELED and self._session.stop.is_set():
            return Transient(Reason.INTERRUPTED, "the run was asked to stop; the statement was cancelled", after_sql=True)
        piece, line = locate(error, pieces, completed)
        if piece.file is None:
            return _of_ours(error)
        from dbmigration.migrations.mask import mask_literals

        statement = mask_literals(piece.sql[:MESSAGE_BYTES].decode(errors="replace"))
        found = classify(error, place=Place(piece.file, line, error.sqlstate, statement), after_sql=True)
        if not isinstance(found, Permanent):
            return found
        if piece.verifies:
            return Permanent(Reason.VERIFY_FAILED, found.message, place=found.place, values=found.values)
        if error.sqlstate in _CANNOT_IN_TRANSACTION:
            message = f"{found.message}; if it has to run outside a transaction, say `-- Transaction: none` in the file's header"
            return Permanent(found.reason, message, place=found.place, values=found.values)
        return found


def _of_ours(error: ServerError) -> DbmigrationError:
    """An error in a statement that no file has: BEGIN, COMMIT, the history row. A right that is missing there is for a person to grant."""
    found = classify(error)
    if isinstance(found, Transient):
        found.after_sql = True
    return found


def locate(error: ServerError, pieces: list[Piece], completed: int) -> tuple[Piece, int]:
    """The piece that failed and the line in its file.

    PostgreSQL's position counts characters of the whole message, and it comes first: a syntax error anywhere in the message is found
    before its first statement runs. Without a position the results that came tell the statement, and the error's context the line of
    COPY's data or of a DO block.
    """
    at = pieces[min(completed, len(pieces) - 1)]
    if error.position is None:
        return at, at.line + (_line_of_data(error, at) or _line_of_block(error, at))
    start = 0
    wanted = error.position - 1
    for piece in pieces:
        text = _terminated(piece.sql).decode(errors="replace")
        if wanted < start + len(text):
            return piece, piece.line + text.count("\n", 0, wanted - start)
        start += len(text)
    return at, at.line  # counted in an encoding of one byte for each character, which the file has set


def _line_of_data(error: ServerError, piece: Piece) -> int:
    """How many lines below the COPY statement's first line its bad data are. The context is `COPY table, line 3, column a: "…"`."""
    if piece.sql[:4].upper() != b"COPY" or error.context is None or not error.context.startswith("COPY "):
        return 0
    number = error.context.partition(", line ")[2].partition(",")[0].partition(":")[0]
    return piece.sql.count(b"\n") + int(number) if number.isascii() and number.isdigit() else 0


def _line_of_block(error: ServerError, piece: Piece) -> int:
    """How many lines below the DO statement's first line the one of its block that failed is.

    PL/pgSQL counts from where the block's text begins, and says so outermost last: `PL/pgSQL function inline_code_block line 3 at RAISE`.
    """
    found = _OF_BLOCK.findall(error.context or "")
    body = _BODY.match(piece.sql) if found else None
    return piece.sql.count(b"\n", 0, body.end()) + int(found[-1]) - 1 if body is not None else 0


def _message(pieces: list[Piece]) -> bytes:
    return b"".join([_terminated(piece.sql) for piece in pieces])


def _terminated(sql: bytes) -> bytes:
    """A last statement may lack its semicolon, or end in a comment that would swallow what follows."""
    return sql + b"\n" if sql.endswith(b";") and b"--" not in sql else sql + b"\n;\n"
