"""golang-migrate: schema_migrations with one row, the newest version and whether it failed."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version, dirty FROM {table.sql} ORDER BY version")
    remedy = "is dirty: it failed on the way. Mend what it left, then `migrate force VERSION` to the version that is really there"
    return tuple(ForeignRow(f"version {version}", str(version), through=True, failed=remedy if dirty else None) for version, dirty in rows)


TOOL: Final = Tool("golang-migrate", {"version": "bigint", "dirty": "boolean"}, read, exact=True)
