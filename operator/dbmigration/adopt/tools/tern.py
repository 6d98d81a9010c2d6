"""tern: schema_version with one row, the newest version."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version FROM {table.sql} WHERE version > 0")
    return tuple(ForeignRow(f"version {version}", str(version), through=True) for (version,) in rows)


TOOL: Final = Tool("tern", {"version": "integer"}, read, exact=True, tables=("schema_version",))
