"""Write down that files are applied which this tool never ran: in one transaction, and nothing else is touched."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dbmigration.migrations.model import CHECKSUM_ALGORITHM, HistoryTable, MigrationFile
from dbmigration.postgres import history
from dbmigration.postgres.quote import qualified
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that counts as applied from now on. `applied_at` None: now. `detail` goes into the event."""

    file: MigrationFile
    applied_at: datetime | None
    detail: Mapping[str, object]


def record_adopted(session: Session, table: HistoryTable, adopted: Iterable[Adopted], *, kind: str, run_id: str) -> None:
    """History rows, checksums of today's texts and an event of this `kind` each, in the order given; unfinished statements are forgotten.

    The lock is held, and the session is in no transaction. Raises as `history.prepare` and `Session.query` do, with nothing written.
    """
    rows = [
        {
            "place": place,
            "name": each.file.name,
            "at": each.applied_at.isoformat() if each.applied_at is not None else None,
            "checksum": each.file.checksum,
            "detail": {"checksum": each.file.checksum, "algorithm": CHECKSUM_ALGORITHM, **each.detail},
        }
        for place, each in enumerate(adopted)
    ]
    given = "pg_catalog.jsonb_to_recordset(%s::jsonb) AS r (place int, name text, at timestamptz, checksum text, detail jsonb)"
    text = json.dumps(rows)
    try:
        session.query("BEGIN")
        history.prepare(session, table)
        session.query(
            f"""INSERT INTO {qualified(table.schema, table.table)} (migration_name, applied_at)
            SELECT name, coalesce(at, now()) FROM {given} ORDER BY place""",
            (text,),
        )
        session.query(
            f"""INSERT INTO {SCHEMA}.checksum (migration_name, algorithm, checksum) SELECT name, %s, checksum FROM {given}
            ON CONFLICT (migration_name) DO UPDATE SET algorithm = EXCLUDED.algorithm, checksum = EXCLUDED.checksum,
                duration_ms = NULL, recorded_at = EXCLUDED.recorded_at""",
            (CHECKSUM_ALGORITHM, text),
        )
        session.query(
            f"""INSERT INTO {SCHEMA}.event (actor, run_id, kind, migration_name, detail)
            SELECT %s, %s, %s, name, detail FROM {given} ORDER BY place""",
            (session.actor, run_id, kind, text),
        )
        session.query(f"DELETE FROM {SCHEMA}.progress WHERE migration_name IN (SELECT name FROM {given})", (text,))
        session.query("COMMIT")
    finally:
        session.roll_back()
    session.ready_for = table
