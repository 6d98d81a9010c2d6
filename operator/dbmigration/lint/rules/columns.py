"""Columns whose adding or changing fails, or writes every row anew."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import Column, ConstraintKind, Object, Volatility
from dbmigration.lint.finding import Severity
from dbmigration.lint.names import TypeName
from dbmigration.lint.rule import NO_VERIFY, Hit, operation_rule
from dbmigration.lint.types import Change, change_of, may_be_free


@operation_rule(Severity.ERROR, "ADD COLUMN NOT NULL without DEFAULT on an existing table", op.AddColumn)
def add_column_not_null(add: op.AddColumn, c: Context) -> Iterator[Hit]:
    if add.column.not_null and not add.column.filled and not c.is_new(add.table) and not _is_there(add, c):
        yield Hit(
            f"fails as soon as {add.table} has a row (23502): give {add.column.name} a DEFAULT, "
            "or add it nullable, fill it, then SET NOT NULL",
            at=add.column.at,
        )


@operation_rule(Severity.ERROR, "ADD COLUMN writes every row of an existing table anew", op.AddColumn, by_size=True)
def add_column_rewrite(add: op.AddColumn, c: Context) -> Iterator[Hit]:
    """The columns of one ALTER TABLE are written in one pass, so they are one finding."""
    found = None if c.is_new(add.table) else _rewriting(add, c)
    if found is None:
        return
    severity, why = found
    alike = [
        other
        for other in c.statement.operations
        if isinstance(other, op.AddColumn) and other.table == add.table and (again := _rewriting(other, c)) and again[0] is severity
    ]
    if alike[0] is not add:
        return
    column = add.column
    others = f" (and {len(alike) - 1} more in this statement)" if len(alike) > 1 else ""
    plain = "as a plain column that a trigger fills" if column.generated else "without it, set the default afterwards"
    yield Hit(
        f"nobody can read or write {add.table} while all of it is written anew: {why}. "
        f"Add {column.name}{others} {plain}, fill old rows in batches",
        at=column.at,
        table=add.table,
        severity=severity,
    )


def _rewriting(add: op.AddColumn, c: Context) -> tuple[Severity | None, str] | None:
    """(severity, None: the rule's own; why every row is written), None when none is."""
    if _is_there(add, c):
        return None
    column = add.column
    _, constrained = c.model.resolve(column.type)
    volatility, functions = c.model.volatility(column)
    if column.serial or column.identity:
        return None, "each row gets a number of its own"
    if column.generated:
        return None, "a GENERATED … STORED value is computed for each row"
    if constrained:
        return None, f"its type {column.type} is a domain with constraints, which each row has to meet"
    calls = " and ".join(f"{name}()" for name in functions)
    verb = "is" if len(functions) == 1 else "are"
    if volatility is Volatility.VOLATILE:
        return None, f"{calls} {verb} VOLATILE, so each row gets a value of its own"
    if volatility is Volatility.UNKNOWN:
        return Severity.WARNING, f"{calls} {verb} VOLATILE unless declared otherwise"
    return None


@operation_rule(Severity.ERROR, "ALTER COLUMN TYPE writes every row anew", op.ChangeType, roles=NO_VERIFY, by_size=True)
def change_column_type(change: op.ChangeType, c: Context) -> Iterator[Hit]:
    if c.is_new(change.table):
        return
    table = c.table(change.table)
    known = table.columns.get(change.column) if table is not None else None
    if c.is_new_column(change.table, change.column) and known is None:
        return
    new, constrained = c.model.resolve(change.type)
    blocked = f"nobody can read or write {change.table} while all of it and its indexes are written anew"
    remedy = "add a column of the new type, fill it in batches, switch over"
    if change.converted:
        yield Hit(f"{blocked}: USING computes each value. {remedy.capitalize()}", table=change.table)
    elif known is None:
        if constrained or not may_be_free(new):
            yield Hit(f"{blocked}, unless {change.column} has the type {change.type} already. {remedy.capitalize()}", table=change.table)
        else:
            yield Hit(
                f"{blocked}, unless {change.column} is of a type that changes to {change.type} for nothing (a shorter varchar, say); "
                "this set does not tell its type",
                table=change.table,
                severity=Severity.WARNING,
            )
    else:
        yield from _known_change(change, c.model.resolve(known.type)[0], new, constrained, f"{blocked}: ", remedy)


def _known_change(change: op.ChangeType, old: TypeName, new: TypeName, constrained: bool, blocked: str, remedy: str) -> Iterator[Hit]:
    kind = change_of(old, new)
    if kind is Change.BY_TIME_ZONE:
        yield Hit(
            f"{blocked}{old} becomes {new} for nothing only in a session whose TimeZone is UTC, and means something else in any other",
            table=change.table,
        )
    elif kind is Change.REWRITE:
        yield Hit(f"{blocked}{old} becomes {new} by a conversion of each value. {remedy.capitalize()}", table=change.table)
    elif constrained:
        yield Hit(f"{blocked}{change.type} is a domain with constraints. {remedy.capitalize()}", table=change.table)


@operation_rule(Severity.ERROR, "ALTER TABLE … SET writes the whole table anew", op.RewriteTable, roles=NO_VERIFY, by_size=True)
def table_rewrite(rewrite: op.RewriteTable, c: Context) -> Iterator[Hit]:
    if not c.is_new(rewrite.table):
        yield Hit(f"nobody can read or write {rewrite.table} while {rewrite.what} writes all of it anew", table=rewrite.table)


@operation_rule(Severity.NOTE, "A column may be NULL from now on", op.DropNotNull)
def drop_not_null(change: op.DropNotNull, c: Context) -> Iterator[Hit]:
    if not c.is_new(change.table):
        yield Hit(f"code that reads {change.table}.{change.column} has never met a NULL there: release code that can before this")


@operation_rule(Severity.NOTE, "timestamp without time zone", op.CreateTable, op.AddColumn)
def timestamp_without_time_zone(made: op.CreateTable | op.AddColumn, _: Context) -> Iterator[Hit]:
    for column in _columns(made):
        if column.type.name == "timestamp":
            yield Hit(
                f"{column.name} keeps a clock's reading and not whose: TIMESTAMPTZ keeps the moment, in the same 8 bytes", at=column.at
            )


@operation_rule(Severity.NOTE, "char(n) pads with blanks", op.CreateTable, op.AddColumn)
def char_type(made: op.CreateTable | op.AddColumn, _: Context) -> Iterator[Hit]:
    for column in _columns(made):
        if column.type.name == "bpchar" and column.type.modifiers != (1,):
            yield Hit(f"{column.name} is padded with blanks to its length: TEXT with a CHECK says what is meant", at=column.at)


@operation_rule(Severity.NOTE, "A primary key of 32 or 16 bits", op.CreateTable)
def integer_primary_key(made: op.CreateTable, _: Context) -> Iterator[Hit]:
    keys = [constraint.columns for constraint in (*made.constraints, *(k for col in made.columns for k in col.constraints))
            if constraint.kind is ConstraintKind.PRIMARY_KEY]  # fmt: skip
    for column in made.columns:
        if (column.name,) in keys and column.type.name in ("int2", "int4") and (column.serial or column.identity):
            yield Hit(
                f"{column.name} has no number left after {'32 thousand' if column.type.name == 'int2' else '2.1 billion'} rows, deleted "
                "ones and failed inserts included: BIGINT; to change it later is a rewrite of this table and of all that refer to it",
                at=column.at,
            )


def _is_there(add: op.AddColumn, c: Context) -> bool:
    """ADD COLUMN IF NOT EXISTS of a column that an earlier file made: nothing happens."""
    table = c.table(add.table)
    return add.optional and table is not None and table.kind is Object.TABLE and add.column.name in table.columns


def _columns(made: op.CreateTable | op.AddColumn) -> tuple[Column, ...]:
    return made.columns if isinstance(made, op.CreateTable) else (made.column,)
