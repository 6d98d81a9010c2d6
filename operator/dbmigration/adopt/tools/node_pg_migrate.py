"""node-pg-migrate: pgmigrations, a row for each file, by its name without the ending."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT id, name, run_on::timestamptz FROM {table.sql} ORDER BY id")
    return tuple(ForeignRow(f"{key}: {name}", name=name, applied_at=at) for key, name, at in rows)


TOOL: Final = Tool("node-pg-migrate", {"id": "integer", "name": "character varying", "run_on": "timestamp"}, read, exact=True)
