"""Who stands in the way of a lock: asked right after a lock timeout, when those who outlasted it are still there."""

from dbmigration.postgres.lock import describe
from dbmigration.postgres.session import Session

FIRST_USER_OID = 16384
"""Locks on the system's own catalogs (lower oids; access/transam.h) block no migration for long."""

_AT_MOST = 5


def blockers(session: Session, waited_s: float) -> list[str]:
    """Sessions of this database that hold locks on tables in a transaction older than `waited_s` seconds, oldest first, five at most.

    The lock that was waited for is no longer known to the server, so this is who can have held it. A role without pg_read_all_stats does
    not see the age of others' transactions; then they are named all the same. Prepared transactions hold locks without a session.
    """
    rows = session.query(
        f"""
        SELECT a.pid, a.usename, a.application_name, a.state,
            EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age, NULL AS gid
        FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
            AND (a.xact_start IS NULL OR a.xact_start <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %s))
            AND EXISTS (
                SELECT FROM pg_catalog.pg_locks AS l
                WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation' AND l.relation::bigint >= {FIRST_USER_OID}
            )
        UNION ALL
        SELECT NULL, p.owner, NULL, NULL, EXTRACT(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8, p.gid
        FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = pg_catalog.current_database()
        ORDER BY age DESC NULLS LAST LIMIT {_AT_MOST}
        """,
        (waited_s,),
    )
    return [
        describe(pid, user, application, state, age) if gid is None else f"prepared transaction {gid!r} of {user}"
        for pid, user, application, state, age, gid in rows
    ]
