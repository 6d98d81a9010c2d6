"""refinery: refinery_schema_history, a row for each file."""

from datetime import datetime
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version, name, applied_on FROM {table.sql} ORDER BY version")
    return tuple(ForeignRow(f"V{version}__{name}", str(version), f"V{version}__{name}.sql", _time(at)) for version, name, at in rows)


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


TOOL: Final = Tool(
    "refinery",
    {"version": "integer", "name": "character varying", "applied_on": "character varying", "checksum": "character varying"},
    read,
    exact=True,
    unverified="its checksum is a hash of Rust's own making",
)
