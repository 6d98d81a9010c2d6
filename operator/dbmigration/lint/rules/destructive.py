"""What cannot be had back without the backup."""

from collections.abc import Iterator
from typing import Final

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import RELATIONS, Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.rule import Hit, operation_rule

_NEEDED_BY_NOTHING: Final = (Object.TRIGGER, Object.POLICY)
"""No object of PostgreSQL depends on one of these: CASCADE behind it drops nothing."""

_USED_BY_CODE: Final = (
    Object.VIEW,
    Object.MATERIALIZED_VIEW,
    Object.FUNCTION,
    Object.TYPE,
    Object.DOMAIN,
    Object.SEQUENCE,
    Object.EXTENSION,
    Object.FOREIGN_TABLE,
)

_MADE_AGAIN: Final = (Object.VIEW, Object.MATERIALIZED_VIEW, Object.FUNCTION, Object.TYPE, Object.DOMAIN)
"""What code finds again under its name, as soon as the script is committed, when the script makes it anew."""


@operation_rule(Severity.ERROR, "A table, with all its rows, is dropped", op.Drop)
def drop_table(drop: op.Drop, c: Context) -> Iterator[Hit]:
    if drop.kind is Object.TABLE and not c.is_new(drop.name) and not _is_nowhere(drop, c):
        yield Hit(
            f"{drop.name} and all its rows are gone for good, and code that still uses it fails: "
            "rename it first, drop it in a later release when nobody missed it",
            table=drop.name,
        )


def _is_nowhere(drop: op.Drop, c: Context) -> bool:
    """IF EXISTS of a relation that neither the database nor an earlier file has, as scripts for a first install begin."""
    looked = drop.optional and drop.kind in RELATIONS and c.model.catalog is not None
    return looked and c.table(drop.name) is None and not c.model.in_catalog(drop.name)


@operation_rule(Severity.ERROR, "A column, with all its values, is dropped", op.DropColumn)
def drop_column(drop: op.DropColumn, c: Context) -> Iterator[Hit]:
    if not c.is_new_column(drop.table, drop.column):
        yield Hit(
            f"the values of {drop.table}.{drop.column} are gone for good, and code that still names the column fails: "
            "release code that no longer uses it first",
            table=drop.table,
        )


@operation_rule(Severity.WARNING, "A view, function, type or sequence that code may use is dropped", op.Drop)
def drop_object(drop: op.Drop, c: Context) -> Iterator[Hit]:
    if drop.kind not in _USED_BY_CODE or c.is_new(drop.name) or _is_nowhere(drop, c):
        return
    type_ = c.model.types.get(drop.name.name)
    if drop.kind in (Object.TYPE, Object.DOMAIN) and type_ is not None and type_.file == c.script.name:
        return
    if drop.kind in _MADE_AGAIN and c.is_made_again(drop):
        return
    yield Hit(f"code that still uses {drop.kind.value} {drop.name} fails from the commit on: release code that does not, first")


@operation_rule(Severity.ERROR, "A schema is dropped", op.Drop)
def drop_schema(drop: op.Drop, c: Context) -> Iterator[Hit]:
    if drop.kind is Object.SCHEMA and c.model.schemas.get(drop.name.name) != c.script.name:
        what = "and everything in it, whoever made it, is" if drop.cascade else "is"
        yield Hit(f"schema {drop.name} {what} dropped")


@operation_rule(Severity.ERROR, "A database, or all that a role owns, is dropped", op.Drop)
def drop_database(drop: op.Drop, c: Context) -> Iterator[Hit]:
    if c.statement.sql[:20].upper().split()[:2] == [b"DROP", b"DATABASE"]:
        yield Hit(f"database {drop.name} is dropped: that is no migration of this database")
    elif drop.kind is Object.ROLE and c.statement.sql[:20].upper().split()[:2] == [b"DROP", b"OWNED"]:
        yield Hit(f"everything that {drop.name} owns in this database is dropped, tables with their rows included")


@operation_rule(Severity.ERROR, "A table is emptied with TRUNCATE", op.Truncate)
def truncate(truncate: op.Truncate, c: Context) -> Iterator[Hit]:
    if truncate.cascade:
        yield Hit(f"{truncate.table} and every table that refers to it are emptied, also those that this file does not name")
    elif not c.is_new(truncate.table):
        yield Hit(f"every row of {truncate.table} is gone, under an ACCESS EXCLUSIVE lock", table=truncate.table)


@operation_rule(Severity.ERROR, "DELETE without WHERE", op.Delete)
def delete_without_where(delete: op.Delete, c: Context) -> Iterator[Hit]:
    if not delete.filtered and not c.is_new(delete.table):
        yield Hit(f"every row of {delete.table} is deleted: say which rows with WHERE", table=delete.table)


@operation_rule(Severity.WARNING, "UPDATE without WHERE", op.Update, by_size=True)
def update_without_where(update: op.Update, c: Context) -> Iterator[Hit]:
    if update.filtered or c.is_new(update.table):
        return
    old = [column for column in update.columns if not c.is_new_column(update.table, column)]
    if old:
        yield Hit(
            f"{', '.join(old)} of every row of {update.table} is overwritten: say which rows with WHERE",
            severity=Severity.ERROR,
            table=update.table,
            by_size=False,
        )
    else:
        yield Hit(
            f"every row of {update.table} is written once more and stays locked until the commit: "
            "give the new column a constant DEFAULT, or fill it in batches of a non-transactional file",
            table=update.table,
        )


@operation_rule(Severity.WARNING, "CASCADE drops what the file does not name", op.Drop, op.DropColumn)
def drop_cascade(drop: op.Drop | op.DropColumn, c: Context) -> Iterator[Hit]:
    if not drop.cascade or (isinstance(drop, op.Drop) and drop.kind in _NEEDED_BY_NOTHING):
        return
    if isinstance(drop, op.DropColumn):
        what, new = f"column {drop.table}.{drop.column}", c.is_new_column(drop.table, drop.column)
    else:
        what, new = f"{drop.kind.value} {drop.name}", drop.kind in RELATIONS and c.is_new(drop.name)
    if not new:
        yield Hit(f"whatever depends on {what} goes with it, unsaid: drop each dependent by its name")
