"""CREATE TABLE in all its forms, its columns and its constraints."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from postgast import pg_query_pb2 as pb

from dbmigration.lint.definitions import Column, Constraint, ConstraintKind, Object, Volatility
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Create, CreateTable, Operation, Query, Use
from dbmigration.lint.reading import basics

_KINDS: Final = {
    pb.CONSTR_CHECK: ConstraintKind.CHECK,
    pb.CONSTR_NOTNULL: ConstraintKind.NOT_NULL,
    pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE,
    pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY,
    pb.CONSTR_FOREIGN: ConstraintKind.FOREIGN_KEY,
    pb.CONSTR_EXCLUSION: ConstraintKind.EXCLUSION,
}


def create_table(stmt: Any) -> Iterator[Operation]:
    columns, constraints = list[Column](), list[Constraint]()
    table = basics.relation(stmt.relation)
    complete = not stmt.inh_relations
    for element in stmt.table_elts:
        kind = element.WhichOneof("node")
        if kind == "column_def":
            columns.append(column(element.column_def))
        elif kind == "constraint":
            constraints.extend(constraint(element.constraint))
        else:
            complete = False
            if kind == "table_like_clause":
                like = element.table_like_clause.relation
                yield Use(like.location, basics.relation(like))
    parents = [node.range_var for node in stmt.inh_relations]
    for parent in parents:
        yield Use(parent.location, basics.relation(parent))
    yield from foreign_uses(table, (*constraints, *(c for col in columns for c in col.constraints)))
    yield CreateTable(
        max(stmt.relation.location, 0),
        table,
        tuple(columns),
        tuple(constraints),
        optional=stmt.if_not_exists,
        temporary=_is_temporary(stmt.relation),
        partitioned=stmt.HasField("partspec"),
        partition_of=basics.relation(parents[0]) if parents and stmt.HasField("partbound") else None,
        complete=complete,
    )


def create_table_as(stmt: Any) -> Iterator[Operation]:
    """CREATE TABLE … AS and CREATE MATERIALIZED VIEW."""
    into = stmt.into.rel
    yield from basics.tables_read(stmt.query)
    yield Query(max(into.location, 0))
    yield from created_from_query(into, materialized=stmt.objtype == pb.OBJECT_MATVIEW, optional=stmt.if_not_exists)


def created_from_query(into: Any, *, materialized: bool = False, optional: bool = False) -> Iterator[Operation]:
    at, name = max(into.location, 0), basics.relation(into)
    if materialized:
        yield Create(at, Object.MATERIALIZED_VIEW, name, optional=optional)
    else:
        yield CreateTable(at, name, optional=optional, temporary=_is_temporary(into), complete=False, from_query=True)


def column(node: Any) -> Column:
    """A ColumnDef."""
    default: Volatility | None = None
    functions: tuple[str, ...] = ()
    not_null = identity = generated = False
    constraints = list[Constraint]()
    for part in (item.constraint for item in node.constraints):
        if part.contype == pb.CONSTR_DEFAULT:
            functions = basics.functions_of(part.raw_expr)
            default = basics.expression_volatility(functions) if not _is_null(part.raw_expr) else None
        elif part.contype == pb.CONSTR_IDENTITY:
            identity = not_null = True
        elif part.contype == pb.CONSTR_GENERATED:
            generated = part.generated_kind != "v"
        elif part.contype == pb.CONSTR_NOTNULL:
            not_null = True
        else:
            not_null = not_null or part.contype == pb.CONSTR_PRIMARY
            constraints.extend(constraint(part, column=node.colname))
    serial = basics.is_serial(node.type_name)
    return Column(
        node.colname,
        basics.type_name(node.type_name, node.coll_clause.collname),
        max(node.location, 0),
        not_null=not_null or serial,
        default=default,
        functions=functions,
        serial=serial,
        identity=identity,
        generated=generated,
        constraints=tuple(constraints),
    )


def constraint(node: Any, *, column: str = "") -> Iterator[Constraint]:
    """A Constraint node; nothing for what constrains nothing (NULL, DEFERRABLE). `column`: whose it is when it stands inline."""
    kind = _KINDS.get(node.contype)
    if kind is None:
        return
    columns = basics.words(node.fk_attrs if kind is ConstraintKind.FOREIGN_KEY else node.keys)
    yield Constraint(
        kind,
        max(node.location, 0),
        name=node.conname,
        columns=tuple(columns) or ((column,) if column else ()),
        references=basics.relation(node.pktable) if kind is ConstraintKind.FOREIGN_KEY else None,
        referenced_columns=tuple(basics.words(node.pk_attrs)),
        valid=not node.skip_validation,
        index=node.indexname,
        proves_not_null=_proves_not_null(node.raw_expr) if kind is ConstraintKind.CHECK else "",
    )


def foreign_uses(table: Relation, constraints: Iterable[Constraint]) -> Iterator[Use]:
    """What the foreign keys point to has to be there, unless it is the table itself."""
    for item in constraints:
        if item.references is not None and item.references != table:
            yield Use(item.at, item.references, item.referenced_columns)


def _proves_not_null(expression: Any) -> str:
    """The column of `column IS NOT NULL`, alone or as a part of an AND."""
    kind = expression.WhichOneof("node")
    if kind == "null_test" and expression.null_test.nulltesttype == pb.IS_NOT_NULL:
        return basics.column_under_casts(expression.null_test.arg) or ""
    if kind == "bool_expr" and expression.bool_expr.boolop == pb.AND_EXPR:
        return next((name for part in expression.bool_expr.args if (name := _proves_not_null(part))), "")
    return ""


def _is_null(expression: Any) -> bool:
    if expression.WhichOneof("node") == "type_cast":
        return _is_null(expression.type_cast.arg)
    return bool(expression.WhichOneof("node") == "a_const" and expression.a_const.isnull)


def _is_temporary(range_var: Any) -> bool:
    return bool(range_var.relpersistence == "t" or range_var.schemaname == "pg_temp")
