"""One operation carried out on the model."""

import re
from collections.abc import Callable
from dataclasses import replace

from dbmigration.lint import operations as op
from dbmigration.lint.definitions import RELATIONS, Constraint, ConstraintKind, Object
from dbmigration.lint.model import ColumnModel, IndexModel, Model, PlacedConstraint, Table
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Operation

_MAKING_CODE = re.compile(r"\b(?:create|alter|execute)\b", re.IGNORECASE)

LineAt = Callable[[int], int]

_INDEXED = (ConstraintKind.UNIQUE, ConstraintKind.PRIMARY_KEY, ConstraintKind.EXCLUSION)


def replay(model: Model, operation: Operation, file: str, line_at: LineAt) -> None:
    """Change `model` as `operation` would change a database. `line_at`: the line in `file` of an offset in the statement."""
    match operation:
        case op.CreateTable():
            _create_table(model, operation, file, line_at)
        case op.AddColumn(table=name, column=column):
            table = model.edit(name)
            if column.name not in table.columns:
                table.columns[column.name] = ColumnModel(column.type, column.not_null, file, column.name)
                for constraint in column.constraints:
                    _constrain(model, table, constraint, file, line_at)
        case op.DropColumn(table=name, column=gone):
            _drop_column(model, model.edit(name), gone)
        case op.ChangeType(table=name, column=changed, type=new):
            table = model.edit(name)
            known = table.columns.get(changed)
            table.columns[changed] = replace(known, type=new) if known else ColumnModel(new, False, "")
        case op.SetNotNull(table=name, column=changed) | op.DropNotNull(table=name, column=changed):
            table = model.edit(name)
            known = table.columns.get(changed)
            if known is not None:
                table.columns[changed] = replace(known, not_null=isinstance(operation, op.SetNotNull))
        case op.AddConstraint(table=name, constraint=constraint):
            _constrain(model, model.edit(name), constraint, file, line_at)
        case op.DropConstraint(table=name, name=constraint_name):
            table = model.edit(name)
            table.constraints.pop(constraint_name, None)
            if table.indexes.pop(constraint_name, None):
                model.index_table.pop(constraint_name, None)
        case op.ValidateConstraint(table=name, name=constraint_name):
            _validate(model.edit(name), constraint_name)
        case op.CreateIndex():
            _create_index(model, operation)
        case op.Create():
            _create(model, operation, file)
        case op.Drop():
            _drop(model, operation, file)
        case op.Rename():
            _rename(model, operation, file)
        case op.AddEnumValue(type=name, value=value):
            known_type = model.types.get(name.name)
            if known_type is not None:
                model.types[name.name] = replace(known_type, values=(*known_type.values, value))
        case op.Code(text=text) if _MAKING_CODE.search(text):
            model.opaque.append(text)
        case _:
            pass


def _create_table(model: Model, operation: op.CreateTable, file: str, line_at: LineAt) -> None:
    if operation.optional and (model.find(operation.table) is not None or model.in_catalog(operation.table)):
        return
    table = Table(operation.table, Object.TABLE, file, operation.complete, operation.partitioned, temporary=operation.temporary)
    if operation.partition_of is not None:
        parent = model.find(operation.partition_of)
        if parent is not None:
            table.columns = dict(parent.columns)
            table.complete = parent.complete
            table.indexes = {f"{operation.table.name}:{name}": index for name, index in parent.indexes.items()}
    for column in operation.columns:
        table.columns[column.name] = ColumnModel(column.type, column.not_null, file, column.name)
    model.add(table)
    for column in operation.columns:
        for constraint in column.constraints:
            _constrain(model, table, constraint, file, line_at)
    for constraint in operation.constraints:
        _constrain(model, table, constraint, file, line_at)


def _constrain(model: Model, table: Table, constraint: Constraint, file: str, line_at: LineAt) -> None:
    columns, name = constraint.columns, constraint.name or _default_name(table, constraint)
    if constraint.index:
        index = table.indexes.pop(constraint.index, None)
        columns = index.columns if index is not None else columns
    table.constraints[name] = PlacedConstraint(constraint, name, file, line_at(constraint.at), constraint.valid)
    if constraint.kind in _INDEXED and columns:
        table.indexes[name] = IndexModel(name, columns, unique=True, constraint=True)
        model.index_table[name] = table.name
    if constraint.kind is ConstraintKind.PRIMARY_KEY or (constraint.kind is ConstraintKind.NOT_NULL and constraint.valid):
        for column in columns:
            known = table.columns.get(column)
            if known is not None:
                table.columns[column] = replace(known, not_null=True)


