"""What we keep in the database, in schema `dbmigration`. The history table is not part of it: it may belong to someone else."""

from collections.abc import Mapping

from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.quote import literal, qualified

SCHEMA = "dbmigration"

LAYOUT = 3
"""Raised with every change of the tables below; `meta` says which one a database has."""

CREATE_SCHEMA = f"CREATE SCHEMA {SCHEMA}"

# The schema after each run, as `catalog.model.Snapshot` writes it: what the next run expects to find.
CREATE_SNAPSHOT = f"""CREATE TABLE {SCHEMA}.snapshot (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        run_id text NOT NULL,
        version text,
        history_key text NOT NULL,
        fingerprint text,
        content jsonb NOT NULL
    )"""

# What each seed was when it ran last.
CREATE_SEED = f"""CREATE TABLE {SCHEMA}.seed (
        name text PRIMARY KEY,
        algorithm text NOT NULL,
        checksum text NOT NULL,
        duration_ms bigint,
        ran_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )"""

CREATE_TABLES: tuple[str, ...] = (
    # Where the history is, and which layout this is.
    f"CREATE TABLE {SCHEMA}.meta (key text PRIMARY KEY, value text NOT NULL)",
    # What each applied file was, beside the history table's three columns.
    f"""CREATE TABLE {SCHEMA}.checksum (
        migration_name text PRIMARY KEY,
        algorithm text NOT NULL,
        checksum text NOT NULL,
        duration_ms bigint,
        recorded_at timestamptz NOT NULL DEFAULT now()
    )""",
    # Who did what, when and in which run. Rows are added and never changed.
    f"""CREATE TABLE {SCHEMA}.event (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor text NOT NULL,
        run_id text NOT NULL,
        kind text NOT NULL,
        migration_name text,
        detail jsonb NOT NULL DEFAULT '{{}}'
    )""",
    # The statements of an unfinished file that runs outside one transaction: 'started' is an intent, written before a statement
    # that no transaction can hold together with its row.
    f"""CREATE TABLE {SCHEMA}.progress (
        migration_name text NOT NULL,
        statement integer NOT NULL,
        line integer NOT NULL,
        state text NOT NULL CHECK (state IN ('started', 'done')),
        hash text NOT NULL,
        file_checksum text NOT NULL,
        detail jsonb,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (migration_name, statement)
    )""",
    CREATE_SNAPSHOT,
    CREATE_SEED,
    f"INSERT INTO {SCHEMA}.meta (key, value) VALUES ('layout', '{LAYOUT}')",
)

UPGRADES: Mapping[int, tuple[str, ...]] = {2: (CREATE_SNAPSHOT,), 3: (CREATE_SEED,)}
"""What each layout brought that the one before it had not."""

SEEDS_SINCE = 3

HISTORY_COLUMNS = ("id", "migration_name", "applied_at")


def create_history(table: HistoryTable) -> str:
    """Exactly the requirements' table."""
    return f"""CREATE TABLE {qualified(table.schema, table.table)} (
        id SERIAL PRIMARY KEY,
        migration_name TEXT NOT NULL UNIQUE,
        applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
    )"""


def set_meta(**values: str) -> str:
    rows = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in values.items())
    return f"INSERT INTO {SCHEMA}.meta (key, value) VALUES {rows} ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"


def upgrade_from(layout: int) -> list[str]:
    """The statements that bring tables of an older layout up to the present one; none when they are."""
    if layout >= LAYOUT:
        return []
    steps = [statement for number in range(layout + 1, LAYOUT + 1) for statement in UPGRADES.get(number, ())]
    return [*steps, set_meta(layout=str(LAYOUT))]
