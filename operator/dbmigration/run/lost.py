"""What a rollback took away in a copy: the rows and columns that the backup has and the copy, afterwards, has not."""

import re
from typing import Final

from dbmigration.backup.contents import Contents
from dbmigration.errors import DbmigrationError
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.quote import identifier
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

SHOWN: Final = 20

_COLUMN: Final = re.compile(r'"(?:[^"]|"")+"|[^,\s()]+')


def lost_in_copy(session: Session, before: Contents, history: HistoryTable) -> tuple[str, ...]:
    """One line for each table that has fewer rows, or columns, than the backup; a table that is gone counts with all it had.

    `session` is in the copy after the rollback. Reads every table once. Rows that were changed, and not removed, are not seen. Tables that
    the role may not read are named.
    """
    ours = {f"{SCHEMA}.{row[0]}" for row in session.query("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s", (SCHEMA,))}
    ours |= {_plain(history)}
    lines = []
    for key, rows in sorted(before.tables.items()):
        table, _, columns = key.partition(" (")
        if table in ours or table.startswith(f"{SCHEMA}.") or not rows.count:
            continue
        lines += _lost_of(session, table, _COLUMN.findall(columns), rows.count)
    return (*lines[:SHOWN], *((f"and {len(lines) - SHOWN} more",) if len(lines) > SHOWN else ()))


def _lost_of(session: Session, table: str, columns: list[str], rows: int) -> list[str]:
    held = f"{rows:,} row{'' if rows == 1 else 's'}"
    there = session.query(
        """SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname)) FROM pg_catalog.pg_class AS c
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.oid = pg_catalog.to_regclass(%s) GROUP BY c.oid""",
        (table,),
    )
    if not there:
        return [f"{table}: {held}, no table of that name is left"]
    left = set(there[0][0] or ())
    found = [f"{table}.{column}: the column, in {held}" for column in columns if column not in left]
    try:
        count: int = session.query(f"SELECT pg_catalog.count(*) FROM ONLY {table}")[0][0]  # noqa: S608 - a name as pg_dump quotes it
    except DbmigrationError as error:
        if session.connection.closed:
            raise
        return [*found, f"{table}: cannot tell what is lost ({error.message})"]
    return [*found, f"{table}: {rows - count:,} of {held}"] if count < rows else found


def _plain(table: HistoryTable) -> str:
    """As pg_dump writes it, where the names need no quotes."""
    names = (name if re.fullmatch("[a-z_][a-z0-9_$]*", name) else identifier(name) for name in (table.schema, table.table))
    return ".".join(names)
