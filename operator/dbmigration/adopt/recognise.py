"""Whose history there is in a database, told by the columns of its tables."""

from dbmigration.adopt.foreign import ForeignHistory, ForeignTable, Tool
from dbmigration.adopt.tools import TOOLS
from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Usage
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

_TABLES = f"""
SELECT n.nspname, c.relname, pg_catalog.array_agg(a.attname::text ORDER BY a.attnum),
    pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, NULL) ORDER BY a.attnum)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema', '{SCHEMA}') AND n.nspname !~ '^pg_(toast|temp)'
    AND (%s::text IS NULL OR (n.nspname = %s AND c.relname = %s))
GROUP BY n.nspname, c.relname HAVING pg_catalog.count(*) < 40 ORDER BY 1, 2
"""


def read_foreign_history(session: Session, tool: str | None = None, table: tuple[str, str] | None = None) -> ForeignHistory:
    """The one history of another tool that the database has, or the one of `tool`, or that in `table` (schema, name).

    Raises Permanent HISTORY_NOT_FOUND when there is none, or more than one, with how to say which; Usage for a tool that nobody knows.
    """
    tools = TOOLS if tool is None else (_tool(tool),)
    schema, name = table or (None, None)
    tables = [
        ForeignTable(row[0], row[1], dict(zip(row[2], row[3], strict=True))) for row in session.query(_TABLES, (schema, schema, name))
    ]
    found = [(each, there) for there in tables for each in tools if each.recognises(there, named=table is not None)]
    if not found:
        raise Permanent(Reason.HISTORY_NOT_FOUND, _none_found(tables, tool, table))
    if len(found) > 1:
        named = "; ".join(f"{there} ({each.name})" for each, there in found)
        raise Permanent(
            Reason.HISTORY_NOT_FOUND,
            f"more than one table can be a tool's history: {named}. Say which with --from TOOL or --table SCHEMA.TABLE",
        )
    chosen, there = found[0]
    return ForeignHistory(chosen, there, chosen.read(session, there))


def _tool(name: str) -> Tool:
    for tool in TOOLS:
        if tool.name == name:
            return tool
    raise Usage(Reason.SPEC_INVALID, f"{name!r} is no tool that is known here: use {', '.join(tool.name for tool in TOOLS)}")


def _none_found(tables: list[ForeignTable], tool: str | None, table: tuple[str, str] | None) -> str:
    whose = tool or "a tool that is known here"
    if table is not None and not tables:
        return f"there is no table {'.'.join(table)}"
    if table is not None:
        return f"{tables[0]} has the columns {', '.join(tables[0].columns)}: that is no history of {whose}"
    return (
        f"no table has the columns of a history of {whose}. Is this the right database, and may this role see its tables? "
        "A database without any history is adopted with `baseline`"
    )
