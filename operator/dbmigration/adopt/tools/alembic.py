"""Alembic: alembic_version with the newest revision of each branch. What came before it, only the scripts know."""

import re
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.migrations.model import MigrationFile
from dbmigration.postgres.session import Session

_UPGRADE: Final = re.compile(rb"-- Running upgrade .*-> (\w+)\s*$")


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version_num FROM {table.sql} ORDER BY 1")
    return tuple(ForeignRow(f"revision {revision}", name=revision, through=True) for (revision,) in rows)


def mentions(file: MigrationFile, row: ForeignRow) -> bool:
    """`alembic upgrade A:B --sql` writes `-- Running upgrade A -> B` above what it does; or the name holds the revision."""
    revision = row.name or ""
    if revision in file.name.replace(".", "_").split("_"):
        return True
    with file.path.open("rb") as text:
        return any(match[1].decode() == revision for match in map(_UPGRADE.match, text) if match)


TOOL: Final = Tool("alembic", {"version_num": "character varying"}, read, exact=True, mentions=mentions)
