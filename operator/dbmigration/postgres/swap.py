"""Put a restored database in the place of the one that is in use: two renames in one transaction, so that there is no half of it."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient, Usage
from dbmigration.postgres import carry, lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings

_APPLICATION: Final = "dbmigration/swap"
_NAME_BYTES: Final = 63
_TRIES: Final = 3
_END_EVERY_S: Final = 0.05
_IN_USE: Final = "55006"
_CONNECTED: Final = """SELECT pid, usename FROM pg_catalog.pg_stat_activity
WHERE datname = ANY (%s) AND usename IS NOT NULL"""
"""RENAME ends autovacuum, which is nobody's, itself. What else a session is, a role without pg_read_all_stats does not see."""


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """`restored` becomes `name`, and what is called `name` now stays as `kept_as`. `sessions`: who is connected to it, with how many.

    `set_aside`: once it is done, the files that are recorded in the old database and were not in the restored one (see `carry.set_aside`).
    """

    name: str
    restored: str
    kept_as: str
    sessions: dict[str, int]
    set_aside: tuple[str, ...] = ()


def swap(
    conninfo: ConnInfo,
    restored: str,
    *,
    maintenance: str,
    wait_s: float,
    say: Callable[[str], None],
    confirm: Callable[[SwapPlan], bool],
    by: str = _APPLICATION,
    identity: str | None = None,
    allow_slots: bool = False,
) -> SwapPlan | None:
    """Rename the database of `conninfo` out of the way and `restored` to its name. Returns what was done; None: `confirm` said no.

    Owner, grants, settings, connection limit, comment and the resource's claim are carried over before, and files of the old database that
    the restored one has not are recorded there as rolled back, `by` whom is said. Orders come from the database `maintenance`. Both
    databases' migration locks are held, so no migration is cut off; every other session in them is ended, and who connects meanwhile waits
    and finds the new one. Whatever fails, both databases keep their names. `identity`: what `restored` has to be, system identifier and
    oid. `allow_slots`: replication slots and subscriptions are no obstacle, and stay with their database.

    Raises Usage where `restored` cannot be meant, Permanent SWAP_FAILED for another `identity`, replication slots, subscriptions and
    prepared transactions, Transient LOCK_HELD while a migration runs and SWAP_FAILED when sessions could not be ended, and what the
    server says.
    """
    with ExitStack() as stack:

        def session_in(database: str | None = None) -> Session:
            where = conninfo if database is None else ConnInfo({**conninfo.parameters, "dbname": database})
            return stack.enter_context(connect(where, application_name=_APPLICATION, settings=Settings()))

        live = session_in()
        name = live.server.database
        if restored == name or maintenance in (name, restored):
            raise Usage(
                Reason.SPEC_INVALID, f"{restored!r}, {name!r} and the maintenance database {maintenance!r} have to be three databases"
            )
        outside = session_in(maintenance)
        if not _exists(outside, restored):
            raise Usage(Reason.SPEC_INVALID, f"there is no database {restored!r} on this server")
        copy = session_in(restored)
        if identity is not None and copy.server.identity != identity:
            raise Permanent(
                Reason.SWAP_FAILED, f"Nothing was swapped: database {restored} is not the one that was restored, but was made since."
            )
        for session in (live, copy):
            lock.acquire(session, wait_s=wait_s, on_wait=say)
        _refuse_what_would_break(outside, (name, restored), allow_slots=allow_slots)
        plan = SwapPlan(name, restored, _name_for_old(outside, name), _sessions(outside, name))
        if not confirm(plan):
            return None
        aside = carry.set_aside(live, copy, by=by, say=say)
        carry.carry_claim(live, copy, say)
        carry.carry_properties(outside, plan.name, plan.restored, say)
        _rename(outside, session_in(maintenance), plan)
    return replace(plan, set_aside=aside)


