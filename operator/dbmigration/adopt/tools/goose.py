"""goose: goose_db_version, a row for each step up, and from older versions of goose one for each step down."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version_id, is_applied, tstamp::timestamptz FROM {table.sql} ORDER BY id")
    found = dict[int, ForeignRow]()
    for version, is_applied, at in rows:
        found.pop(version, None)
        if is_applied and version > 0:  # goose's own first row is version 0
            found[version] = ForeignRow(f"version {version}", str(version), applied_at=at)
    return tuple(found.values())


TOOL: Final = Tool("goose", {"id": "integer", "version_id": "bigint", "is_applied": "boolean", "tstamp": "timestamp"}, read, exact=True)
