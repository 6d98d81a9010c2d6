"""ALTER TABLE: each of its commands, in the order in which PostgreSQL carries them out (ATPrepCmd's passes), not as written."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from postgast import pg_query_pb2 as pb

from dbmigration.lint.names import Relation
from dbmigration.lint.operations import (
    AddColumn,
    AddConstraint,
    AlterOther,
    AttachPartition,
    ChangeType,
    DetachPartition,
    DropColumn,
    DropConstraint,
    DropNotNull,
    Operation,
    RewriteTable,
    SetNotNull,
    Use,
    ValidateConstraint,
)
from dbmigration.lint.reading import basics, tables

_OBJECTS: Final = (pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE)

_REWRITES: Final = {
    pb.AT_SetLogged: "SET LOGGED",
    pb.AT_SetUnLogged: "SET UNLOGGED",
    pb.AT_SetTableSpace: "SET TABLESPACE",
    pb.AT_SetAccessMethod: "SET ACCESS METHOD",
    pb.AT_SetExpression: "SET EXPRESSION",
}

_SHARED: Final = frozenset(
    [
        *(pb.AT_SetStatistics, pb.AT_SetOptions, pb.AT_ResetOptions, pb.AT_SetRelOptions, pb.AT_ResetRelOptions, pb.AT_ClusterOn),
        *(pb.AT_DropCluster, pb.AT_EnableTrig, pb.AT_EnableAlwaysTrig, pb.AT_EnableReplicaTrig, pb.AT_EnableTrigAll, pb.AT_EnableTrigUser),
        *(pb.AT_DisableTrig, pb.AT_DisableTrigAll, pb.AT_DisableTrigUser),
    ]
)
"""Below ACCESS EXCLUSIVE: AlterTableGetLockLevel of PostgreSQL. Some storage options take more; they are quick."""


def alter_table(stmt: Any) -> Iterator[Operation]:
    """Nothing for ALTER INDEX, VIEW or SEQUENCE: what those change is quick, and has no rule."""
    relation = basics.relation(stmt.relation)
    at = max(stmt.relation.location, 0)
    if stmt.objtype not in _OBJECTS:
        return
    yield Use(at, relation, optional=stmt.missing_ok)
    found = [operation for node in stmt.cmds for operation in _command(relation, node.alter_table_cmd, at)]
    yield from sorted(found, key=lambda operation: _PASS.get(type(operation), len(_PASS)))


_PASS: Final[dict[type, int]] = {
    kind: place
    for place, kind in enumerate((DropColumn, DropConstraint, ChangeType, AddColumn, Use, DropNotNull, SetNotNull, AddConstraint))
}


def _command(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    kind = cmd.subtype
    if kind in _READERS:
        yield from _READERS[kind](table, cmd, at)
    elif kind in _REWRITES:
        yield RewriteTable(at, table, _REWRITES[kind])
    else:
        yield AlterOther(at, table, exclusive=kind not in _SHARED)


def _add_column(table: Relation, cmd: Any, _: int) -> Iterator[Operation]:
    column = tables.column(getattr(cmd, "def").column_def)
    yield from tables.foreign_uses(table, column.constraints)
    yield AddColumn(column.at, table, column, optional=cmd.missing_ok)


def _drop_column(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield DropColumn(at, table, cmd.name, optional=cmd.missing_ok, cascade=cmd.behavior == pb.DROP_CASCADE)


def _change_type(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    definition = getattr(cmd, "def").column_def
    yield Use(at, table, (cmd.name,))
    new = basics.type_name(definition.type_name, definition.coll_clause.collname)
    using = definition.raw_default
    converted = definition.HasField("raw_default") and basics.column_under_casts(using) != cmd.name
    if not converted and using.WhichOneof("node") == "type_cast":
        cast = basics.type_name(using.type_cast.type_name)
        converted = cast.name != new.name or cast.dimensions != new.dimensions
    yield ChangeType(max(definition.location, at), table, cmd.name, new, converted)


def _set_not_null(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield Use(at, table, (cmd.name,))
    yield SetNotNull(at, table, cmd.name)


def _drop_not_null(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield Use(at, table, (cmd.name,))
    yield DropNotNull(at, table, cmd.name)


def _use_column(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield Use(at, table, (cmd.name,))
    yield AlterOther(at, table, exclusive=cmd.subtype not in _SHARED)


def _add_constraint(table: Relation, cmd: Any, _: int) -> Iterator[Operation]:
    for constraint in tables.constraint(getattr(cmd, "def").constraint):
        yield Use(constraint.at, table, constraint.columns)
        yield from tables.foreign_uses(table, (constraint,))
        yield AddConstraint(constraint.at, table, constraint)


def _drop_constraint(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield DropConstraint(at, table, cmd.name, optional=cmd.missing_ok)


def _validate(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    yield ValidateConstraint(at, table, cmd.name)


def _attach(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    part = getattr(cmd, "def").partition_cmd.name
    yield Use(part.location, basics.relation(part))
    yield AttachPartition(at, table, basics.relation(part))


def _detach(table: Relation, cmd: Any, at: int) -> Iterator[Operation]:
    partition = getattr(cmd, "def").partition_cmd
    yield Use(partition.name.location, basics.relation(partition.name))
    yield DetachPartition(at, table, basics.relation(partition.name), concurrently=partition.concurrent)


_READERS: Final[dict[int, Callable[[Relation, Any, int], Iterator[Operation]]]] = {
    pb.AT_AddColumn: _add_column,
    pb.AT_DropColumn: _drop_column,
    pb.AT_AlterColumnType: _change_type,
    pb.AT_SetNotNull: _set_not_null,
    pb.AT_DropNotNull: _drop_not_null,
    pb.AT_ColumnDefault: _use_column,
    pb.AT_SetStorage: _use_column,
    pb.AT_SetStatistics: _use_column,
    pb.AT_AddIdentity: _use_column,
    pb.AT_AddConstraint: _add_constraint,
    pb.AT_DropConstraint: _drop_constraint,
    pb.AT_ValidateConstraint: _validate,
    pb.AT_AttachPartition: _attach,
    pb.AT_DetachPartition: _detach,
}
