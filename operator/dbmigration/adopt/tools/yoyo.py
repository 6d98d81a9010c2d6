"""yoyo: _yoyo_migration, a row for each migration, by its file's name without the ending."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT migration_id, applied_at_utc AT TIME ZONE 'UTC' FROM {table.sql} ORDER BY applied_at_utc, migration_id")
    return tuple(ForeignRow(name, name=name, applied_at=at) for name, at in rows)


TOOL: Final = Tool(
    "yoyo",
    {"migration_hash": "character varying", "migration_id": "character varying", "applied_at_utc": "timestamp"},
    read,
    unverified="its hash is of the migration's name alone",
)
