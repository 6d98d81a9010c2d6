"""The statements that write down what was done. Each runs in the very transaction that did it, as the session's own role."""

import json
from collections.abc import Mapping

from dbmigration.migrations.model import CHECKSUM_ALGORITHM, HistoryTable, MigrationFile
from dbmigration.postgres.quote import literal, qualified
from dbmigration.postgres.schema import SCHEMA

AS_OURSELVES: tuple[str, ...] = ("RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL")
"""A file may end with another role, search_path or timeout than it began with."""

AS_OURSELVES_HERE: tuple[str, ...] = (
    "SET LOCAL session_authorization TO DEFAULT",
    "SET LOCAL role TO DEFAULT",
    "SET LOCAL search_path TO pg_catalog, pg_temp",
)
"""The same for one transaction: what the file set for its session comes back with COMMIT."""

FIRE_DEFERRED = "SET CONSTRAINTS ALL IMMEDIATE"
"""What COMMIT would check is checked now, with the file's own role and search_path."""

FORGET_OBJECTS: tuple[str, ...] = (
    "CLOSE ALL",
    "DEALLOCATE ALL",
    "UNLISTEN *",
    "DISCARD PLANS",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
)
"""With AS_OURSELVES, what DISCARD ALL does (manual, DISCARD), but for the advisory lock, which has to stay."""

TRANSACTION_MS = "(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp()) * 1000)::bigint"


def applied(
    table: HistoryTable, file: MigrationFile, *, actor: str, run_id: str, duration_ms: str, detail: Mapping[str, object]
) -> tuple[str, str, str]:
    """History row, checksum and event; the only row that comes back is the duration. `duration_ms` is an SQL expression.

    A file may write its own history row. ON CONFLICT names no columns there: a table made by hand may lack the unique constraint. Three
    statements of one message cost the server half of what one with three WITH clauses does.
    """
    name = literal(file.name)
    return (
        f"INSERT INTO {qualified(table.schema, table.table)} (migration_name) VALUES ({name}) ON CONFLICT DO NOTHING",
        f"""INSERT INTO {SCHEMA}.checksum (migration_name, algorithm, checksum, duration_ms)
        VALUES ({name}, {literal(CHECKSUM_ALGORITHM)}, {literal(file.checksum)}, {duration_ms})
        ON CONFLICT (migration_name) DO UPDATE SET algorithm = EXCLUDED.algorithm, checksum = EXCLUDED.checksum,
            duration_ms = EXCLUDED.duration_ms, recorded_at = EXCLUDED.recorded_at
        RETURNING duration_ms""",
        event("applied", file, actor=actor, run_id=run_id, detail=detail),
    )


def seeded(
    table: HistoryTable, file: MigrationFile, *, actor: str, run_id: str, duration_ms: str, detail: Mapping[str, object]
) -> tuple[str, str]:
    """What `applied` is for a migration: the seed's row, whose duration comes back, and the event. The history table has none of it."""
    del table
    return (
        f"""INSERT INTO {SCHEMA}.seed (name, algorithm, checksum, duration_ms)
        VALUES ({literal(file.name)}, {literal(CHECKSUM_ALGORITHM)}, {literal(file.checksum)}, {duration_ms})
        ON CONFLICT (name) DO UPDATE SET algorithm = EXCLUDED.algorithm, checksum = EXCLUDED.checksum,
            duration_ms = EXCLUDED.duration_ms, ran_at = EXCLUDED.ran_at
        RETURNING duration_ms""",
        event("seeded", file, actor=actor, run_id=run_id, detail=detail),
    )


def event(kind: str, file: MigrationFile, *, actor: str, run_id: str, detail: Mapping[str, object]) -> str:
    """An event; the file's checksum goes into its detail."""
    found = json.dumps({"checksum": file.checksum, "algorithm": CHECKSUM_ALGORITHM, **detail})
    return f"""INSERT INTO {SCHEMA}.event (actor, run_id, kind, migration_name, detail)
        VALUES ({literal(actor)}, {literal(run_id)}, {literal(kind)}, {literal(file.name)}, {literal(found)}::jsonb)"""


def forgotten(table: HistoryTable, file: MigrationFile) -> tuple[str, str, str]:
    """Takes the file's history row and checksum away, and what is recorded of its statements when it is unfinished."""
    name = literal(file.name)
    return (
        f"DELETE FROM {qualified(table.schema, table.table)} WHERE migration_name = {name}",
        f"DELETE FROM {SCHEMA}.checksum WHERE migration_name = {name}",
        unstep(file.key),
    )


def step(
    name: str, statement: int, line: int, *, state: str, digest: str, checksum: str, detail: Mapping[str, object] | None = None
) -> str:
    """Where an unfinished file stands: statement `statement` is 'started' or 'done'."""
    found = "NULL" if detail is None else f"{literal(json.dumps(detail))}::jsonb"
    return f"""INSERT INTO {SCHEMA}.progress (migration_name, statement, line, state, hash, file_checksum, detail)
        VALUES ({literal(name)}, {statement}, {line}, {literal(state)}, {literal(digest)}, {literal(checksum)}, {found})
        ON CONFLICT (migration_name, statement) DO UPDATE SET line = EXCLUDED.line, state = EXCLUDED.state, hash = EXCLUDED.hash,
            file_checksum = EXCLUDED.file_checksum, detail = EXCLUDED.detail, at = EXCLUDED.at"""


def touch(name: str, statement: int) -> str:
    """The statement is looked at again: see `History.trace`."""
    return (
        f"UPDATE {SCHEMA}.progress SET at = pg_catalog.clock_timestamp() WHERE migration_name = {literal(name)} AND statement = {statement}"
    )


def unstep(name: str, statement: int | None = None) -> str:
    """Forget one statement of an unfinished file, or all of it."""
    which = "" if statement is None else f" AND statement = {statement}"
    return f"DELETE FROM {SCHEMA}.progress WHERE migration_name = {literal(name)}{which}"
