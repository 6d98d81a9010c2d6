"""Atlas: atlas_schema_revisions, a row for each file, with a hash over all files up to it."""

import base64
import hashlib
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Pairs, Tool, Verdicts
from dbmigration.postgres.session import Session

_BASELINE: Final = 1
_RESOLVED: Final = 4
"""Bits of Atlas's RevisionType: not run by it but declared; mended by hand."""


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version, description, type, applied, total, executed_at, hash FROM {table.sql} ORDER BY version")
    found = list[ForeignRow]()
    for version, description, kind, applied, total, at, checksum in rows:
        if not version[:1].isdigit():  # ".atlas_cloud_identifier" and the like
            continue
        failed = None
        if applied < total and not kind & _RESOLVED:
            failed = f"stopped after {applied} of {total} statements: mend it and let Atlas finish, or `atlas migrate set`"
        baseline = bool(kind & _BASELINE)
        name = f"{version}_{description}" if description else None
        found.append(ForeignRow(f"{version} {description}", version, name, at, None if baseline else checksum, baseline, failed))
    return tuple(found)


def verify(pairs: Pairs) -> Verdicts:
    """Atlas goes on with one SHA-256 from file to file, over names and contents: after a file that differs no other can be judged."""
    total = hashlib.sha256()
    verdicts = dict[str, bool]()
    for row, file in sorted(pairs, key=lambda pair: pair[1].number):
        total.update(file.name.encode() + file.path.read_bytes())
        agrees = base64.b64encode(total.digest()).decode() == row.checksum
        if not agrees:
            break
        verdicts[file.name] = True
    return verdicts


TOOL: Final = Tool(
    "atlas",
    {
        "version": "character varying",
        "description": "character varying",
        "type": "bigint",
        "applied": "bigint",
        "total": "bigint",
        "hash": "character varying",
    },
    read,
    verify=verify,
)
