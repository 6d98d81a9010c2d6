"""What enums do not let you do."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.finding import Severity
from dbmigration.lint.rule import Hit, ScriptView, operation_rule, script_rule
from dbmigration.migrations.statements import Kind


@script_rule(Severity.ERROR, "A new enum value is used before it is committed")
def enum_value_used_at_once(view: ScriptView) -> Iterator[Hit]:
    script = view.script
    made = set[str]()  # types of this script: their new values may be used at once from PostgreSQL 17 on
    added = dict[bytes, tuple[str, str, int]]()  # quoted value -> (value, type, line)
    for statement in script.statements:
        if statement.kind in (Kind.COMMIT, Kind.ROLLBACK):
            added.clear()
        if added and script.in_transaction(statement) and not any(isinstance(o, op.AddEnumValue) for o in statement.operations):
            for quoted, (value, type_, line) in list(added.items()):
                at = statement.sql.find(quoted)
                if at >= 0:
                    del added[quoted]
                    before = " before PostgreSQL 17" if type_ in made else ""
                    yield Hit(
                        f"the value {value} that line {line} adds to {type_} cannot be used in the same transaction{before} (55P04): "
                        "use it in a later file",
                        line=statement.line_at(at),
                        severity=Severity.WARNING if type_ in made else None,
                    )
        for operation in statement.operations:
            if isinstance(operation, op.Create) and operation.is_enum:
                made.add(str(operation.name))
            elif isinstance(operation, op.AddEnumValue):
                quoted = ("'" + operation.value.replace("'", "''") + "'").encode()
                added[quoted] = (operation.value, str(operation.type), statement.line)


@operation_rule(Severity.NOTE, "An enum value can never be taken back", op.AddEnumValue)
def enum_value_is_permanent(add: op.AddEnumValue, c: Context) -> Iterator[Hit]:
    known = c.model.types.get(add.type.name)
    if known is None or known.file != c.script.name:
        yield Hit(
            f"there is no ALTER TYPE … DROP VALUE: the way back is a new type and a rewrite of every table that uses {add.type}; "
            "code that reads it meets the new value as soon as somebody writes it"
        )
