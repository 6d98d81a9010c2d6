"""One file in one transaction, together with what the history says of it."""

from collections.abc import Callable
from typing import NamedTuple

from psycopg.pq.abc import PGresult

from dbmigration.errors import Permanent
from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.migrations.statements import CopyData, Kind
from dbmigration.postgres import history, lock, record
from dbmigration.postgres.batch import MESSAGE_BYTES, Piece, Sender
from dbmigration.postgres.progress import Ticker
from dbmigration.postgres.quote import qualified
from dbmigration.postgres.reading import Source, feed
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session
from dbmigration.postgres.verify import Verdict, add_verify, begin

_STILL_HELD = Piece(lock.STILL_HELD.encode())
"""The lock is looked at after each file, at no round trip of its own: only SQL of a file, or the end of the connection, can lose it."""

_AHEAD_BYTES = MESSAGE_BYTES // 2
"""A body up to this size fits one message together with its terminators and with what is said around it: nothing is sent meanwhile."""

_SENT_ALONE = (Kind.COPY_IN, Kind.SESSION)
"""COPY and its data are messages of their own, and some settings end one."""

_STILL_DEPENDED_UPON = "2BP01"
"""dependent_objects_still_exist: DROP SCHEMA without CASCADE."""


class Task(NamedTuple):
    """What is to be run: the body `source` of `file` (its own text, or its rollback script) and maybe a verify script.

    `recorded` makes the statements that write down that the file was applied.
    """

    session: Session
    file: MigrationFile
    source: Source
    verify: Source | None
    table: HistoryTable
    run_id: str
    ticker: Ticker
    recorded: Callable[..., tuple[str, ...]] = record.applied


class Ran(NamedTuple):
    """`duration_ms` is the server's, from BEGIN to the history row."""

    duration_ms: int
    statements: int


def apply_in_transaction(task: Task, *, lock_timeout_ms: int, attempt: int, made: "Made | None" = None) -> Ran:
    """Body, verify script, history row and COMMIT. A small file with a known history is one message, which `make_ahead` may have made.

    Raises with the transaction still open: the caller ends it.
    """
    session = task.session
    session.used = True
    if made is None:
        made = _make(task, lock_timeout_ms, attempt)
    session.used = not made.sender.flush()
    rows = made.rows
    if rows.lock_lost:
        session.lock_held, session.lock_lost = False, True
    session.ready_for = task.table
    return Ran(rows.duration_ms, made.statements)


class Made(NamedTuple):
    """The end of a file's messages, which is for a small one the only message, before it is sent."""

    sender: Sender
    rows: "_Rows"
    statements: int


def make_ahead(task: Task, lock_timeout_ms: int) -> Made | None:
    """The one message of a small file, while the server works on the file before; None where it takes more than one."""
    source = task.source
    if task.verify is not None or source.parts is None or task.session.ready_for != task.table:
        return None
    if source.size + len(source.parts) * 4 > _AHEAD_BYTES:
        return None
    if not source.shape.transactional or any(isinstance(part, CopyData) or part.kind in _SENT_ALONE for part in source.parts):
        return None
    made = _make(task, lock_timeout_ms, 1)
    made.sender.seal()
    return made


def _make(task: Task, lock_timeout_ms: int, attempt: int) -> Made:
    """Send all but the last message of a file, which is not sent yet."""
    session = task.session
    rows = _Rows()
    sender = Sender(session, rows.look)
    sender.say(begin(task.source), f"SET LOCAL lock_timeout = {lock_timeout_ms}")
    fed = feed(sender, task.source, task.ticker)
    sender.add(Piece(record.FIRE_DEFERRED.encode(), task.source.name, fed.last_line))
    if task.verify is not None:
        add_verify(sender, task.verify)
        sender.flush()
        rows.verdict.raise_if_failed()
    sender.say(*record.AS_OURSELVES)
    if session.ready_for != task.table:
        sender.flush()
        history.prepare(session, task.table)
    sender.say(
        *task.recorded(
            task.table,
            task.file,
            actor=session.actor,
            run_id=task.run_id,
            duration_ms=record.TRANSACTION_MS,
            detail={"statements": fed.statements, "attempt": attempt},
        ),
        "COMMIT",
    )
    sender.settle()
    sender.say(*record.FORGET_OBJECTS)
    if session.lock_held:
        sender.add(_STILL_HELD)
    return Made(sender, rows, fed.statements)


def rollback_in_transaction(task: Task, *, kind: str, lock_timeout_ms: int, attempt: int) -> Ran:
    """Event, history row and checksum first, then the body: it may drop the very schema that holds the history.

    A history table of ours that would be left empty goes first, for without CASCADE that schema could not be dropped; the next file that
    is applied makes it again. Raises with the transaction still open.
    """
    session = task.session
    session.used = True
    rows = _Rows()
    sender = Sender(session, rows.look)
    sender.say(begin(task.source), f"SET LOCAL lock_timeout = {lock_timeout_ms}")
    sender.flush()
    history.prepare(session, task.table)
    sender.say(
        record.event(kind, task.file, actor=session.actor, run_id=task.run_id, detail={"attempt": attempt}),
        *record.forgotten(task.table, task.file),
    )
    sender.flush()
    session.ready_for = None
    droppable = history.made_by_us_and_empty(session, task.table)
    if droppable and task.table.schema != SCHEMA:
        sender.say(f"DROP TABLE {qualified(task.table.schema, task.table.table)}")
    try:
        fed = feed(sender, task.source, task.ticker)
        sender.say(f"SELECT {record.TRANSACTION_MS}", "COMMIT")
        sender.flush()
    except Permanent as error:
        if error.place.sqlstate == _STILL_DEPENDED_UPON and not droppable and _drops_schema(error.place.statement, task.table.schema):
            error.message += (
                f"; if it is the history table {task.table}: it was not made by this tool or has rows of other files, so it stays. "
                "Save and drop it yourself, or leave its schema in the rollback script"
            )
        raise
    lock.look(session)
    return Ran(rows.duration_ms, fed.statements)


def _drops_schema(statement: str | None, schema: str) -> bool:
    return statement is not None and statement[:11].upper() == "DROP SCHEMA" and schema in statement


class _Rows:
    """What the results of a file's messages tell: the verdict of its verify script, our own statement's duration, and the lock."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.duration_ms = 0
        self.lock_lost = False

    def look(self, piece: Piece, result: PGresult) -> None:
        if piece.verifies:
            self.verdict.look(piece, result)
        elif piece is _STILL_HELD and result.ntuples:
            self.lock_lost = result.get_value(0, 0) == b"f"
        elif piece.file is None and result.ntuples:
            self.duration_ms = int(result.get_value(0, 0) or b"0")
