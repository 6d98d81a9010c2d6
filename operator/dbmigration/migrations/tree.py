"""What the parse tree of one statement says (grammar of PostgreSQL 18, through libpg_query).

Which commands PostgreSQL refuses in a transaction block: the callers of PreventInTransactionBlock in its source, which the manual repeats
on each command's page. What depends on the catalog (REINDEX or CLUSTER of a partitioned table) is the server's to say.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import DefElem, Node, RawStmt

_ENUM_ADDITION: Final = re.compile(rb"\badd\s+value\b", re.IGNORECASE)

_ALONE: Final = {
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "alter_system_stmt": "ALTER SYSTEM",
    "drop_subscription_stmt": "DROP SUBSCRIPTION",
}


class TooDeep(Exception):
    """Nested deeper than a tree is handed over (protobuf: 100 levels, some 45 operators in a row). The server takes far more."""


def parse(sql: str) -> "Sequence[RawStmt]":
    """The trees of all its statements. Raises postgast.PgQueryError for what the grammar does not know, and TooDeep."""
    import postgast  # a run with nothing to do, and a file of INSERTs, need no parser
    from google.protobuf.message import DecodeError

    try:
        parsed: Sequence[RawStmt] = postgast.parse(sql).stmts
    except DecodeError:
        raise TooDeep from None
    return parsed


def parse_one(sql: bytes) -> "Node | None":
    """The tree of one statement, None when this parser does not understand it."""
    from postgast import PgQueryError

    try:
        statements = parse(sql.decode("utf-8", "replace"))
    except (PgQueryError, TooDeep):
        return None
    return statements[0].stmt if len(statements) == 1 else None


def refused_in_transaction(node: "Node") -> str:
    """The command in words when PostgreSQL refuses it in a transaction block, else ""."""
    kind = node.WhichOneof("node")
    if kind == "index_stmt":
        return "CREATE INDEX CONCURRENTLY" if node.index_stmt.concurrent else ""
    if kind == "drop_stmt":
        return "DROP INDEX CONCURRENTLY" if node.drop_stmt.concurrent else ""
    if kind == "vacuum_stmt":
        return "VACUUM" if node.vacuum_stmt.is_vacuumcmd else ""
    if kind == "cluster_stmt":
        return "" if node.cluster_stmt.HasField("relation") else "CLUSTER of every table"
    if kind == "reindex_stmt":
        return _of_reindex(node)
    if kind == "alter_table_stmt":
        return _of_alter_table(node)
    if kind == "alter_database_stmt":
        return "ALTER DATABASE SET TABLESPACE" if "tablespace" in _options(node.alter_database_stmt.options) else ""
    if kind == "create_subscription_stmt":
        options = _options(node.create_subscription_stmt.options)
        makes_slot = _is_on(options.get("connect")) and _is_on(options.get("create_slot"))
        return "CREATE SUBSCRIPTION that makes its slot" if makes_slot else ""
    if kind == "alter_subscription_stmt":
        return _of_alter_subscription(node)
    return _ALONE.get(kind or "", "")


def is_copy_from_stdin(node: "Node") -> bool:
    if node.WhichOneof("node") != "copy_stmt":
        return False
    copy = node.copy_stmt
    return bool(copy.is_from and not copy.filename and not copy.is_program)


def do_body(node: "Node") -> str | None:
    """The code of DO, None for other statements."""
    if node.WhichOneof("node") != "do_stmt":
        return None
    code = _options(node.do_stmt.args).get("as")
    return "" if code is None else str(code.arg.string.sval)


def makes_temporary(node: "Node") -> bool:
    """Whether it makes something that dies with the session."""
    kind = node.WhichOneof("node") or ""
    if kind == "select_stmt":
        return _is_temporary(node.select_stmt.into_clause.rel)
    if kind == "create_table_as_stmt":
        return _is_temporary(node.create_table_as_stmt.into.rel)
    if kind == "create_stmt":
        return _is_temporary(node.create_stmt.relation)
    if kind == "view_stmt":
        return _is_temporary(node.view_stmt.view)
    if kind == "create_seq_stmt":
        return _is_temporary(node.create_seq_stmt.sequence)
    if kind == "composite_type_stmt":
        return _is_temporary(node.composite_type_stmt.typevar)
    if kind == "create_function_stmt":
        return _dotted(node.create_function_stmt.funcname).startswith("pg_temp.")
    if kind == "create_enum_stmt":
        return _dotted(node.create_enum_stmt.type_name).startswith("pg_temp.")
    return kind == "create_domain_stmt" and _dotted(node.create_domain_stmt.domainname).startswith("pg_temp.")


def calls(node: "Node", function: str) -> bool:
    """Whether the statement calls a function of this name, in whatever schema."""
    from postgast import find_nodes, pg_query_pb2

    return any(call.funcname[-1].string.sval == function for call in find_nodes(node, pg_query_pb2.FuncCall) if call.funcname)


def enum_value_added(word: bytes, sql: bytes) -> tuple[str, str] | None:
    """(type without its schema, value) of ALTER TYPE … ADD VALUE, None for anything else."""
    if word.upper() != b"ALTER" or not _ENUM_ADDITION.search(sql):
        return None
    node = parse_one(sql)
    if node is None or node.WhichOneof("node") != "alter_enum_stmt" or node.alter_enum_stmt.old_val:
        return None
    return _dotted(node.alter_enum_stmt.type_name).rpartition(".")[2], str(node.alter_enum_stmt.new_val)


def _of_reindex(node: "Node") -> str:
    from postgast import pg_query_pb2 as pb

    if node.reindex_stmt.kind in (pb.REINDEX_OBJECT_SCHEMA, pb.REINDEX_OBJECT_SYSTEM, pb.REINDEX_OBJECT_DATABASE):
        return "REINDEX of a schema or database"
    concurrently = _options(node.reindex_stmt.params).get("concurrently")
    return "REINDEX CONCURRENTLY" if concurrently is not None and _is_on(concurrently) else ""


def _of_alter_table(node: "Node") -> str:
    from postgast import pg_query_pb2 as pb

    for command in (command.alter_table_cmd for command in node.alter_table_stmt.cmds):
        if command.subtype == pb.AT_DetachPartition and getattr(command, "def").partition_cmd.concurrent:
            return "DETACH PARTITION CONCURRENTLY"
    return ""


def _of_alter_subscription(node: "Node") -> str:
    from postgast import pg_query_pb2 as pb

    alter = node.alter_subscription_stmt
    options = _options(alter.options)
    if alter.kind == pb.ALTER_SUBSCRIPTION_REFRESH:
        return "ALTER SUBSCRIPTION REFRESH PUBLICATION"
    changes = (pb.ALTER_SUBSCRIPTION_SET_PUBLICATION, pb.ALTER_SUBSCRIPTION_ADD_PUBLICATION, pb.ALTER_SUBSCRIPTION_DROP_PUBLICATION)
    if alter.kind in changes and _is_on(options.get("refresh")):
        return "ALTER SUBSCRIPTION that refreshes its publications"
    if alter.kind == pb.ALTER_SUBSCRIPTION_OPTIONS and options.keys() & {"failover", "two_phase"}:
        return "ALTER SUBSCRIPTION SET of failover or two_phase"
    return ""


def _is_temporary(relation: Any) -> bool:
    return bool(relation.relpersistence == "t" or relation.schemaname == "pg_temp")


def _options(nodes: Iterable[Any]) -> "dict[str, DefElem]":
    return {node.def_elem.defname: node.def_elem for node in nodes}


def _is_on(option: "DefElem | None") -> bool:
    """PostgreSQL's defGetBoolean. An option that is not written counts as on, which is the default of those asked for."""
    if option is None or not option.HasField("arg"):
        return True
    kind = option.arg.WhichOneof("node")
    if kind == "integer":
        return bool(option.arg.integer.ival)
    if kind == "type_name":  # a bare word such as off
        return _dotted(option.arg.type_name.names).lower() != "off"
    return option.arg.string.sval.lower() not in ("false", "off", "0")


def _dotted(names: Iterable[Any]) -> str:
    return ".".join(name.string.sval for name in names)
