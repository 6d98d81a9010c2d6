"""What the database knows of its migrations: read in two round trips, made in the transaction of the first file that needs it."""

from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.model import ROLLBACK_PREFIX, AppliedMigration, History, HistoryTable
from dbmigration.postgres import schema
from dbmigration.postgres.quote import identifier, qualified
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

_KNOWN_SHAPES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"version", "dirty"}), "golang-migrate's"),
    (frozenset({"version", "inserted_at"}), "Ecto's"),
    (frozenset({"version", "installed_rank"}), "Flyway's"),
    (frozenset({"version"}), "that of Rails or dbmate"),
)
"""Columns by which other tools' tables of the same name are known, in the order in which they are tried."""


class Found(NamedTuple):
    """What is there. `columns` None: no history table. `recorded`: where `meta` says that it is."""

    schema_exists: bool
    columns: tuple[str, ...] | None
    ours_exists: bool
    our_tables: bool
    recorded: HistoryTable | None
    known_files: int
    layout: int
    claim: str | None


def read_history(session: Session, table: HistoryTable) -> History:
    """All that is recorded; empty when nothing is. Never writes. The session remembers which scripts are unfinished.

    Raises Permanent HISTORY_MOVED when the database's history is elsewhere or gone, HISTORY_FOREIGN when the table is some other tool's;
    Transient PERMISSION_DENIED.
    """
    found = look(session, table)
    check(found, table)
    if found.columns is None and not found.our_tables:
        return History()
    parts = []
    if found.columns is not None:
        checksum = (
            f"LEFT JOIN {SCHEMA}.checksum AS c ON c.migration_name = h.migration_name" if found.our_tables
            else "LEFT JOIN (SELECT NULL::text AS checksum, NULL::bigint AS duration_ms) AS c ON false"
        )  # fmt: skip
        parts.append(
            f"""SELECT 'applied', h.migration_name, c.checksum, c.duration_ms, h.applied_at, row_number() OVER (ORDER BY h.id)
            FROM {qualified(table.schema, table.table)} AS h {checksum}"""
        )
    if found.our_tables:
        parts.append(
            f"""SELECT CASE state WHEN 'done' THEN 'progress' ELSE 'started' END, migration_name, file_checksum, statement::bigint,
                NULL::timestamptz, NULL::bigint FROM {SCHEMA}.progress"""
        )
        parts.append(
            f"""SELECT 'hash', migration_name, hash, statement::bigint, NULL::timestamptz, NULL::bigint
            FROM {SCHEMA}.progress WHERE state = 'done'"""
        )
        # Rollback scripts', too. What a killed run did of an unfinished file changes this, if it changes nothing else.
        parts.append(
            f"""SELECT 'trace', NULL, pg_catalog.md5(pg_catalog.string_agg(
                pg_catalog.concat_ws(' ', migration_name, statement, state, EXTRACT(epoch FROM at)), ',' ORDER BY migration_name, statement
            )), NULL::bigint, NULL::timestamptz, NULL::bigint FROM {SCHEMA}.progress"""
        )
        if found.layout >= schema.SEEDS_SINCE:
            parts.append(f"SELECT 'seed', name, checksum, duration_ms, ran_at, NULL::bigint FROM {SCHEMA}.seed")
        # A file is rolled back when the last that happened to it is that a person took it back.
        parts.append(
            f"""SELECT 'rolled_back', migration_name, detail->>'checksum', NULL::bigint, NULL::timestamptz, NULL::bigint
            FROM (
                SELECT DISTINCT ON (migration_name) migration_name, kind, detail FROM {SCHEMA}.event
                WHERE kind IN ('applied', 'rolled_back', 'undone') ORDER BY migration_name, id DESC
            ) AS e WHERE kind = 'rolled_back'"""
        )
    rows = session.query(" UNION ALL ".join(parts) + " ORDER BY 1, 6, 4")
    applied: dict[str, AppliedMigration] = {}  # a table made by hand may hold a name twice: the first row is the one that was meant
    partial: dict[str, tuple[int, str]] = {}
    hashes: dict[str, list[str]] = {}
    seeds: dict[str, AppliedMigration] = {}
    session.unfinished = frozenset(name for what, name, *_ in rows if what in ("progress", "started"))
    for what, name, text, number, at, _ in rows:
        if what == "applied":
            applied.setdefault(name, AppliedMigration(name, at, text, number))
        elif what == "seed":
            seeds[name] = AppliedMigration(name, at, text, number)
        elif name is not None and not name.startswith(ROLLBACK_PREFIX):
            if what == "progress":
                partial[name] = (number, text)
            elif what == "hash":
                hashes.setdefault(name, []).append(text)
    return History(
        applied=tuple(applied.values()),
        rolled_back={name: text or "" for what, name, text, *_ in rows if what == "rolled_back"},
        partial=partial,
        finished={name: tuple(texts) for name, texts in hashes.items()},
        seeds=seeds,
        trace=next((text for what, _, text, *_ in rows if what == "trace"), None),
        claim=found.claim,
    )


