"""What makes, drops and renames anything but tables."""

from collections.abc import Iterator
from typing import Any, Final

from postgast import pg_query_pb2 as pb

from dbmigration.lint.definitions import Object, Volatility
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import (
    AddEnumValue,
    Code,
    ConstrainDomain,
    Create,
    CreateIndex,
    Drop,
    Operation,
    Password,
    Query,
    Rename,
    Use,
)
from dbmigration.lint.reading import basics

_KINDS: Final = {
    pb.OBJECT_TABLE: Object.TABLE,
    pb.OBJECT_FOREIGN_TABLE: Object.FOREIGN_TABLE,
    pb.OBJECT_VIEW: Object.VIEW,
    pb.OBJECT_MATVIEW: Object.MATERIALIZED_VIEW,
    pb.OBJECT_INDEX: Object.INDEX,
    pb.OBJECT_SEQUENCE: Object.SEQUENCE,
    pb.OBJECT_SCHEMA: Object.SCHEMA,
    pb.OBJECT_TYPE: Object.TYPE,
    pb.OBJECT_DOMAIN: Object.DOMAIN,
    pb.OBJECT_FUNCTION: Object.FUNCTION,
    pb.OBJECT_PROCEDURE: Object.FUNCTION,
    pb.OBJECT_ROUTINE: Object.FUNCTION,
    pb.OBJECT_AGGREGATE: Object.FUNCTION,
    pb.OBJECT_EXTENSION: Object.EXTENSION,
    pb.OBJECT_TRIGGER: Object.TRIGGER,
    pb.OBJECT_RULE: Object.TRIGGER,
    pb.OBJECT_POLICY: Object.POLICY,
    pb.OBJECT_ROLE: Object.ROLE,
    pb.OBJECT_COLUMN: Object.COLUMN,
    pb.OBJECT_ATTRIBUTE: Object.COLUMN,
    pb.OBJECT_TABCONSTRAINT: Object.CONSTRAINT,
}
_ON_A_TABLE: Final = (Object.TRIGGER, Object.POLICY)
_COMMENTED: Final = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_SEQUENCE)


def create_schema(stmt: Any) -> Iterator[Operation]:
    name = stmt.schemaname or stmt.authrole.rolename
    yield Create(0, Object.SCHEMA, Relation("", name), optional=stmt.if_not_exists)


def create_extension(stmt: Any) -> Iterator[Operation]:
    yield Create(0, Object.EXTENSION, Relation("", stmt.extname), optional=stmt.if_not_exists)


def create_sequence(stmt: Any) -> Iterator[Operation]:
    at, name = max(stmt.sequence.location, 0), basics.relation(stmt.sequence)
    yield Create(at, Object.SEQUENCE, name, optional=stmt.if_not_exists, temporary=stmt.sequence.relpersistence == "t")


def create_view(stmt: Any) -> Iterator[Operation]:
    at, name = max(stmt.view.location, 0), basics.relation(stmt.view)
    yield from basics.tables_read(stmt.query, at=at)
    yield Create(at, Object.VIEW, name, replaces=stmt.replace, temporary=stmt.view.relpersistence == "t")


def create_enum(stmt: Any) -> Iterator[Operation]:
    name = basics.dotted(basics.words(stmt.type_name))
    yield Create(0, Object.TYPE, name, values=tuple(basics.words(stmt.vals)), is_enum=True)


def create_composite(stmt: Any) -> Iterator[Operation]:
    yield Create(max(stmt.typevar.location, 0), Object.TYPE, basics.relation(stmt.typevar))


def create_range(stmt: Any) -> Iterator[Operation]:
    yield Create(0, Object.TYPE, basics.dotted(basics.words(stmt.type_name)))


def create_domain(stmt: Any) -> Iterator[Operation]:
    kinds = {node.constraint.contype for node in stmt.constraints}
    yield Create(
        0,
        Object.DOMAIN,
        basics.dotted(basics.words(stmt.domainname)),
        constrained=bool(kinds & {pb.CONSTR_CHECK, pb.CONSTR_NOTNULL}),
        base=basics.type_name(stmt.type_name),
    )


def create_function(stmt: Any) -> Iterator[Operation]:
    body, volatility = "", Volatility.VOLATILE
    for option in (node.def_elem for node in stmt.options):
        if option.defname == "as":
            body = " ".join(basics.words(option.arg.list.items))
        elif option.defname == "volatility" and option.arg.string.sval in ("stable", "immutable"):
            volatility = Volatility.FIXED
    name = basics.dotted(basics.words(stmt.funcname))
    yield Create(0, Object.FUNCTION, name, replaces=stmt.replace, volatility=volatility)
    if body:
        yield Code(0, body, runs=False)


def create_trigger(stmt: Any) -> Iterator[Operation]:
    at, table = max(stmt.relation.location, 0), basics.relation(stmt.relation)
    yield Use(at, table)
    yield Create(at, Object.TRIGGER, Relation("", stmt.trigname), replaces=stmt.replace, table=table)


def create_policy(stmt: Any) -> Iterator[Operation]:
    table = basics.relation(stmt.table)
    yield Use(max(stmt.table.location, 0), table)
    yield Create(max(stmt.table.location, 0), Object.POLICY, Relation("", stmt.policy_name), table=table)


def create_rule(stmt: Any) -> Iterator[Operation]:
    table = basics.relation(stmt.relation)
    yield Use(max(stmt.relation.location, 0), table)
    yield Create(max(stmt.relation.location, 0), Object.TRIGGER, Relation("", stmt.rulename), replaces=stmt.replace, table=table)


