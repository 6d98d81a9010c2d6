"""Statements that a second run would fail on."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Operation
from dbmigration.lint.rule import NO_VERIFY, Hit, ScriptView, operation_rule, script_rule
from dbmigration.lint.script import Role

_IF_NOT_EXISTS = (Object.SCHEMA, Object.EXTENSION, Object.SEQUENCE, Object.MATERIALIZED_VIEW)
_OR_REPLACE = (Object.VIEW, Object.FUNCTION)


@operation_rule(
    Severity.NOTE,
    "Not idempotent: a second run fails",
    *(op.CreateTable, op.Create, op.CreateIndex, op.AddColumn, op.Drop, op.DropColumn, op.DropConstraint, op.AddEnumValue),
    roles=NO_VERIFY,
)
def not_idempotent(operation: Operation, c: Context) -> Iterator[Hit]:
    what, remedy = _repeated(operation)
    if not what:
        return
    if c.in_transaction:
        if isinstance(operation, op.CreateTable) or (
            isinstance(operation, op.Create) and operation.kind in (*_IF_NOT_EXISTS, *_OR_REPLACE)
        ):
            yield Hit(f"a second run by hand fails at this {what}: {remedy}")
    else:
        yield Hit(
            f"this file runs without a transaction: when it fails half-way, a second run by hand fails at this {what}: {remedy}",
            severity=Severity.WARNING,
        )


@script_rule(Severity.ERROR, "A seed that fails or adds the same rows again when it runs a second time", roles=(Role.SEED,))
def seed_not_repeatable(view: ScriptView) -> Iterator[Hit]:
    emptied = set[Relation]()
    own = set[Relation]()
    for statement in view.script.statements:
        for operation in statement.operations:
            match operation:
                case op.CreateTable(table=table, temporary=True):
                    own.add(table)
                case op.Truncate(table=table) | op.Delete(table=table):
                    emptied.add(table)
                case op.Insert(at=at, table=table, guarded=False, copy=copy) if table not in emptied | own:
                    what = "COPY" if copy else "INSERT"
                    remedy = (
                        "delete the rows before, or copy into a temporary table" if copy else "add ON CONFLICT … DO UPDATE or DO NOTHING"
                    )
                    yield Hit(f"{what} into {table} runs again with every change of this file: {remedy}", line=statement.line_at(at))
                case _:
                    what, remedy = _repeated(operation)
                    if what:
                        yield Hit(f"{what} fails when this file runs again: {remedy}", line=statement.line_at(operation.at))


def _repeated(operation: Operation) -> tuple[str, str]:
    """(what fails the second time, what to write instead); ("", "") when nothing does."""
    match operation:
        case op.CreateTable(optional=False, temporary=False):
            return "CREATE TABLE", "CREATE TABLE IF NOT EXISTS"
        case op.Create(kind=kind, optional=False, replaces=False, temporary=False) if kind in _IF_NOT_EXISTS:
            return f"CREATE {kind.value.upper()}", "IF NOT EXISTS"
        case op.Create(kind=kind, replaces=False, temporary=False) if kind in _OR_REPLACE:
            return f"CREATE {kind.value.upper()}", "CREATE OR REPLACE"
        case op.CreateIndex(optional=False, concurrently=False):
            return "CREATE INDEX", "CREATE INDEX IF NOT EXISTS"
        case op.AddColumn(optional=False):
            return "ADD COLUMN", "ADD COLUMN IF NOT EXISTS"
        case op.Drop(optional=False, kind=kind) if kind is not Object.OTHER:
            return f"DROP {kind.value.upper()}", "DROP … IF EXISTS"
        case op.DropColumn(optional=False):
            return "DROP COLUMN", "DROP COLUMN IF EXISTS"
        case op.DropConstraint(optional=False):
            return "DROP CONSTRAINT", "DROP CONSTRAINT IF EXISTS"
        case op.AddEnumValue(optional=False):
            return "ADD VALUE", "ADD VALUE IF NOT EXISTS"
        case _:
            return "", ""
