"""Flyway: flyway_schema_history, a row for each script, with CRC32 of its lines."""

import zlib
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Pairs, Tool, Verdicts
from dbmigration.postgres.session import Session

_NO_MIGRATION: Final = {"SCHEMA": "Flyway made the schema", "DELETE": "a mark that a script was deleted"}


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(
        f"""SELECT installed_rank, version, description, type, script, checksum, installed_on::timestamptz, success
        FROM {table.sql} ORDER BY 1"""
    )
    found = list[ForeignRow]()
    for rank, version, description, kind, script, checksum, at, success in rows:
        label = f"{rank}: {script}"
        if kind.startswith("UNDO"):
            found = [row for row in found if row.version != version]
        elif kind == "BASELINE":
            found.append(ForeignRow(f"{rank}: baseline {version}", version, applied_at=at, through=True))
        elif kind in _NO_MIGRATION:
            found.append(ForeignRow(label, passed_over=_NO_MIGRATION[kind]))
        elif version is None:
            found.append(ForeignRow(label, passed_over="a repeatable migration: it has no place in an order"))
        else:
            failed = None if success else "failed: mend what it left, then `flyway repair`"
            name = script.rpartition("/")[2] if kind == "SQL" else description.replace(" ", "_")
            found.append(ForeignRow(label, version, name, at, None if checksum is None else str(checksum), failed=failed))
    return tuple(found)


def verify(pairs: Pairs) -> Verdicts:
    return {file.name: crc32(file.path.read_bytes()) == int(row.checksum) for row, file in pairs if row.checksum is not None}


def crc32(data: bytes) -> int:
    """Flyway's checksum of a script: CRC32 of its lines without their ends and without a BOM, as a signed number."""
    total = 0
    for line in data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        total = zlib.crc32(line, total)
    return total - (1 << 32) if total >= 1 << 31 else total


TOOL: Final = Tool(
    "flyway",
    {
        "installed_rank": "integer",
        "version": "character varying",
        "script": "character varying",
        "checksum": "integer",
        "success": "boolean",
    },
    read,
    verify=verify,
)
