"""One lock for each database: who holds it may migrate, whatever the history table is called.

A session-level advisory lock, polled: a waiter that blocks deadlocks with CREATE INDEX CONCURRENTLY by the holder, and a lock of a
transaction would keep that index build waiting for ever.
"""

import hashlib
import random
import time
from collections.abc import Callable

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres.session import Session

KEY = int.from_bytes(hashlib.sha256(b"dbmigration").digest()[:8], "big", signed=True)
"""The same for ever: runners of different versions must shut each other out. Advisory locks are per database already."""

_CLASS_ID, _OBJECT_ID = (KEY >> 32) & 0xFFFFFFFF, KEY & 0xFFFFFFFF
"""How pg_locks shows a bigint key (manual, 54.12): two halves and objsubid 1."""

_TELL_EVERY_S = 10.0

_OURS = f"locktype = 'advisory' AND classid = {_CLASS_ID} AND objid = {_OBJECT_ID} AND objsubid = 1 AND granted"


STILL_HELD = f"SELECT pg_catalog.pg_advisory_unlock({KEY}) AND pg_catalog.pg_try_advisory_lock({KEY})"
"""Whether what ran before left us the lock, which we hold twice: one of the two is given back and taken again, so nobody gets in between.

A fiftieth of what a look into pg_locks costs, and every file pays for it.
"""

_COUNT_HELD = f"SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE {_OURS} AND pid = pg_catalog.pg_backend_pid()"


def acquire(session: Session, *, wait_s: float, on_wait: Callable[[str], None]) -> None:
    """Take the lock, trying for `wait_s` seconds. `on_wait` hears who holds it, at once and every 10 s.

    Raises Transient LOCK_HELD that names the holder, or INTERRUPTED.
    """
    deadline = time.monotonic() + wait_s
    tell_at = 0.0
    while not _try(session):
        session.raise_if_stopped()
        now = time.monotonic()
        if now >= deadline:
            raise Transient(Reason.LOCK_HELD, f"another run holds this database's lock: {holder(session)}")
        if now >= tell_at:
            on_wait(f"waiting for the lock, held by {holder(session)}")
            tell_at = now + _TELL_EVERY_S
        session.stop.wait(min(random.uniform(0.2, 0.6), deadline - now))  # noqa: S311 - jitter, no secret
    session.lock_held, session.lock_lost = True, False


def check(session: Session) -> None:
    """Make sure that the lock is still this very session's. Raises Transient CONNECTION_LOST."""
    look(session)
    if not session.lock_held:
        session.lock_lost = True
    raise_if_lost(session)


def look(session: Session) -> None:
    """Ask the server whether a session that has the lock still has it; `raise_if_lost` tells later."""
    if session.lock_held and session.query(_COUNT_HELD) == [(0,)]:
        session.lock_held, session.lock_lost = False, True


def raise_if_lost(session: Session) -> None:
    """Without asking the server: what `check`, or the end of the last file, found."""
    if session.lock_lost:
        raise Transient(Reason.CONNECTION_LOST, "this session no longer holds the database's lock; nothing more is done without it")


def release(session: Session) -> None:
    """Give the lock back. Raises Transient CONNECTION_LOST when the server says that it was not ours: pg_advisory_unlock only warns."""
    session.lock_held = False
    if not session.query(f"SELECT pg_catalog.pg_advisory_unlock({KEY}), pg_catalog.pg_advisory_unlock({KEY})")[0][0]:
        raise Transient(Reason.CONNECTION_LOST, "the database's lock was not held when it was given back")


def holder(session: Session) -> str:
    """Who holds the lock now: process id, user, application, state and age of its connection. What a role may not see is left out."""
    rows = session.query(
        f"""SELECT a.pid, a.usename, a.application_name, a.state,
                EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.backend_start)::int
            FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a USING (pid)
            WHERE {_OURS} AND l.database = a.datid AND a.datname = pg_catalog.current_database()"""
    )
    return describe(*rows[0]) if rows else "a session that has just ended"


def describe(pid: int, user: str | None, application: str | None, state: str | None, age_s: float | None) -> str:
    """A session in words, without its query: that can hold secrets."""
    parts = [f"process {pid}"]
    if user:
        parts.append(f"user {user}")
    if application:
        parts.append(f"application {application}")
    if state:
        parts.append(state)
    if age_s is not None:
        parts.append(f"for {age_s:.0f} s")
    return ", ".join(parts)


def _try(session: Session) -> bool:
    """A session may take a lock several times and then has to give each back, so who has it does not ask again. Twice: see `STILL_HELD`."""
    twice = f"SELECT pg_catalog.pg_try_advisory_lock({KEY}) AND pg_catalog.pg_try_advisory_lock({KEY})"
    return session.lock_held or session.query(twice) == [(True,)]
