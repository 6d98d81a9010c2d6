"""Read a database's schema."""

from typing import Final

from dbmigration.catalog import others, relations
from dbmigration.catalog.fingerprint import fingerprint
from dbmigration.catalog.model import ON, Snapshot
from dbmigration.catalog.select import query
from dbmigration.errors import DbmigrationError
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.session import Session

_SELECTS: Final = (*relations.SELECTS, *others.SELECTS)

_TRIES: Final = 3
"""pg_get_… functions look at the newest catalog, the query at its snapshot: an object dropped in between is an error that passes."""

_OBJECT_GONE: Final = frozenset({"XX000", "42P01", "42704", "42883", "42703"})

_SETTINGS: Final = {
    # Names outside pg_catalog are qualified, and constants in definitions are written alike, whatever the role's own settings are.
    "search_path": "''",
    "timezone": "'UTC'",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "'postgres'",
    "extra_float_digits": "1",
    "bytea_output": "'hex'",
    "quote_all_identifiers": "off",
    "lc_monetary": "'C'",
    # JIT would compile a query that runs once; a parallel worker costs more than it brings.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "statement_timeout": "0",
}
_BEGIN: Final = "; ".join(
    ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", *(f"SET LOCAL {name} = {value}" for name, value in _SETTINGS.items())]
)


def take_snapshot(session: Session, table: HistoryTable | None = None) -> Snapshot:
    """The schema as it is now, without `table` (None: the default place) and without what is ours.

    Four round trips, in a read-only transaction of their own: the session must not be in one. Takes no lock on any table, reads no row.
    Raises as `Session.query` does.
    """
    return take_with_fingerprint(session, table or HistoryTable())[0]


def take_with_fingerprint(session: Session, table: HistoryTable) -> tuple[Snapshot, str]:
    """The same, and the fingerprint of exactly this state."""
    look = f"SELECT {fingerprint(table)}, ARRAY[{', '.join(select.there for select in _SELECTS)}]"
    for tries_left in reversed(range(_TRIES)):
        try:
            session.query(_BEGIN)
            mark, there = session.query(look)[0]
            rows = session.query(query({number: _SELECTS[number] for number, found in enumerate(there) if found}, table))
            session.query("COMMIT")
            break
        except DbmigrationError as error:
            session.roll_back()
            if not tries_left or error.place.sqlstate not in _OBJECT_GONE:
                raise
    objects = dict[str, dict[str, str]]()
    for number, kind, name, on, values in rows:
        select = _SELECTS[number]
        parts = {part: value for part, value in zip(select.parts, values, strict=True) if value is not None}
        if select.is_gone(kind, parts):
            continue
        if on is not None:
            parts[ON] = on
        objects[f"{kind} {name}"] = parts
    return Snapshot(dict(sorted(objects.items())), session.server.major), mark
