"""New names, which code that still runs does not know."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.rule import Hit, operation_rule

_TABLES = (Object.TABLE, Object.VIEW, Object.MATERIALIZED_VIEW, Object.FOREIGN_TABLE)
_QUIET = (Object.INDEX, Object.CONSTRAINT, Object.TRIGGER, Object.POLICY)


@operation_rule(Severity.WARNING, "A table or view is renamed or moved to another schema", op.Rename)
def rename_table(rename: op.Rename, c: Context) -> Iterator[Hit]:
    if rename.kind in _TABLES and not c.is_new(rename.name):
        what = f"schema {rename.new}" if rename.to_schema else rename.new
        yield Hit(
            f"code that still says {rename.name} fails from the commit on: leave a view of the old name until nothing uses it "
            f"(it becomes {what})"
        )


@operation_rule(Severity.WARNING, "A column is renamed", op.Rename)
def rename_column(rename: op.Rename, c: Context) -> Iterator[Hit]:
    if rename.kind is Object.COLUMN and not c.is_new_column(rename.name, rename.old):
        yield Hit(
            f"code that still says {rename.name}.{rename.old} fails from the commit on: add {rename.new}, write both, move readers over, "
            "drop the old one in a later release"
        )


@operation_rule(Severity.WARNING, "A schema, type, enum value or function is renamed", op.Rename)
def rename_object(rename: op.Rename, c: Context) -> Iterator[Hit]:
    if rename.kind in (*_TABLES, *_QUIET, Object.COLUMN):
        return
    known = c.model.types.get(rename.name.name)
    if known is not None and known.file == c.script.name:
        return
    if rename.kind is Object.SCHEMA and c.model.schemas.get(rename.name.name) == c.script.name:
        return
    yield Hit(f"code that still uses the old name of {rename.kind.value} {rename.old or rename.name} fails from the commit on")
