"""One statement's text put into operations. The only module, with its neighbours, that knows the parser."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import postgast

from dbmigration.lint.operations import Code, Operation, Query
from dbmigration.lint.reading import alter, data, objects, tables
from dbmigration.migrations.tree import TooDeep, parse


class NotSql(Exception):
    """The parser stopped. `at`: the offset in bytes where, None when it does not say."""

    def __init__(self, message: str, at: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def read_operations(sql: bytes) -> tuple[Operation, ...]:
    """What it does; () for what no rule or model cares about. Raises NotSql for what PostgreSQL 18's grammar does not know.

    What is nested too deeply for the parser is code that nobody looks into.
    """
    text = sql.decode("utf-8", "replace")
    try:
        statements = parse(text)
    except postgast.PgQueryError as error:
        raise NotSql(error.message, error.cursorpos - 1 if error.cursorpos else None) from error
    except TooDeep:
        return (Query(0), Code(0, text, runs=True))
    return tuple(operation for statement in statements for operation in _read(statement.stmt))


def _read(node: Any) -> Iterator[Operation]:
    kind = node.WhichOneof("node")
    reader = READERS.get(kind)
    if reader is not None:
        yield from reader(getattr(node, kind))
    if kind == "create_schema_stmt":
        for element in node.create_schema_stmt.schema_elts:
            yield from _read(element)


def _foreign_table(stmt: Any) -> Iterator[Operation]:
    yield from tables.create_table(stmt.base_stmt)


READERS: Final[dict[str | None, Callable[[Any], Iterator[Operation]]]] = {
    "create_stmt": tables.create_table,
    "create_foreign_table_stmt": _foreign_table,
    "create_table_as_stmt": tables.create_table_as,
    "alter_table_stmt": alter.alter_table,
    "create_schema_stmt": objects.create_schema,
    "create_extension_stmt": objects.create_extension,
    "create_seq_stmt": objects.create_sequence,
    "view_stmt": objects.create_view,
    "create_enum_stmt": objects.create_enum,
    "composite_type_stmt": objects.create_composite,
    "create_range_stmt": objects.create_range,
    "create_domain_stmt": objects.create_domain,
    "create_function_stmt": objects.create_function,
    "create_trig_stmt": objects.create_trigger,
    "create_policy_stmt": objects.create_policy,
    "rule_stmt": objects.create_rule,
    "index_stmt": objects.create_index,
    "alter_enum_stmt": objects.alter_enum,
    "alter_domain_stmt": objects.alter_domain,
    "drop_stmt": objects.drop,
    "dropdb_stmt": objects.drop_database,
    "drop_owned_stmt": objects.drop_owned,
    "rename_stmt": objects.rename,
    "alter_object_schema_stmt": objects.set_schema,
    "comment_stmt": objects.comment,
    "grant_stmt": objects.grant,
    "create_role_stmt": objects.role,
    "alter_role_stmt": objects.role,
    "create_user_mapping_stmt": objects.role,
    "alter_user_mapping_stmt": objects.role,
    "do_stmt": objects.do,
    "select_stmt": data.select,
    "insert_stmt": data.insert,
    "update_stmt": data.update,
    "delete_stmt": data.delete,
    "merge_stmt": data.merge,
    "copy_stmt": data.copy,
    "truncate_stmt": data.truncate,
    "lock_stmt": data.lock,
    "vacuum_stmt": data.vacuum,
    "cluster_stmt": data.cluster,
    "reindex_stmt": data.reindex,
    "refresh_mat_view_stmt": data.refresh,
    "execute_stmt": data.execute,
    "call_stmt": data.execute,
}
