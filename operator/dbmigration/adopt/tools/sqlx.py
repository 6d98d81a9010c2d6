"""sqlx: _sqlx_migrations, a row for each file, with SHA-384 of its bytes."""

import hashlib
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Pairs, Tool, Verdicts
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(
        f"SELECT version, description, installed_on, success, pg_catalog.encode(checksum, 'hex') FROM {table.sql} ORDER BY version"
    )
    remedy = "failed: mend what it left, then let sqlx run it again"
    return tuple(
        ForeignRow(f"{version} {description}", str(version), None, at, checksum, failed=None if success else remedy)
        for version, description, at, success, checksum in rows
    )


def verify(pairs: Pairs) -> Verdicts:
    return {file.name: hashlib.sha384(file.path.read_bytes()).hexdigest() == row.checksum for row, file in pairs}


TOOL: Final = Tool(
    "sqlx",
    {"version": "bigint", "description": "text", "installed_on": "timestamp with time zone", "success": "boolean", "checksum": "bytea"},
    read,
    verify=verify,
)
