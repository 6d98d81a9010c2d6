"""What the set has not made, and what it makes twice."""

import difflib
from collections.abc import Iterable, Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import RELATIONS, Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.model import Table
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Operation
from dbmigration.lint.rule import NO_VERIFY, Hit, ScriptView, operation_rule, script_rule

_SYSTEM = ("pg_catalog", "information_schema", "pg_temp", "pg_toast")
_NEAR = 0.85
"""Similarity of two names (difflib's ratio) that makes one a likely slip of the other."""
_SHORT = 3
_SYSTEM_COLUMNS = ("xmin", "xmax", "ctid", "cmin", "cmax", "tableoid")


@operation_rule(
    Severity.ERROR, "A table or column that no earlier file makes", op.Use, op.Drop, op.DropColumn, op.DropConstraint, roles=NO_VERIFY
)
def unknown_object(use: op.Use | op.Drop | op.DropColumn | op.DropConstraint, c: Context) -> Iterator[Hit]:
    if use.optional:
        return
    if isinstance(use, op.Drop):
        if use.kind in RELATIONS:
            yield from _relation(use.name, c)
    elif isinstance(use, op.Use):
        if c.table(use.relation) is None:
            yield from _relation(use.relation, c)
        else:
            yield from _columns(use.relation, use.columns, c)
    elif isinstance(use, op.DropColumn):
        yield from _columns(use.table, (use.column,), c)


def _relation(name: Relation, c: Context) -> Iterator[Hit]:
    if c.table(name) is not None or name.schema in _SYSTEM or name.name.startswith("pg_") or c.model.in_catalog(name):
        return
    if name in c.model.gone:
        yield Hit(f"{name} is no more: {c.model.gone[name]} dropped or renamed it")
    elif c.model.mentioned(name.name):
        return  # a DO block or function may make it
    elif later := c.made_later(name):
        yield Hit(f"{name} is made only later, by {later}")
    elif c.model.catalog is not None:
        yield Hit(f"neither the database nor an earlier file has {name}{_near(name, c)}")
    elif name.schema and name.schema in c.model.schemas:
        yield Hit(
            f"no earlier file makes {name}, in a schema that {c.model.schemas[name.schema]} makes{_near(name, c)}",
            severity=Severity.WARNING,
        )
    elif near := _near(name, c):
        yield Hit(f"no earlier file makes {name}{near}", severity=Severity.WARNING)


def _columns(name: Relation, columns: tuple[str, ...], c: Context) -> Iterator[Hit]:
    table = c.table(name)
    if table is None or not table.complete or table.kind is not Object.TABLE or c.model.mentioned(table.name.name):
        return
    facts = c.model.catalog.facts(name) if c.model.catalog is not None else None
    there = (facts.columns if facts is not None else None) or ()
    for column in columns:
        # What somebody added by hand is there all the same.
        if column and column not in table.columns and column not in there and column not in _SYSTEM_COLUMNS:
            near = _nearest(column, table.columns)
            yield Hit(f"{name} has no column {column}{f': is {near} meant?' if near else ''}")


def _near(name: Relation, c: Context) -> str:
    near = _nearest(name.name, c.model.by_name)
    return f": is {c.model.by_name[near][0]} meant?" if near and near != name.name else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    """The known name that this one is a likely slip of: letters swapped, left out or doubled; "" for none."""
    known = list(known)
    swapped = [other for other in known if len(name) > _SHORT and other != name and sorted(other) == sorted(name)]
    return next(iter(swapped or difflib.get_close_matches(name, known, 1, _NEAR)), "")


@operation_rule(Severity.ERROR, "Something is made that an earlier file made already", op.CreateTable, op.AddColumn, op.Create)
def already_exists(made: Operation, c: Context) -> Iterator[Hit]:
    match made:
        case op.CreateTable(table=name, optional=optional, temporary=False) if (table := _same(name, c)) is not None:
            yield _twice(f"{table.kind.value} {name}", table.file, c, optional=optional)
        case op.Create(kind=kind, name=name) if kind in RELATIONS and not made.replaces:
            table = _same(name, c)
            if table is not None and table.kind is kind:
                yield _twice(f"{kind.value} {name}", table.file, c, optional=made.optional)
        case op.AddColumn(table=name, column=column, optional=optional):
            table = c.table(name)
            if table is not None and column.name in table.columns:
                yield _twice(f"column {name}.{column.name}", table.columns[column.name].file, c, optional=optional)
        case _:
            return


def _same(name: Relation, c: Context) -> Table | None:
    """The relation of exactly this name: another schema's namesake is no clash."""
    table = c.model.tables.get(name)
    return table if table is not None and table.file is not None and not table.temporary else None


def _twice(what: str, file: str | None, c: Context, *, optional: bool) -> Hit:
    who = "this file" if file == c.script.name else file or "an earlier file"
    if optional:
        return Hit(
            f"{who} makes {what} already, so IF NOT EXISTS skips this in silence, also where the two differ: change it with ALTER TABLE",
            severity=Severity.WARNING,
        )
    return Hit(f"fails: {who} makes {what} already")


@script_rule(Severity.WARNING, "A file that this one needs is not among its dependencies")
def undeclared_dependency(view: ScriptView) -> Iterator[Hit]:
    if not view.needs or not view.script.has_field("Dependencies"):
        return  # without the field, missing-header has said what is wrong
    reached = set[str]()
    waiting = [view.file.name]
    while waiting:
        file = view.files.get(waiting.pop())
        for dependency in file.header.dependencies if file is not None else ():
            if dependency.name not in reached:
                reached.add(dependency.name)
                waiting.append(dependency.name)
    for name, (line, what) in view.needs.items():
        if name not in reached:
            yield Hit(f"{what} comes from {name}, which the header's Dependencies do not name", line=line)
