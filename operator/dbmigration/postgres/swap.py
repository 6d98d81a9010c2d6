"""Put a restored database in the place of the one that is in use: two renames in one transaction, so that there is no half of it."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient, Usage
from dbmigration.postgres import claim, lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.postgres.temporary import setting_words

_APPLICATION: Final = "dbmigration/swap"
_NAME_BYTES: Final = 63
_TRIES: Final = 3
_END_EVERY_S: Final = 0.05
_IN_USE: Final = "55006"
_DENIED: Final = "42501"
_CONNECTED: Final = """SELECT pid, usename FROM pg_catalog.pg_stat_activity
WHERE datname = ANY (%s) AND usename IS NOT NULL"""
"""RENAME ends autovacuum, which is nobody's, itself. What else a session is, a role without pg_read_all_stats does not see."""


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """`restored` becomes `name`, and what is called `name` now stays as `kept_as`. `sessions`: who is connected to it, with how many."""

    name: str
    restored: str
    kept_as: str
    sessions: dict[str, int]


def swap(
    conninfo: ConnInfo,
    restored: str,
    *,
    maintenance: str,
    wait_s: float,
    say: Callable[[str], None],
    confirm: Callable[[SwapPlan], bool],
) -> SwapPlan | None:
    """Rename the database of `conninfo` out of the way and `restored` to its name. Returns what was done; None: `confirm` said no.

    Owner, grants, settings, connection limit and the resource's claim are carried over before. Orders come from the database
    `maintenance`. Both databases' migration locks are held, so no migration is cut off; every other session in them is ended, and who
    connects meanwhile waits and finds the new one. Whatever fails, both databases keep their names.

    Raises Usage where `restored` cannot be meant, Permanent RESTORE_FAILED for replication slots, subscriptions and prepared
    transactions, Transient LOCK_HELD while a migration runs and RESTORE_FAILED when sessions could not be ended, and what the server says.
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
        for session in (live, copy):
            lock.acquire(session, wait_s=wait_s, on_wait=say)
        _refuse_what_would_break(outside, (name, restored))
        plan = SwapPlan(name, restored, _name_for_old(outside, name), _sessions(outside, name))
        if not confirm(plan):
            return None
        _carry_claim(live, copy, say)
        _carry_properties(outside, plan, say)
        _rename(outside, session_in(maintenance), plan)
    return plan


def _refuse_what_would_break(outside: Session, names: tuple[str, str]) -> None:
    """Slots and subscriptions belong to a database by its oid and would go on with the old one; a prepared transaction holds it."""
    found = outside.query(
        """SELECT 'replication slot ' || slot_name || ' of ' || database FROM pg_catalog.pg_replication_slots WHERE database = ANY (%s)
        UNION ALL SELECT 'subscription ' || subname || ' of ' || datname FROM pg_catalog.pg_subscription
            JOIN pg_catalog.pg_database AS d ON d.oid = subdbid WHERE datname = ANY (%s)
        UNION ALL SELECT 'prepared transaction ' || gid || ' in ' || database FROM pg_catalog.pg_prepared_xacts WHERE database = ANY (%s)
        ORDER BY 1""",
        (list(names),) * 3,
    )
    if found:
        raise Permanent(
            Reason.RESTORE_FAILED,
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


def _carry_claim(live: Session, copy: Session, say: Callable[[str], None]) -> None:
    """The resource that migrates the database goes on migrating what gets its name."""
    text = _claim_of(live)
    found = claim.read(text, live.server.identity)
    if found is None:
        return
    if not _has_meta(copy):
        say(f"{found.owner} migrates this database; the backup is older than that, so the next run claims it again")
        return
    moved = claim.Claim(found.owner, copy.server.identity).to_json()
    copy.query(
        f"INSERT INTO {SCHEMA}.meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
        (claim.META_KEY, moved),
    )


def _claim_of(session: Session) -> str | None:
    if not _has_meta(session):
        return None
    rows = session.query(f"SELECT value FROM {SCHEMA}.meta WHERE key = %s", (claim.META_KEY,))
    return rows[0][0] if rows else None


def _has_meta(session: Session) -> bool:
    found: bool = session.query("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.meta",))[0][0]
    return found


def _carry_properties(outside: Session, plan: SwapPlan, say: Callable[[str], None]) -> None:
    """On the restored database, while it still has its own name: a failure here has changed nothing that is in use."""
    name = identifier(plan.restored)
    owner, limit = outside.query(
        "SELECT pg_catalog.pg_get_userbyid(datdba), datconnlimit FROM pg_catalog.pg_database WHERE datname = %s", (plan.name,)
    )[0]
    outside.query(f"ALTER DATABASE {name} OWNER TO {identifier(owner)}")
    outside.query(f"ALTER DATABASE {name} CONNECTION LIMIT {limit:d}")
    for grantee, _, _ in _grants(outside, plan.restored):
        outside.query(f"REVOKE ALL ON DATABASE {name} FROM {grantee}")
    for grantee, privilege, grantable in _grants(outside, plan.name):
        outside.query(f"GRANT {privilege} ON DATABASE {name} TO {grantee}{' WITH GRANT OPTION' if grantable else ''}")
    of_copy, of_live = _settings(outside, plan.restored), _settings(outside, plan.name)
    for role in {role for role, _ in of_copy}:
        _set(outside, _subject(role, name), "RESET ALL", say)
    for role, stored in of_live:
        _set(outside, _subject(role, name), f"SET {setting_words(stored)}", say)


def _grants(outside: Session, name: str) -> list[tuple[str, str, bool]]:
    """Who may what: a quoted role or PUBLIC, a privilege, whether it may be passed on. Nobody's own rights as the owner."""
    rows = outside.query(
        """SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
        FROM pg_catalog.pg_database AS d,
            LATERAL pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a
        WHERE d.datname = %s AND a.grantee <> d.datdba""",
        (name,),
    )
    return [("PUBLIC" if role is None else identifier(role), privilege, grantable) for role, privilege, grantable in rows]


def _settings(outside: Session, name: str) -> list[tuple[str | None, str]]:
    """The role (None: everybody) and each of its settings in the database, as stored."""
    return outside.query(
        """SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole) END, pg_catalog.unnest(s.setconfig)
        FROM pg_catalog.pg_db_role_setting AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase WHERE d.datname = %s""",
        (name,),
    )


def _subject(role: str | None, database: str) -> str:
    return f"DATABASE {database}" if role is None else f"ROLE {identifier(role)} IN DATABASE {database}"


def _set(outside: Session, subject: str, what: str, say: Callable[[str], None]) -> None:
    try:
        outside.query(f"ALTER {subject} {what}")
    except DbmigrationError as error:
        if error.place.sqlstate != _DENIED:
            raise
        say(f"not carried over, role {outside.server.user} may not: ALTER {subject} {what}")


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
        Reason.RESTORE_FAILED,
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
            if error.place.sqlstate != _DENIED:
                raise
            self.refused = f"the session of {user}: {error.message}"
