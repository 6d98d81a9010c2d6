"""How a whole script may be run: in one transaction, or statement by statement, and why."""

from dataclasses import dataclass, field

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.classify import Verdict
from dbmigration.migrations.statements import Kind, Shape
from dbmigration.migrations.tree import enum_value_added


def verify_shape(shape: Shape, name: str) -> Shape:
    """How a verify script of this shape runs: in a transaction that is rolled back, as its own BEGIN; … ROLLBACK; says where it has that.

    Raises Permanent SOURCE_INVALID for a script that could not be undone.
    """
    if shape.transactional:
        return shape
    if shape.undoes_itself:
        return shape._replace(transactional=True, why=None, strip_outer=True)
    why = shape.why or "it says so itself"
    message = f"a verify script runs in a transaction that is rolled back, and this one cannot: {why}"
    raise Permanent(Reason.SOURCE_INVALID, message, place=Place(name))


@dataclass(slots=True)
class ShapeFinder:
    """Is shown every statement in order, then asked for the `shape`.

    `transaction` is the header's word: True one transaction, False none, None let the text decide.
    """

    name: str
    transaction: bool | None
    count: int = 0
    _why: str | None = None  # the first certain reason against one transaction
    _why_line: int = 0
    _reasons: int = 0
    _undone: bool = False  # the file's own transaction ended with ROLLBACK
    _guess: str | None = None  # the first reasoned guess against it
    _begin_line: int = 0  # of the file's own transaction that is open, 0 when none is
    _begin_sql: bytes | None = None
    _transactions: int = 0
    _outside: int = 0  # line of the first statement before the file's own BEGIN
    _lock_line: int = 0  # of the first LOCK TABLE outside of the file's own transaction
    _added: dict[bytes, tuple[str, int]] = field(default_factory=dict)  # quoted value -> (value, line of ADD VALUE)

    def see(self, line: int, word: bytes, sql: bytes, verdict: Verdict) -> None:
        """Raises Permanent SOURCE_INVALID for what can be run in no way."""
        self.count += 1
        kind = verdict.kind
        if kind is Kind.BEGIN:
            self._see_begin(line, sql)
        elif kind is Kind.COMMIT or kind is Kind.ROLLBACK:
            self._see_end(line, sql, verdict)
        elif kind is Kind.NO_TRANSACTION:
            self._see_forbidden(line, verdict)
        elif not self._begin_line and not (kind is Kind.SESSION and b"transaction" not in sql.lower()):
            self._see_outside(line)
        if not self._begin_line and not self._lock_line and word.upper() == b"LOCK":
            self._lock_line = line
        if self._added:
            self._see_use(line, word, sql)
        if kind is Kind.PLAIN and word[:1] in b"aA":
            self._see_enum(line, word, sql)

    def see_plain(self, line: int, sql: bytes) -> None:
        """The same for a statement whose first word says that it is PLAIN and makes no type: the way of most."""
        self.count += 1
        if not self._begin_line:
            self._see_outside(line)
        if self._added:
            self._see_use(line, b"", sql)

    def shape(self) -> Shape:
        """Raises Permanent SOURCE_INVALID when the header asks for one transaction and the text rules it out."""
        if self._begin_line:
            message = "this BEGIN has no COMMIT: psql would roll everything back at the end of the file. Add COMMIT;"
            raise self._invalid(self._begin_line, message)
        shape = self._shape()
        if self._lock_line and not shape.transactional:
            message = (
                "LOCK TABLE holds to the end of its transaction, so PostgreSQL takes it only in one, and this file runs without "
                f"({shape.why}): put BEGIN; and COMMIT; around what the lock is for, or the rest into another file"
            )
            raise self._invalid(self._lock_line, message)
        return shape

    def _shape(self) -> Shape:
        if self.transaction is False:
            return Shape(False, "the header says Transaction: none", False, self.count)
        if self._why is not None:
            if self.transaction:
                message = f"the header says Transaction: single, but {self._why}: change the header or move the statement to another file"
                raise self._invalid(self._why_line, message)
            undoes_itself = self._undone and self._reasons == 1
            return Shape(False, f"line {self._why_line}: {self._why}", False, self.count, self._begin_sql, undoes_itself)
        if self._guess is not None and self.transaction is None and not self._transactions:
            return Shape(False, self._guess, False, self.count)
        return Shape(True, None, self._transactions == 1, self.count, self._begin_sql)

    def _see_begin(self, line: int, sql: bytes) -> None:
        if self._begin_line:
            return  # PostgreSQL only warns, and goes on in the transaction that is open
        self._begin_line = line
        self._transactions += 1
        if self._transactions == 1:
            options = sql.rstrip(b"; \t\r\n").upper().split()
            self._begin_sql = sql if [word for word in options if word not in (b"BEGIN", b"START", b"WORK", b"TRANSACTION")] else None
            if self._outside:
                self._refuse(self._outside, "SQL stands before the file's own BEGIN")
        else:
            self._refuse(line, "a second transaction begins")

    def _see_end(self, line: int, sql: bytes, verdict: Verdict) -> None:
        if verdict.what == "PREPARE TRANSACTION":
            raise self._invalid(line, "PREPARE TRANSACTION leaves a transaction that nobody ends: write COMMIT")
        if not self._begin_line:
            self._refuse(line, f"{verdict.what} stands outside of a transaction of the file")
            return
        if verdict.kind is Kind.ROLLBACK:
            self._refuse(line, "ROLLBACK ends the file's own transaction")
            self._undone = True
        words = sql.rstrip(b"; \t\r\n").upper().split()
        if words[-2:] == [b"AND", b"CHAIN"]:
            self._refuse(line, f"{verdict.what} AND CHAIN begins a second transaction")
        else:
            self._begin_line = 0

    def _see_forbidden(self, line: int, verdict: Verdict) -> None:
        if not verdict.certain:
            self._guess = self._guess or f"line {line}: {verdict.what} cannot run in a transaction"
        elif self._begin_line:
            message = f"{verdict.what} cannot run in a transaction: take it out of BEGIN and COMMIT, best into a file of its own"
            raise self._invalid(line, message)
        else:
            self._refuse(line, f"{verdict.what} cannot run in a transaction")

    def _see_outside(self, line: int) -> None:
        if self._transactions:
            self._refuse(line, "SQL stands after the file's own COMMIT")
        elif not self._outside:
            self._outside = line

    def _see_enum(self, line: int, word: bytes, sql: bytes) -> None:
        added = enum_value_added(word, sql)
        if added is not None:
            quoted = "'" + added[1].replace("'", "''") + "'"
            self._added.setdefault(quoted.encode(), (added[1], line))

    def _see_use(self, line: int, word: bytes, sql: bytes) -> None:
        if self._guess is not None or enum_value_added(word, sql) is not None:
            return
        for quoted, (value, added_line) in self._added.items():
            if quoted in sql:
                self._guess = f"line {line}: the value {value!r} that line {added_line} adds cannot be used before that is committed"
                return

    def _refuse(self, line: int, why: str) -> None:
        self._reasons += 1
        if self._why is None:
            self._why, self._why_line = why, line

    def _invalid(self, line: int, message: str) -> Permanent:
        return Permanent(Reason.SOURCE_INVALID, message, place=Place(self.name, line))
