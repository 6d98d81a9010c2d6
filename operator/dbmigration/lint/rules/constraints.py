"""Constraints that are checked against every row while the table is locked, and those that are never checked."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import Constraint, ConstraintKind
from dbmigration.lint.finding import Severity
from dbmigration.lint.model import Model
from dbmigration.lint.rule import NO_VERIFY, Hit, operation_rule, set_rule

_KEYS = (ConstraintKind.UNIQUE, ConstraintKind.PRIMARY_KEY, ConstraintKind.EXCLUSION)


@operation_rule(
    Severity.WARNING, "A foreign key of an existing table is added without NOT VALID", op.AddConstraint, op.AddColumn, by_size=True
)
def validated_foreign_key(added: op.AddConstraint | op.AddColumn, c: Context) -> Iterator[Hit]:
    if c.is_new(added.table):
        return
    for constraint in _added(added):
        if constraint.kind is not ConstraintKind.FOREIGN_KEY or not constraint.valid:
            continue
        if isinstance(added, op.AddColumn) and not added.column.filled:
            continue  # PostgreSQL knows that the new column is NULL everywhere, and looks at nothing
        yield Hit(
            f"nobody can write to {added.table} or {constraint.references} while every row is checked: add it NOT VALID, "
            "VALIDATE CONSTRAINT in a later file",
            at=constraint.at,
            table=added.table,
        )


@operation_rule(Severity.WARNING, "A CHECK of an existing table is added without NOT VALID", op.AddConstraint, op.AddColumn, by_size=True)
def validated_check(added: op.AddConstraint | op.AddColumn, c: Context) -> Iterator[Hit]:
    if c.is_new(added.table):
        return
    for constraint in _added(added):
        if constraint.kind is ConstraintKind.CHECK and constraint.valid:
            inline = "; written with ADD COLUMN it reads all of the table too" if isinstance(added, op.AddColumn) else ""
            yield Hit(
                f"nobody can read or write {added.table} while every row is checked: add it NOT VALID, "
                f"VALIDATE CONSTRAINT in a later file{inline}",
                at=constraint.at,
                table=added.table,
            )


@operation_rule(Severity.WARNING, "SET NOT NULL on a column of an existing table", op.SetNotNull, op.AddConstraint, by_size=True)
def set_not_null(change: op.SetNotNull | op.AddConstraint, c: Context) -> Iterator[Hit]:
    if isinstance(change, op.SetNotNull):
        columns: tuple[str, ...] = (change.column,)
    elif change.constraint.kind is ConstraintKind.NOT_NULL and change.constraint.valid:
        columns = change.constraint.columns
    else:
        return
    table = c.table(change.table)
    for column in columns:
        if c.is_new(change.table):
            continue
        known = table.columns.get(column) if table is not None else None
        if (known is not None and known.not_null) or (table is not None and table.proves_not_null(column)):
            continue
        yield Hit(
            f"nobody can read or write {change.table} while every row is looked at for a NULL in {column}: first a "
            f"CHECK ({column} IS NOT NULL) NOT VALID, VALIDATE it in a later file, then SET NOT NULL, which looks at nothing",
            table=change.table,
        )


@operation_rule(
    Severity.WARNING,
    "UNIQUE, PRIMARY KEY or EXCLUDE of an existing table builds its index under a lock",
    op.AddConstraint,
    op.AddColumn,
    by_size=True,
)
def unique_without_index(added: op.AddConstraint | op.AddColumn, c: Context) -> Iterator[Hit]:
    if c.is_new(added.table):
        return
    for constraint in _added(added):
        if constraint.kind not in _KEYS or constraint.index:
            continue
        remedy = (
            "there is no way to build it beside the traffic: choose a quiet hour"
            if constraint.kind is ConstraintKind.EXCLUSION
            else f"CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD {constraint.kind.value} USING INDEX"
        )
        yield Hit(
            f"nobody can read or write {added.table} while the index of {constraint.kind.value} is built: {remedy}",
            at=constraint.at,
            table=added.table,
        )


@set_rule(Severity.NOTE, "NOT VALID, and nothing in the set validates it")
def constraint_never_validated(model: Model) -> Iterator[tuple[str, Hit]]:
    for table, placed in model.all_constraints():
        if not placed.valid and placed.constraint.kind in (ConstraintKind.CHECK, ConstraintKind.FOREIGN_KEY, ConstraintKind.NOT_NULL):
            yield (
                placed.file,
                Hit(
                    f"{placed.name} holds for new rows only, and the planner does not rely on it: "
                    f"ALTER TABLE {table.name} VALIDATE CONSTRAINT {placed.name} in a later file",
                    line=placed.line,
                ),
            )


@operation_rule(Severity.WARNING, "A constraint is added to a domain that tables use", op.ConstrainDomain)
def domain_constraint(change: op.ConstrainDomain, c: Context) -> Iterator[Hit]:
    known = c.model.types.get(change.name.name)
    if change.valid and not (known is not None and known.file == c.script.name):
        yield Hit(
            f"every table with a column of {change.name} is read to its end under a lock: ADD CONSTRAINT … NOT VALID, "
            "VALIDATE CONSTRAINT in a later file"
        )


@operation_rule(
    Severity.WARNING, "A table is attached as a partition without a CHECK that proves its bounds", op.AttachPartition, by_size=True
)
def attach_partition_scan(attach: op.AttachPartition, c: Context) -> Iterator[Hit]:
    table = c.table(attach.partition)
    if c.is_new(attach.partition):
        return
    proven = table is not None and any(
        placed.valid and placed.constraint.kind is ConstraintKind.CHECK for placed in table.constraints.values()
    )
    if not proven:
        yield Hit(
            f"nobody can read or write {attach.partition} while every row is checked against the bounds: first a CHECK with the same "
            "bounds, NOT VALID and then validated; ATTACH then believes it",
            table=attach.partition,
        )


@operation_rule(Severity.WARNING, "A partition is detached without CONCURRENTLY", op.DetachPartition, roles=NO_VERIFY)
def detach_partition_not_concurrently(detach: op.DetachPartition, c: Context) -> Iterator[Hit]:
    if not detach.concurrently and not c.is_new(detach.table):
        yield Hit(
            f"nobody can read or write {detach.table}, all its partitions included, from here to the commit: "
            "DETACH PARTITION … CONCURRENTLY (PostgreSQL 14), in a file of its own"
        )


def _added(operation: op.AddConstraint | op.AddColumn) -> tuple[Constraint, ...]:
    return (operation.constraint,) if isinstance(operation, op.AddConstraint) else operation.column.constraints
