"""What a restored database is given before it takes the place of another: whose it is, what must not run in it, and its properties."""

from collections.abc import Callable
from typing import Final

from dbmigration.errors import DbmigrationError
from dbmigration.migrations.model import ROLLBACK_PREFIX, HistoryTable
from dbmigration.postgres import claim, history
from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session
from dbmigration.postgres.temporary import setting_words

_DENIED: Final = "42501"

_RECORDED: Final = f"""SELECT migration_name, algorithm, checksum FROM {SCHEMA}.checksum
UNION ALL SELECT DISTINCT migration_name, NULL, file_checksum FROM {SCHEMA}.progress
    WHERE NOT pg_catalog.starts_with(migration_name, '{ROLLBACK_PREFIX}')
ORDER BY 1"""
"""Files that are applied, and those that were begun."""


def set_aside(live: Session, copy: Session, *, by: str, say: Callable[[str], None]) -> tuple[str, ...]:
    """Record in `copy` that the files of `live` which it has not were rolled back. Returns their names.

    One of them is what the backup is brought back for: it must not run again, as it is, by itself. Its text has to change, or a person
    asks for it. Both databases' locks are held. Raises as `history.prepare` and `Session.query` do, with nothing written.
    """
    if not _has_ours(live):
        return ()
    known = {name for name, *_ in copy.query(_RECORDED)} if _has_ours(copy) else set()
    lacking = [row for row in live.query(_RECORDED) if row[0] not in known]
    if not lacking:
        return ()
    names = tuple(name for name, *_ in lacking)
    found = history.look(copy, HistoryTable())
    try:
        copy.query("BEGIN")
        history.prepare(copy, found.recorded or HistoryTable(), history_too=False)
        for name, algorithm, checksum in lacking:
            copy.query(
                f"""INSERT INTO {SCHEMA}.event (actor, run_id, kind, migration_name, detail) VALUES (%s, %s, 'rolled_back', %s,
                    pg_catalog.jsonb_build_object('checksum', %s::text, 'algorithm', %s::text, 'by', 'swap'))""",
                (copy.actor, by, name, checksum, algorithm),
            )
        copy.query("COMMIT")
    finally:
        copy.roll_back()
    say(f"not in the restored database, so recorded there as rolled back: {', '.join(names)}; they run again when their text changes")
    return names


def _has_ours(session: Session) -> bool:
    return history.look(session, HistoryTable()).our_tables


def carry_claim(live: Session, copy: Session, say: Callable[[str], None]) -> None:
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


def carry_properties(outside: Session, live: str, copy: str, say: Callable[[str], None], *, live_session: Session | None = None) -> None:
    """On the restored database, while it still has its own name: a failure here has changed nothing that is in use.

    `live_session`: where `live` is on another server, a session there.
    """
    name = identifier(copy)
    of_live = live_session or outside
    owner, limit = of_live.query(
        "SELECT pg_catalog.pg_get_userbyid(datdba), datconnlimit FROM pg_catalog.pg_database WHERE datname = %s", (live,)
    )[0]
    comment = of_live.query(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s", (live,)
    )[0][0]
    _try(outside, f"COMMENT ON DATABASE {name} IS {'NULL' if comment is None else literal(comment)}", say)
    outside.query(f"ALTER DATABASE {name} OWNER TO {identifier(owner)}")
    outside.query(f"ALTER DATABASE {name} CONNECTION LIMIT {limit:d}")
    for grantee, _, _ in _grants(outside, copy):
        outside.query(f"REVOKE ALL ON DATABASE {name} FROM {grantee}")
    for grantee, privilege, grantable in _grants(of_live, live):
        outside.query(f"GRANT {privilege} ON DATABASE {name} TO {grantee}{' WITH GRANT OPTION' if grantable else ''}")
    settings = _settings(of_live, live)
    for role in {role for role, _ in _settings(outside, copy)}:
        _try(outside, f"ALTER {_subject(role, name)} RESET ALL", say)
    for role, stored in settings:
        _try(outside, f"ALTER {_subject(role, name)} SET {setting_words(stored)}", say)


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


def _try(outside: Session, order: str, say: Callable[[str], None]) -> None:
    try:
        outside.query(order)
    except DbmigrationError as error:
        if error.place.sqlstate != _DENIED:
            raise
        say(f"not carried over, role {outside.server.user} may not: {order}")
