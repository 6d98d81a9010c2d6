"""Liquibase: databasechangelog, a row for each changeset, of which a file may hold several."""

import re
from collections.abc import Collection
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.migrations.model import MigrationFile
from dbmigration.postgres.session import Session

_CHANGESET: Final = re.compile(rb"--\s*changeset\s+([^:\s]+):(\S+)", re.IGNORECASE)


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(
        f"SELECT id, author, filename, dateexecuted::timestamptz, exectype FROM {table.sql} ORDER BY orderexecuted, dateexecuted"
    )
    found = list[ForeignRow]()
    for key, author, filename, at, kind in rows:
        label = f"{filename}::{key}::{author}"
        failed = "failed: mend it and run Liquibase's update again" if kind == "FAILED" else None
        if filename.lower().endswith(".sql"):
            found.append(ForeignRow(label, name=filename.rpartition("/")[2], applied_at=at, failed=failed))
        else:  # a changeset of an XML or YAML file: its id is all that it can have in common with a file
            number = re.match(r"\d+", key)
            found.append(ForeignRow(label, number[0] if number else None, key, at, failed=failed))
    return tuple(found)


def missing(file: MigrationFile, rows: Collection[ForeignRow]) -> str | None:
    """Liquibase stops between two changesets of a file; half a file is none."""
    run = {(row.label.split("::")[-2], row.label.split("::")[-1]) for row in rows}
    with file.path.open("rb") as text:
        found = [(match[2].decode(), match[1].decode()) for match in map(_CHANGESET.match, text) if match]
    left = [f"{author}:{key}" for key, author in found if (key, author) not in run]
    return f"changeset {', '.join(left)} of it was not run" if left else None


TOOL: Final = Tool(
    "liquibase",
    {
        "id": "character varying",
        "author": "character varying",
        "filename": "character varying",
        "orderexecuted": "integer",
        "md5sum": "character",
    },
    read,
    missing=missing,
    unverified="its MD5SUM is of its own reading of a changeset, not of the file",
)
