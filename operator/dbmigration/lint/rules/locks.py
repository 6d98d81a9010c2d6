"""Locks that are held while something slow goes on."""

import re
from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context, Held
from dbmigration.lint.definitions import ConstraintKind, Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.operations import Operation
from dbmigration.lint.rule import NO_VERIFY, Hit, operation_rule

_MANY_ROWS = 1000
_WORKING_CODE = re.compile(r"\b(?:insert|update|delete|merge|execute|perform|loop|create|alter)\b", re.IGNORECASE)


@operation_rule(
    Severity.WARNING,
    "Slow work follows an ACCESS EXCLUSIVE lock in the same transaction",
    *(op.Update, op.Delete, op.Insert, op.Code, op.CreateIndex, op.AddConstraint, op.ValidateConstraint, op.ChangeType, op.SetNotNull),
    *(op.CreateTable, op.Create, op.Refresh, op.RewriteTable),
)
def statement_after_exclusive_lock(operation: Operation, c: Context) -> Iterator[Hit]:
    if not c.held or not c.in_transaction:
        return
    held = _before(c)
    what = _slow(operation, c)
    if held is not None and what:
        yield Hit(
            f"nobody can read or write {held.table} from {held.what} in line {held.line} until this {what} is done and committed: "
            "put it before that, or into a file of its own",
            table=held.table,
            once=str(held.table),
        )


def _before(c: Context) -> Held | None:
    """The first lock that an earlier statement took."""
    return next((held for held in c.held.values() if held.statement < c.statement.index), None)


def _slow(operation: Operation, c: Context) -> str:
    """What may take long, in words; "" for what only changes the catalog, or works on what this script made."""
    match operation:
        case op.Update(table=table) if not c.is_new(table):
            return "UPDATE"
        case op.Delete(table=table) if not c.is_new(table):
            return "DELETE"
        case op.Insert(copy=True):
            return "COPY"
        case op.Insert(from_query=True):
            return "INSERT … SELECT"
        case op.Insert(rows=rows) if rows >= _MANY_ROWS:
            return f"run of {rows} INSERTs"
        case op.Code(text=text, runs=True) if _WORKING_CODE.search(text):
            return "DO block"
        case op.CreateIndex(table=table, concurrently=False, only=False) if not c.is_new(table):
            return "index build"
        case op.AddConstraint(table=table, constraint=k) if k.valid and not k.index and not c.is_new(table):
            return f"check of every row for {k.kind.value}" if k.kind is not ConstraintKind.UNIQUE else "index build"
        case op.ValidateConstraint():
            return "VALIDATE CONSTRAINT"
        case op.SetNotNull(table=table, column=column) if not c.is_new(table):
            known = c.table(table)
            return "" if known is not None and known.proves_not_null(column) else "look at every row for SET NOT NULL"
        case op.RewriteTable(table=table) if not c.is_new(table):
            return operation.what
        case op.CreateTable(from_query=True):
            return "CREATE TABLE AS"
        case op.Create(kind=Object.MATERIALIZED_VIEW):
            return "filling of a materialized view"
        case op.Refresh():
            return "REFRESH MATERIALIZED VIEW"
        case _:
            return ""


@operation_rule(Severity.WARNING, "LOCK TABLE", op.Lock, roles=NO_VERIFY)
def lock_table(lock: op.Lock, c: Context) -> Iterator[Hit]:
    if not c.in_transaction:
        yield Hit("LOCK TABLE outside of a transaction fails (25P01): wrap the file in BEGIN; … COMMIT;", severity=Severity.ERROR)
    elif lock.mode not in ("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE") and not c.is_new(lock.table):
        who = "nobody can read or write" if lock.exclusive else "nobody can write to"
        yield Hit(f"{who} {lock.table} from here to the commit ({lock.mode}): lock no more than the file needs, and late", table=lock.table)


@operation_rule(Severity.ERROR, "VACUUM FULL or CLUSTER", op.Vacuum, roles=NO_VERIFY, by_size=True)
def vacuum_full(vacuum: op.Vacuum, c: Context) -> Iterator[Hit]:
    if vacuum.table is None or not c.is_new(vacuum.table):
        table = "every table, one after the other," if vacuum.table is None else str(vacuum.table)
        yield Hit(
            f"nobody can read or write {table} while {vacuum.what} writes all of it anew, which also wants as much disk again: "
            "plain VACUUM, or pg_repack for bloat",
            table=vacuum.table,
        )