def _default_name(table: Table, constraint: Constraint) -> str:
    """As PostgreSQL's ChooseConstraintName makes them, without the numbers that tell equal ones apart."""
    suffix = {ConstraintKind.FOREIGN_KEY: "fkey", ConstraintKind.UNIQUE: "key", ConstraintKind.EXCLUSION: "excl"}.get(
        constraint.kind, "check"
    )
    if constraint.kind is ConstraintKind.PRIMARY_KEY:
        return f"{table.name.name}_pkey"
    if constraint.kind is ConstraintKind.NOT_NULL:
        suffix = "not_null"
    name = "_".join((table.name.name, *constraint.columns, suffix))
    unique, number = name, 0
    while unique in table.constraints:
        number += 1
        unique = f"{name}{number}"
    return unique


def _drop_column(model: Model, table: Table, column: str) -> None:
    table.columns.pop(column, None)
    for name, index in list(table.indexes.items()):
        if column in index.columns:
            del table.indexes[name]
            model.index_table.pop(name, None)
    for name, placed in list(table.constraints.items()):
        if column in placed.constraint.columns:
            del table.constraints[name]


def _validate(table: Table, name: str) -> None:
    placed = table.constraints.get(name)
    if placed is not None:
        table.constraints[name] = PlacedConstraint(placed.constraint, name, placed.file, placed.line, True)


def _create_index(model: Model, operation: op.CreateIndex) -> None:
    table = model.edit(operation.table)
    name = operation.name or "_".join((operation.table.name, *operation.columns, "idx"))
    table.indexes[name] = IndexModel(name, operation.columns, operation.unique, operation.partial)
    model.index_table[name] = table.name


def _create(model: Model, operation: op.Create, file: str) -> None:
    kind, name = operation.kind, operation.name
    if kind is Object.SCHEMA:
        model.schemas.setdefault(name.name, file)
    elif kind in (Object.TYPE, Object.DOMAIN):
        model.make_type(operation, file)
    elif kind is Object.FUNCTION:
        model.functions[name.name.lower()] = operation.volatility
    elif kind in RELATIONS:
        known = model.find(name)
        if known is None or not (operation.optional or operation.replaces):
            model.add(Table(name, kind, file, temporary=operation.temporary))


def _drop(model: Model, operation: op.Drop, file: str) -> None:
    kind, name = operation.kind, operation.name
    if kind in RELATIONS:
        model.remove(name, file)
    elif kind is Object.INDEX:
        owner = model.index_table.pop(name.name, None)
        if owner is not None and model.find(owner) is not None:
            model.edit(owner).indexes.pop(name.name, None)
    elif kind is Object.SCHEMA:
        model.schemas.pop(name.name, None)
        for key in [key for key in model.tables if key.schema == name.name]:
            model.remove(key, file)
    elif kind in (Object.TYPE, Object.DOMAIN):
        model.types.pop(name.name, None)
    elif kind is Object.FUNCTION:
        model.functions.pop(name.name.lower(), None)


def _rename(model: Model, operation: op.Rename, file: str) -> None:
    kind, name = operation.kind, operation.name
    if kind is Object.COLUMN:
        table = model.edit(name)
        if operation.old in table.columns:
            table.columns = {(operation.new if key == operation.old else key): value for key, value in table.columns.items()}
        table.indexes = {
            key: IndexModel(i.name, _renamed(i.columns, operation), i.unique, i.partial, i.constraint) for key, i in table.indexes.items()
        }
    elif kind is Object.CONSTRAINT:
        table = model.edit(name)
        placed = table.constraints.pop(operation.old, None)
        if placed is not None:
            table.constraints[operation.new] = PlacedConstraint(placed.constraint, operation.new, placed.file, placed.line, placed.valid)
    elif kind is Object.INDEX:
        owner = model.index_table.pop(operation.old, None)
        if owner is not None:
            indexes = model.edit(owner).indexes
            if operation.old in indexes:
                indexes[operation.new] = indexes.pop(operation.old)
            model.index_table[operation.new] = owner
    elif kind in RELATIONS:
        to = Relation(operation.new, name.name) if operation.to_schema else Relation(name.schema, operation.new)
        model.rename(name, to, file)
    elif kind is Object.SCHEMA:
        model.schemas[operation.new] = model.schemas.pop(operation.old, file)
        for key in [key for key in model.tables if key.schema == operation.old]:
            model.rename(key, Relation(operation.new, key.name), file)
    elif kind in (Object.TYPE, Object.DOMAIN) and not operation.to_schema and operation.old in model.types:
        model.types[operation.new] = model.types.pop(operation.old)


def _renamed(columns: tuple[str, ...], operation: op.Rename) -> tuple[str, ...]:
    return tuple(operation.new if column == operation.old else column for column in columns)
