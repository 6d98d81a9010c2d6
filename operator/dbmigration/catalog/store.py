"""The schema that the next run expects, kept in the database beside the history it belongs to."""

import hashlib
import json
from typing import Final, NamedTuple

from dbmigration.catalog.fingerprint import fingerprint
from dbmigration.catalog.model import Snapshot
from dbmigration.migrations.model import History, HistoryTable
from dbmigration.postgres import history, schema
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

KEPT: Final = 10
"""Snapshots: the newest is compared with, the others tell a person since when something is there."""


class Stored(NamedTuple):
    """The newest snapshot without its content. `version`: the newest applied file then. `unchanged`: the schema is exactly this one."""

    id: int
    version: str | None
    history_key: str
    unchanged: bool


def history_key(found: History) -> str:
    """Which files are applied, unfinished and rolled back: a snapshot belongs to exactly one such state.

    A run that dies between a file and its snapshot leaves another state than its snapshot's: what differs then is not known to be drift.
    """
    state = {
        "applied": [row.name for row in found.applied],
        "partial": {name: done for name, (done, _) in found.partial.items()},
        "rolled back": sorted(found.rolled_back),
        "trace": found.trace,
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def newest(session: Session, table: HistoryTable) -> Stored | None:
    """None: nothing is stored yet. Two round trips, a few milliseconds. Raises as `Session.query` does."""
    if not session.query(f"SELECT pg_catalog.to_regclass('{SCHEMA}.snapshot') IS NOT NULL")[0][0]:
        return None
    rows = session.query(
        f"SELECT id, version, history_key, fingerprint, {fingerprint(table)} FROM {SCHEMA}.snapshot ORDER BY id DESC LIMIT 1"
    )
    return Stored(rows[0][0], rows[0][1], rows[0][2], rows[0][3] == rows[0][4]) if rows else None


def read(session: Session, stored: Stored) -> Snapshot:
    """Its content. Raises as `Session.query` does."""
    return Snapshot.from_json(session.query(f"SELECT content::text FROM {SCHEMA}.snapshot WHERE id = %s", (stored.id,))[0][0])


def keep(
    session: Session, table: HistoryTable, expected: Snapshot, *, mark: str | None, key: str, version: str | None, run_id: str
) -> None:
    """Store what the next run expects, and forget all but the newest few. Needs schema dbmigration; older tables get the new one.

    `mark`: the fingerprint of the database where its schema is exactly `expected`: as long as it stays, the next run need not look closely.
    One transaction; the session must not be in one, and the lock is held. Raises as `Session.query` does.
    """
    try:
        session.query("BEGIN")
        for statement in schema.upgrade_from(history.look(session, table).layout):
            session.query(statement)
        session.query(
            f"INSERT INTO {SCHEMA}.snapshot (run_id, version, history_key, fingerprint, content) VALUES (%s, %s, %s, %s, %s::jsonb)",
            (run_id, version, key, mark, expected.to_json()),
        )
        session.query(f"DELETE FROM {SCHEMA}.snapshot WHERE id NOT IN (SELECT id FROM {SCHEMA}.snapshot ORDER BY id DESC LIMIT {KEPT})")
        session.query("COMMIT")
    finally:
        session.roll_back()


def confirm(session: Session, stored: Stored, mark: str) -> None:
    """The schema was looked at closely and is what is stored: as long as the fingerprint stays, no look need be as close."""
    session.query(f"UPDATE {SCHEMA}.snapshot SET fingerprint = %s WHERE id = %s", (mark, stored.id))
