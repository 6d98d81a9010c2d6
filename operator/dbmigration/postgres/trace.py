"""What each statement of a file costs: its time, the locks that it takes, the tables that it rewrites.

Only for a database that nobody else is in: statements are sent one by one, and after those that may lock or rewrite the session looks at
itself. That is exact where a second connection could only take samples, and slower where a file has many small statements.
"""

import heapq
import re
import time
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from psycopg.pq import TransactionStatus

from dbmigration.api.report import KEEPS_OTHERS_OUT
from dbmigration.migrations.mask import mask_literals
from dbmigration.postgres.blockers import FIRST_USER_OID
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

SLOWEST_KEPT: Final = 20

MODES: Final = (
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""The modes of locks on tables, weakest first (manual, 13.3.1). Those that only readers take are left out."""

_BEFORE_A_WORD: Final = rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_QUIET: Final = re.compile(_BEFORE_A_WORD + rb"(?:INSERT|UPDATE|DELETE|COPY|SET|RESET|SHOW)\b", re.IGNORECASE | re.DOTALL)
_ONLY_FIRST: Final = re.compile(_BEFORE_A_WORD + rb"SET\s+(?:LOCAL\s+)?TRANSACTION\b", re.IGNORECASE | re.DOTALL)
"""Another of its kind may follow, and is refused after a query of ours."""

_QUIET_UP_TO_S: Final = 0.01
"""A statement that only changes rows and was quick is not looked after; a trigger's locks are seen with the next look."""

_SQL_KEPT: Final = 4096
_NUMBER: Final = {mode.replace(" ", "") + "LOCK": number for number, mode in enumerate(MODES)}

_TABLES: Final = f"""
SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relfilenode
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND c.oid >= {FIRST_USER_OID} AND n.nspname <> '{SCHEMA}'
"""
_LOCKS: Final = f"""
SELECT l.relation, pg_catalog.upper(l.mode), c.relfilenode
FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= {FIRST_USER_OID}
    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
"""


class Timed(NamedTuple):
    """A statement and its time on the server and on the way there. `statement` has its values replaced and at most 200 characters."""

    file: str
    line: int
    statement: str
    ms: int


class TableLock(NamedTuple):
    """A lock on a table that was there before its file, for how long the transaction had it, and the line that took it."""

    table: str
    mode: str
    ms: int
    file: str
    line: int | None

    @property
    def keeps_others_out(self) -> bool:
        return self.mode in KEEPS_OTHERS_OUT

    def __str__(self) -> str:
        return f"{self.mode} on {self.table} for {self.ms / 1000:.1f} s"


class Rewrite(NamedTuple):
    """A table with rows of which a statement wrote a new copy. `bytes` of the copy, without its indexes and long values."""

    table: str
    bytes: int
    file: str
    line: int


def strongest_first(locks: Iterable[TableLock]) -> tuple[TableLock, ...]:
    return tuple(sorted(locks, key=lambda lock: (-MODES.index(lock.mode), -lock.ms, lock.table)))


class _Held(NamedTuple):
    mode: int
    since: float
    line: int


class Trace:
    """Of one session and all files that it runs. `tables` of what is there is read when a file begins."""

    def __init__(self) -> None:
        self._files: list[_FileTrace] = []
        self._current: _FileTrace | None = None

    def begin(self, session: Session, file: str) -> None:
        """A file is about to run, or to be tried again: what was measured of it before does not count."""
        names, filenodes = _tables(session)
        self._current = _FileTrace(file, names, filenodes)

    def before(self, session: Session) -> None:
        """The next statement is about to be sent."""
        if self._current is not None and session.connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._current.free(time.monotonic())

    def ran(self, session: Session, sql: bytes, file: str, line: int, began: float) -> None:
        """A statement has run, and `began` (time.monotonic) when it was sent. Raises what `Session.query` raises."""
        took = time.monotonic() - began
        current = self._current
        if current is None:
            return
        current.count(took, file, line, sql)
        if _ONLY_FIRST.match(sql) or (took < _QUIET_UP_TO_S and _QUIET.match(sql)):
            return
        status = session.connection.pgconn.transaction_status
        if status == TransactionStatus.INTRANS:
            current.look(session, file, line, began)
        elif status == TransactionStatus.IDLE:
            current.compare(session, file, line)

    def end(self) -> None:
        """The file has run, and its locks are free."""
        if self._current is not None:
            self._current.free(time.monotonic())
            self._files.append(self._current)
        self._current = None

    def slowest(self) -> tuple[Timed, ...]:
        """Of all files, slowest first; also of one that failed."""
        found = heapq.nlargest(SLOWEST_KEPT, (each for file in self._all() for each in file.slowest))
        return tuple(Timed(file, line, mask_literals(sql.decode(errors="replace")), ms) for ms, file, line, sql in found)

    def locks(self) -> tuple[TableLock, ...]:
        """The strongest of each file on each table, and weaker ones that were held longer; strongest first, then longest."""
        return strongest_first(lock for file in self._all() for lock in file.locks.values() if not file.covers(lock))

    def rewrites(self) -> tuple[Rewrite, ...]:
        """In the order of the files."""
        return tuple(rewrite for file in self._all() for rewrite in file.rewrites)

    def _all(self) -> "Iterable[_FileTrace]":
        return (*self._files, *((self._current,) if self._current is not None else ()))


class _FileTrace:
    def __init__(self, file: str, names: Mapping[int, str], filenodes: dict[int, int]) -> None:
        self.file = file
        self.slowest: list[tuple[int, str, int, bytes]] = []
        self.locks: dict[tuple[str, str], TableLock] = {}
        self.rewrites: list[Rewrite] = []
        self._names = names
        self._filenodes = filenodes
        self._held: dict[int, list[_Held]] = {}

    def count(self, took: float, file: str, line: int, sql: bytes) -> None:
        item = (int(took * 1000), file, line, sql[:_SQL_KEPT])
        if len(self.slowest) < SLOWEST_KEPT:
            heapq.heappush(self.slowest, item)
        else:
            heapq.heappushpop(self.slowest, item)

    def look(self, session: Session, file: str, line: int, began: float) -> None:
        """In the middle of a transaction, which has every lock that it ever took."""
        for oid, mode, filenode in session.query(_LOCKS):
            if oid not in self._names or mode not in _NUMBER:
                continue
            held, number = self._held.setdefault(oid, []), _NUMBER[mode]
            if all(number != each.mode for each in held):
                held.append(_Held(number, began, line))
            if filenode is not None:
                self._rewritten(session, oid, filenode, file, line)

    def compare(self, session: Session, file: str, line: int) -> None:
        """After a statement that was its own transaction: its locks are gone, what it rewrote is not."""
        names, filenodes = _tables(session)
        for oid in names.keys() & self._names.keys():
            self._rewritten(session, oid, filenodes[oid], file, line)

    def free(self, at: float) -> None:
        """The transaction has ended: what it held is measured."""
        for oid, held in self._held.items():
            for each in held:
                lock = TableLock(self._names[oid], MODES[each.mode], int((at - each.since) * 1000), self.file, each.line)
                known = self.locks.get((lock.table, lock.mode))
                if known is None or known.ms < lock.ms:
                    self.locks[lock.table, lock.mode] = lock
        self._held = {}

    def covers(self, lock: TableLock) -> bool:
        """Whether there is a stronger one on that table that was held as long, or this one keeps nobody out."""
        return any(
            other.table == lock.table
            and MODES.index(other.mode) > MODES.index(lock.mode)
            and (other.ms >= lock.ms or not lock.keeps_others_out)
            for other in self.locks.values()
        )

    def _rewritten(self, session: Session, oid: int, filenode: int, file: str, line: int) -> None:
        if filenode == self._filenodes[oid]:
            return
        self._filenodes[oid] = filenode
        size: int = session.query("SELECT pg_catalog.pg_relation_size(%s::pg_catalog.oid)", (oid,))[0][0] or 0
        if size:  # TRUNCATE leaves an empty file, and so does whatever changes an empty table
            self.rewrites.append(Rewrite(self._names[oid], size, file, line))


def _tables(session: Session) -> tuple[dict[int, str], dict[int, int]]:
    rows = session.query(_TABLES)
    return {oid: name for oid, name, _ in rows}, {oid: filenode for oid, _, filenode in rows}
