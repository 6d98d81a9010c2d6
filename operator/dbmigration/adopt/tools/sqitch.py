"""Sqitch: sqitch.changes, a row for each deployed change, with SHA-1 of its deploy script."""

import hashlib
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Pairs, Tool, Verdicts
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT project, change, script_hash, committed_at FROM {table.sql} ORDER BY committed_at")
    return tuple(ForeignRow(f"{project}:{change}", name=change, applied_at=at, checksum=checksum) for project, change, checksum, at in rows)


def verify(pairs: Pairs) -> Verdicts:
    return {
        file.name: hashlib.sha1(file.path.read_bytes(), usedforsecurity=False).hexdigest() == row.checksum
        for row, file in pairs
        if row.checksum is not None
    }


TOOL: Final = Tool(
    "sqitch",
    {
        "change_id": "text",
        "script_hash": "text",
        "change": "text",
        "project": "text",
        "committed_at": "timestamp with time zone",
        "planner_name": "text",
    },
    read,
    tables=("changes",),
    verify=verify,
)
