"""What we keep in the database, in schema `dbmigration`. The history table is not part of it: it may belong to someone else."""

from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.quote import literal, qualified

SCHEMA = "dbmigration"

LAYOUT = 1
"""Raised with every change of the tables below; `meta` says which one a database has."""

CREATE_SCHEMA = f"CREATE SCHEMA {SCHEMA}"

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
    f"INSERT INTO {SCHEMA}.meta (key, value) VALUES ('layout', '{LAYOUT}')",
)

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