_SLOTS: Final = """SELECT 'replication slot ' || slot_name || ' of ' || database
    FROM pg_catalog.pg_replication_slots WHERE database = ANY (%s)
UNION ALL SELECT 'subscription ' || subname || ' of ' || datname FROM pg_catalog.pg_subscription
    JOIN pg_catalog.pg_database AS d ON d.oid = subdbid WHERE datname = ANY (%s)"""
_PREPARED: Final = "SELECT 'prepared transaction ' || gid || ' in ' || database FROM pg_catalog.pg_prepared_xacts WHERE database = ANY (%s)"


def _refuse_what_would_break(outside: Session, names: tuple[str, str], *, allow_slots: bool) -> None:
    """Slots and subscriptions belong to a database by its oid and would go on with the old one; a prepared transaction holds it."""
    looks = (_PREPARED,) if allow_slots else (_SLOTS, _PREPARED)
    arguments = [list(names)] * "".join(looks).count("%s")
    found = outside.query(f"{' UNION ALL '.join(looks)} ORDER BY 1", tuple(arguments))
    if found:
        raise Permanent(
            Reason.SWAP_FAILED,
            f"Nothing was swapped: {', '.join(row[0] for row in found)} would be left with the old database. Drop or end it "
            "first, and make it again afterwards.",
        )


def _name_for_old(outside: Session, name: str) -> str:
    at = datetime.now(UTC)
    while True:
        ending = f"_before_{at:%Y%m%dT%H%M%SZ}"
        free = name.encode()[: _NAME_BYTES - len(ending)].decode(errors="ignore") + ending
        if not _exists(outside, free):
            return free
        at += timedelta(seconds=1)


def _exists(outside: Session, name: str) -> bool:
    return bool(outside.query("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,)))


def _sessions(outside: Session, name: str) -> dict[str, int]:
    rows = outside.query(
        """SELECT coalesce(nullif(application_name, ''), usename, 'unknown'), pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
        WHERE datname = %s AND usename IS NOT NULL AND application_name IS DISTINCT FROM %s GROUP BY 1 ORDER BY 2 DESC, 1""",
        (name, _APPLICATION),
    )
    return dict(rows)


def _rename(outside: Session, ender: Session, plan: SwapPlan) -> None:
    """RENAME locks the database against new sessions and waits up to 5 s for those that are there: they are ended meanwhile."""
    ending = _Ending(ender, (plan.name, plan.restored))
    for _ in range(_TRIES):
        try:
            with ending:
                outside.query("BEGIN")
                outside.query(f"ALTER DATABASE {identifier(plan.name)} RENAME TO {identifier(plan.kept_as)}")
                outside.query(f"ALTER DATABASE {identifier(plan.restored)} RENAME TO {identifier(plan.name)}")
                outside.query("COMMIT")
        except DbmigrationError as error:
            outside.roll_back()
            if error.place.sqlstate != _IN_USE:
                raise
        else:
            return
    why = ending.refused or "sessions stay connected or come back at once"
    raise Transient(
        Reason.SWAP_FAILED,
        f"Nothing was swapped: databases {plan.name} and {plan.restored} are in use ({why}). Stop what connects to them, or connect as a "
        "superuser or a member of pg_signal_backend, and try again.",
    )


class _Ending:
    """While it is entered, every session of these databases is ended again and again, in a thread with a session of its own."""

    def __init__(self, session: Session, names: tuple[str, str]) -> None:
        self._session = session
        self._names = list(names)
        self._done = threading.Event()
        self._thread = threading.Thread()
        self.refused: str | None = None

    def __enter__(self) -> None:
        self._done.clear()
        self._thread = threading.Thread(target=self._run, name="end-sessions", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_END_EVERY_S):
            try:
                rows = self._session.query(_CONNECTED, (self._names,))
                for pid, user in rows:
                    self._end(pid, user)
            except DbmigrationError as error:
                self.refused = error.message
                return

    def _end(self, pid: int, user: str) -> None:
        try:
            self._session.query("SELECT pg_catalog.pg_terminate_backend(%s)", (pid,))
        except DbmigrationError as error:
            self.refused = f"the session of {user}: {error.message}"