_LOOK = f"""
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s),
    (SELECT pg_catalog.array_remove(pg_catalog.array_agg(a.attname::text ORDER BY a.attnum), NULL)
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),
    EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}'),
    (SELECT pg_catalog.count(*) = 4 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r' AND c.relname IN ('meta', 'checksum', 'event', 'progress'))
"""


def look(session: Session, table: HistoryTable) -> Found:
    """Look into the catalog, and into `meta` where it exists. A name that is not there is no error here."""
    schema_exists, columns, ours_exists, our_tables = session.query(_LOOK, (table.schema, table.schema, table.table))[0]
    meta: dict[str, str] = {}
    known = 0
    if our_tables:
        rows = session.query(f"SELECT key, value, (SELECT pg_catalog.count(*) FROM {SCHEMA}.checksum) FROM {SCHEMA}.meta")
        meta = {key: value for key, value, _ in rows}
        known = rows[0][2] if rows else 0
    recorded = HistoryTable(meta["history_schema"], meta["history_table"]) if "history_table" in meta else None
    return Found(
        schema_exists=schema_exists,
        columns=None if columns is None else tuple(columns),
        ours_exists=ours_exists,
        our_tables=our_tables,
        recorded=recorded,
        known_files=known,
        layout=int(meta.get("layout", "0")),
        claim=meta.get("claim"),
    )


def check(found: Found, table: HistoryTable) -> None:
    """Raises what `read_history` says."""
    if found.layout > schema.LAYOUT:
        raise Permanent(
            Reason.HISTORY_FOREIGN,
            f"schema {SCHEMA} was written by a newer version (layout {found.layout}): use that version or a newer one",
        )
    if found.recorded is not None and found.recorded != table and found.known_files:
        raise Permanent(
            Reason.HISTORY_MOVED,
            f"this database's history is {found.recorded}, not {table}: name that table, or move it and mend {SCHEMA}.meta",
        )
    if found.columns is None and found.known_files:
        raise Permanent(
            Reason.HISTORY_MOVED,
            f"the history table {table} is gone, though {SCHEMA}.checksum knows {found.known_files} applied files: restore it; if they are "
            f"really undone, empty {SCHEMA}.checksum",
        )
    if found.columns is not None and sorted(found.columns) != sorted(schema.HISTORY_COLUMNS):
        whose = next((name for columns, name in _KNOWN_SHAPES if columns <= frozenset(found.columns)), "some other tool's")
        raise Permanent(
            Reason.HISTORY_FOREIGN,
            f"{table} has the columns {', '.join(found.columns)}: it looks like {whose}, and it is left alone; name another history table "
            f"(--history, spec.history, or [history] in dbmigration.toml)",
        )


def prepare(session: Session, table: HistoryTable, *, history_too: bool = True) -> None:
    """Make what is missing: schema dbmigration, and the history table with its schema. Runs in the caller's transaction.

    Raises as `read_history` does.
    """
    if session.ready_for == table:
        return
    found = look(session, table)
    check(found, table)
    statements: list[str] = []
    if not found.our_tables:
        if not found.ours_exists:
            statements.append(schema.CREATE_SCHEMA)
        statements += schema.CREATE_TABLES
    else:
        statements += schema.upgrade_from(found.layout)
    if history_too:
        meta = {"history_schema": table.schema, "history_table": table.table}
        if found.columns is None:
            if not found.schema_exists and table.schema != SCHEMA:
                statements.append(f"CREATE SCHEMA {identifier(table.schema)}")
            statements.append(schema.create_history(table))
            meta["history_made_by"] = SCHEMA
        elif found.recorded != table:
            meta["history_made_by"] = "adopted"
        if found.columns is None or found.recorded != table:
            statements.append(schema.set_meta(**meta))
    for statement in statements:
        session.query(statement)


def files_of_last_run(session: Session) -> tuple[str, ...]:
    """Names of the files that the last run which applied anything applied, in order; they need not be applied any more."""
    if not session.query(f"SELECT pg_catalog.to_regclass('{SCHEMA}.event') IS NOT NULL")[0][0]:
        return ()
    rows = session.query(
        f"""SELECT migration_name FROM {SCHEMA}.event WHERE kind = 'applied'
            AND run_id = (SELECT run_id FROM {SCHEMA}.event WHERE kind = 'applied' ORDER BY id DESC LIMIT 1) ORDER BY id"""
    )
    return tuple(name for (name,) in rows)


def made_by_us_and_empty(session: Session, table: HistoryTable) -> bool:
    """Whether the history table was made by this tool and has no row: only then may it be dropped. The table has to exist."""
    rows = session.query(
        f"""SELECT EXISTS (SELECT FROM {SCHEMA}.meta WHERE key = 'history_made_by' AND value = '{SCHEMA}')
            AND NOT EXISTS (SELECT FROM {qualified(table.schema, table.table)})"""
    )
    return bool(rows[0][0])