def create_index(stmt: Any) -> Iterator[Operation]:
    at, table = max(stmt.relation.location, 0), basics.relation(stmt.relation)
    columns = tuple(node.index_elem.name for node in stmt.index_params)
    yield Use(at, table, tuple(name for name in columns if name))
    yield CreateIndex(
        at,
        table,
        stmt.idxname,
        columns,
        unique=stmt.unique,
        concurrently=stmt.concurrent,
        optional=stmt.if_not_exists,
        partial=stmt.HasField("where_clause"),
        only=not stmt.relation.inh,
    )


def alter_enum(stmt: Any) -> Iterator[Operation]:
    name = basics.dotted(basics.words(stmt.type_name))
    if stmt.old_val:
        yield Rename(0, Object.ENUM_VALUE, name, stmt.old_val, stmt.new_val)
    else:
        yield AddEnumValue(0, name, stmt.new_val, stmt.skip_if_new_val_exists)


def alter_domain(stmt: Any) -> Iterator[Operation]:
    if stmt.subtype in ("C", "O"):
        definition = getattr(stmt, "def").constraint
        valid = stmt.subtype == "O" or not definition.skip_validation
        yield ConstrainDomain(0, basics.dotted(basics.words(stmt.type_name)), valid)


def drop(stmt: Any) -> Iterator[Operation]:
    kind = _KINDS.get(stmt.remove_type, Object.OTHER)
    for node in stmt.objects:
        names = _names(node)
        table = None
        if kind in _ON_A_TABLE and len(names) > 1:
            table = basics.dotted(names[:-1])
            names = names[-1:]
        cascade = stmt.behavior == pb.DROP_CASCADE
        yield Drop(0, kind, basics.dotted(names), stmt.missing_ok, cascade, stmt.concurrent, table)


def drop_database(stmt: Any) -> Iterator[Operation]:
    yield Drop(0, Object.OTHER, Relation("", stmt.dbname), stmt.missing_ok)


def drop_owned(stmt: Any) -> Iterator[Operation]:
    for role in stmt.roles:
        yield Drop(0, Object.ROLE, Relation("", role.role_spec.rolename), cascade=stmt.behavior == pb.DROP_CASCADE)


def rename(stmt: Any) -> Iterator[Operation]:
    kind = _KINDS.get(stmt.rename_type, Object.OTHER)
    if kind in (Object.COLUMN, Object.CONSTRAINT):
        name, at = basics.relation(stmt.relation), max(stmt.relation.location, 0)
        if kind is Object.COLUMN and stmt.rename_type == pb.OBJECT_COLUMN:
            yield Use(at, name, (stmt.subname,), optional=stmt.missing_ok)
        yield Rename(at, kind, name, stmt.subname, stmt.newname, optional=stmt.missing_ok)
    elif stmt.HasField("relation"):
        name, at = basics.relation(stmt.relation), max(stmt.relation.location, 0)
        if kind in (Object.TRIGGER, Object.POLICY):
            yield Use(at, name, optional=stmt.missing_ok)
            return
        if kind is not Object.INDEX:
            yield Use(at, name, optional=stmt.missing_ok)
        yield Rename(at, kind, name, name.name, stmt.newname, optional=stmt.missing_ok)
    else:
        name = basics.dotted(_names(stmt.object)) if stmt.HasField("object") else Relation("", stmt.subname)
        yield Rename(0, kind, name, name.name, stmt.newname)


def set_schema(stmt: Any) -> Iterator[Operation]:
    kind = _KINDS.get(stmt.object_type, Object.OTHER)
    if stmt.HasField("relation"):
        name = basics.relation(stmt.relation)
        yield Use(max(stmt.relation.location, 0), name, optional=stmt.missing_ok)
    else:
        name = basics.dotted(_names(stmt.object))
    yield Rename(0, kind, name, name.schema, stmt.newschema, to_schema=True, optional=stmt.missing_ok)


def comment(stmt: Any) -> Iterator[Operation]:
    names = _names(stmt.object)
    if stmt.objtype == pb.OBJECT_COLUMN and len(names) > 1:
        yield Use(0, basics.dotted(names[:-1]), (names[-1],))
    elif stmt.objtype in _COMMENTED and names:
        yield Use(0, basics.dotted(names))


def grant(stmt: Any) -> Iterator[Operation]:
    if stmt.targtype == pb.ACL_TARGET_OBJECT:
        for node in stmt.objects:
            if node.WhichOneof("node") == "range_var":
                yield Use(max(node.range_var.location, 0), basics.relation(node.range_var))


def role(stmt: Any) -> Iterator[Operation]:
    """CREATE and ALTER of ROLE and USER MAPPING: only whether they hold a password."""
    for option in (node.def_elem for node in stmt.options):
        if option.defname == "password" and option.HasField("arg") and option.arg.string.sval:
            yield Password(max(option.location, 0), "a role's password" if hasattr(stmt, "role") else "a foreign server's password")


def do(stmt: Any) -> Iterator[Operation]:
    for option in (node.def_elem for node in stmt.args):
        if option.defname == "as":
            yield Query(0)
            yield Code(0, option.arg.string.sval, runs=True)


def _names(node: Any) -> list[str]:
    """The parts of an object's name, whatever node holds them."""
    kind = node.WhichOneof("node")
    if kind == "list":
        items = node.list.items
        if items and items[0].WhichOneof("node") == "type_name":  # COMMENT ON a cast or a domain's constraint
            return basics.words(items[0].type_name.names)
        return basics.words(items)
    if kind == "string":
        return [node.string.sval]
    if kind == "type_name":
        return basics.words(node.type_name.names)
    if kind == "object_with_args":
        return basics.words(node.object_with_args.objname)
    return []
