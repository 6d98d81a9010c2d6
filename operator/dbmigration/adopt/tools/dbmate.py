"""dbmate and Rails: schema_migrations with a version in each row, and nothing else."""

from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Tool
from dbmigration.postgres.session import Session


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT version FROM {table.sql} ORDER BY version")
    return tuple(ForeignRow(f"version {version}", version) for (version,) in rows)


TOOL: Final = Tool("dbmate", {"version": "character varying"}, read, exact=True, tables=("schema_migrations",))
