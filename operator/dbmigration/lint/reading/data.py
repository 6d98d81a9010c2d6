"""What reads, writes, locks and tends tables."""

from collections.abc import Iterator
from typing import Any, Final

from postgast import pg_query_pb2 as pb

from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Delete, Insert, Lock, Operation, Query, Refresh, Reindex, Truncate, Update, Use, Vacuum
from dbmigration.lint.reading import basics
from dbmigration.lint.reading.tables import created_from_query

_MODES: Final = (
    "",
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""By their number in PostgreSQL's lockdefs.h."""

_REINDEXED: Final = {
    pb.REINDEX_OBJECT_INDEX: "index",
    pb.REINDEX_OBJECT_TABLE: "table",
    pb.REINDEX_OBJECT_SCHEMA: "schema",
    pb.REINDEX_OBJECT_SYSTEM: "system",
    pb.REINDEX_OBJECT_DATABASE: "database",
}


def select(stmt: Any) -> Iterator[Operation]:
    yield from _changes_in_with(stmt)
    yield from basics.tables_read(stmt if not stmt.HasField("into_clause") else _without_into(stmt))
    yield Query(0)
    if stmt.HasField("into_clause"):
        yield from created_from_query(stmt.into_clause.rel)


def update(stmt: Any) -> Iterator[Operation]:
    table = basics.relation(stmt.relation)
    columns = tuple(node.res_target.name for node in stmt.target_list)
    yield from _changes_in_with(stmt)
    yield from basics.tables_read(stmt)
    yield Use(max(stmt.relation.location, 0), table, columns)
    yield Update(max(stmt.relation.location, 0), table, columns, filtered=stmt.HasField("where_clause") or bool(stmt.from_clause))


def delete(stmt: Any) -> Iterator[Operation]:
    yield from _changes_in_with(stmt)
    yield from basics.tables_read(stmt)
    filtered = stmt.HasField("where_clause") or bool(stmt.using_clause)
    yield Delete(max(stmt.relation.location, 0), basics.relation(stmt.relation), filtered)


def merge(stmt: Any) -> Iterator[Operation]:
    yield from basics.tables_read(stmt)
    yield Update(max(stmt.relation.location, 0), basics.relation(stmt.relation), (), filtered=True)


def insert(stmt: Any) -> Iterator[Operation]:
    """Seldom: scripts' INSERTs are read by their first words. This is for those in WITH, in rules, and for INSERT … SELECT."""
    yield from _changes_in_with(stmt)
    yield from basics.tables_read(stmt)
    guarded = stmt.HasField("on_conflict_clause") or stmt.select_stmt.select_stmt.HasField("where_clause")
    yield Insert(max(stmt.relation.location, 0), basics.relation(stmt.relation), from_query=_reads_tables(stmt), guarded=guarded)


def copy(stmt: Any) -> Iterator[Operation]:
    if not stmt.HasField("relation"):
        yield from basics.tables_read(stmt)
        yield Query(0)
        return
    table, at = basics.relation(stmt.relation), max(stmt.relation.location, 0)
    yield Use(at, table, tuple(basics.words(stmt.attlist)))
    yield Insert(at, table, copy=True) if stmt.is_from else Query(at)


def truncate(stmt: Any) -> Iterator[Operation]:
    for var in (node.range_var for node in stmt.relations):
        yield Use(var.location, basics.relation(var))
        yield Truncate(var.location, basics.relation(var), cascade=stmt.behavior == pb.DROP_CASCADE)


def lock(stmt: Any) -> Iterator[Operation]:
    for var in (node.range_var for node in stmt.relations):
        yield Use(var.location, basics.relation(var))
        yield Lock(var.location, basics.relation(var), _MODES[stmt.mode], exclusive=stmt.mode == len(_MODES) - 1)


def vacuum(stmt: Any) -> Iterator[Operation]:
    """VACUUM FULL only: plain VACUUM and ANALYZE stand in nobody's way."""
    options = {node.def_elem.defname: node.def_elem for node in stmt.options}
    full = options.get("full")
    if not stmt.is_vacuumcmd or full is None or (full.HasField("arg") and not _is_on(full.arg)):
        return
    tables = [node.vacuum_relation.relation for node in stmt.rels]
    for var in tables:
        yield Use(max(var.location, 0), basics.relation(var))
        yield Vacuum(max(var.location, 0), basics.relation(var), "VACUUM FULL")
    if not tables:
        yield Vacuum(0, None, "VACUUM FULL")


def cluster(stmt: Any) -> Iterator[Operation]:
    if stmt.HasField("relation"):
        table = basics.relation(stmt.relation)
        yield Use(stmt.relation.location, table)
        yield Vacuum(stmt.relation.location, table, "CLUSTER")
    else:
        yield Vacuum(0, None, "CLUSTER")


def reindex(stmt: Any) -> Iterator[Operation]:
    concurrently = any(
        node.def_elem.defname == "concurrently" and (not node.def_elem.HasField("arg") or _is_on(node.def_elem.arg)) for node in stmt.params
    )
    name = basics.relation(stmt.relation) if stmt.HasField("relation") else Relation("", stmt.name)
    yield Reindex(max(stmt.relation.location, 0), _REINDEXED.get(stmt.kind, "database"), name, concurrently)


def refresh(stmt: Any) -> Iterator[Operation]:
    name = basics.relation(stmt.relation)
    yield Use(stmt.relation.location, name)
    yield Refresh(stmt.relation.location, name, stmt.concurrent)


def execute(_: Any) -> Iterator[Operation]:
    """EXECUTE and CALL: what they do is not in this text."""
    yield Query(0)


def _changes_in_with(stmt: Any) -> Iterator[Operation]:
    """WITH moved AS (DELETE FROM …): PostgreSQL carries it out like a statement of its own."""
    for node in stmt.with_clause.ctes:
        query = node.common_table_expr.ctequery
        kind = query.WhichOneof("node")
        inner = getattr(query, kind) if kind else None
        if kind == "delete_stmt":
            yield from delete(inner)
        elif kind == "update_stmt":
            yield from update(inner)
        elif kind == "insert_stmt":
            yield from insert(inner)


def _reads_tables(stmt: Any) -> bool:
    return any(True for _ in basics.tables_read(stmt.select_stmt))


def _without_into(stmt: Any) -> Any:
    copied = type(stmt)()
    copied.CopyFrom(stmt)
    copied.ClearField("into_clause")
    return copied


def _is_on(arg: Any) -> bool:
    """PostgreSQL's defGetBoolean."""
    kind = arg.WhichOneof("node")
    if kind == "integer":
        return bool(arg.integer.ival)
    return arg.string.sval.lower() not in ("false", "off", "0")
