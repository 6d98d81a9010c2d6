"""What must hold after a round, whatever its files were."""

import psycopg

from tests.engine.server import wait_until
from tests.soak.sets import Check, RandomSet
from tests.soak.undoing import Undoing

TABLE = "dbmigration.schema_migrations"


class Broken(AssertionError):
    """A promise did not hold."""


Connection = psycopg.Connection[tuple[object, ...]]


def check_round(connection: "Connection", files: RandomSet) -> None:
    """Every statement's effect exactly once, a history equal to that, no remains. Raises Broken that says which is not so."""
    _check(connection, files.checks, files.migrations, files.migrations, [])


def check_undone(connection: "Connection", files: RandomSet, undoing: Undoing) -> None:
    """The same after a rollback: what is left, and every statement of the scripts exactly once."""
    _check(connection, undoing.checks, files.migrations, undoing.kept, undoing.gone[::-1])


def _check(connection: "Connection", checks: list[Check], applied: list[str], left: list[str], undone: list[str]) -> None:
    wait_until(lambda: not _rows(connection, _SESSIONS), "the sessions of all runs have ended", 15)
    for check in [*checks, *_always(applied, left, undone)]:
        found = _rows(connection, check.query)
        if found != check.rows:
            raise Broken(f"{check.what}: {_difference(found, check.rows)}")


_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'dbmigration/%' AND datname = current_database()"

_NO_TOAST = "relnamespace <> 'pg_toast'::regnamespace"
"""REINDEX TABLE CONCURRENTLY that is cut off may leave one there, which only a superuser can drop: the run warns of it."""


def _always(applied: list[str], left: list[str], undone: list[str]) -> list[Check]:
    return [
        Check("history", f"SELECT migration_name FROM {TABLE} ORDER BY id", _column(left)),
        Check("checksums", "SELECT migration_name FROM dbmigration.checksum ORDER BY 1", _column(left)),
        Check("events", "SELECT migration_name FROM dbmigration.event WHERE kind = 'applied' ORDER BY id", _column(applied)),
        Check("rollbacks", "SELECT migration_name FROM dbmigration.event WHERE kind = 'rolled_back' ORDER BY id", _column(undone)),
        Check("progress that is left", "SELECT migration_name, statement FROM dbmigration.progress", []),
        Check("INVALID indexes", f"SELECT oid::regclass::text FROM pg_class JOIN pg_index ON indexrelid = oid WHERE {_NO_TOAST}"
              " AND NOT (indisvalid AND indisready AND indislive)", []),
        Check("remains of REINDEX", f"SELECT relname::text FROM pg_class WHERE {_NO_TOAST} AND relname ~ '_cc(new|old)[0-9]*$'", []),
        Check("locks", "SELECT pid FROM pg_locks WHERE locktype = 'advisory'", []),
        Check("prepared transactions", "SELECT gid FROM pg_prepared_xacts", []),
    ]  # fmt: skip


def _column(names: list[str]) -> list[tuple[object, ...]]:
    return [(name,) for name in names]


def _rows(connection: "Connection", query: str) -> list[tuple[object, ...]]:
    return connection.execute(query.encode()).fetchall()


def _difference(found: list[tuple[object, ...]], wanted: list[tuple[object, ...]]) -> str:
    missing = [row for row in wanted if row not in found]
    extra = [row for row in found if row not in wanted]
    return f"missing {missing[:10]}, not wanted {extra[:10]}" if missing or extra else f"{found[:10]}, in another order than {wanted[:10]}"
