"""What on the server can make a run wait, fail or be noticed by users, looked for before it starts. Warnings: none of it forbids a run.

What forbids one is found elsewhere: a replica and a pooler by `session.connect`, a backup volume that is too small by `backup.space`. How
full the server's own disk is cannot be asked over SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from dbmigration.postgres.blockers import FIRST_USER_OID
from dbmigration.postgres.lock import describe
from dbmigration.postgres.session import Session

OLD_S = 60
"""Seconds after which a transaction is long: whatever waits for it waits longer than all lock timeouts of one file together allow for."""

FREE_SLOTS = 3
"""The backup and the monitor need one connection each beside the run's own; one more is left for the application."""

_STOPS_AT = 2**31 - 3_000_000
"""Transactions after the oldest unfrozen one with which the server takes no more (manual, 25.1.5.1)."""

_NAMED = 5


class Kind(StrEnum):
    """What was found."""

    LONG_TRANSACTION = "long transaction"
    FOREIGN_DUMP = "foreign pg_dump"
    WRAPAROUND_VACUUM = "wraparound vacuum"
    PREPARED_TRANSACTION = "prepared transaction"
    HIDDEN_SESSIONS = "hidden sessions"
    INVALID_INDEX = "INVALID index"
    CONNECTION_SLOTS = "connection slots"
    WRAPAROUND = "wraparound"


@dataclass(frozen=True, slots=True)
class Concern:
    """`message`: what it is, what it does to the run, and the way out. Names and numbers, no query text and no row value."""

    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"WARNING: {self.message}"


_Row = tuple[str, int | None, str | None, str | None, str | None, float | None]
"""kind, a number, three words, and seconds or another number."""

_LOOK = f"""
WITH others AS MATERIALIZED (
    SELECT a.pid, a.usename, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')) AS application, a.state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age, a.backend_type,
        a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL AS has_snapshot,
        a.pid IN (SELECT pid FROM pg_locks WHERE locktype = 'relation' AND granted AND relation >= {FIRST_USER_OID}) AS has_locks,
        a.backend_type = 'autovacuum worker' AND a.query LIKE '%(to prevent wraparound)' AS against_wraparound
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
), slots AS (
    SELECT count(*) AS used, count(*) FILTER (WHERE datname = current_database()) AS here,
        count(*) FILTER (WHERE usename = session_user) AS mine
    FROM pg_stat_activity WHERE datid IS NOT NULL AND backend_type IS DISTINCT FROM 'autovacuum worker'
)
SELECT CASE WHEN application = 'pg_dump' THEN '{Kind.FOREIGN_DUMP}' WHEN against_wraparound THEN '{Kind.WRAPAROUND_VACUUM}'
        ELSE '{Kind.LONG_TRANSACTION}' END, pid::bigint, usename::text, application, state, age
FROM others
WHERE application = 'pg_dump' OR against_wraparound
    OR age >= {OLD_S} AND (has_snapshot OR has_locks) AND coalesce(backend_type, 'client backend') = 'client backend'
UNION ALL
SELECT '{Kind.PREPARED_TRANSACTION}', NULL, owner::text, gid, NULL, extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts WHERE database = current_database() AND prepared <= clock_timestamp() - make_interval(secs => {OLD_S})
UNION ALL
SELECT '{Kind.HIDDEN_SESSIONS}', count(*), session_user::text, NULL, NULL, NULL
FROM others WHERE has_locks AND state IS NULL AND backend_type IS NULL HAVING count(*) > 0
UNION ALL
SELECT '{Kind.INVALID_INDEX}', NULL, quote_ident(n.nspname) || '.' || quote_ident(c.relname), i.indrelid::regclass::text, NULL, NULL
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i' JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
UNION ALL
SELECT '{Kind.CONNECTION_SLOTS}', free, NULL, NULL, NULL, NULL
FROM (
    SELECT least(
        current_setting('max_connections')::int - used - CASE WHEN r.rolsuper THEN 0 ELSE
            current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0) END,
        CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit - here END,
        CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit - mine END
    ) AS free
    FROM slots, pg_database AS d, pg_roles AS r WHERE d.datname = current_database() AND r.rolname = session_user
) AS s
WHERE free < {FREE_SLOTS}
UNION ALL
SELECT '{Kind.WRAPAROUND}', age(datfrozenxid)::bigint, datname::text, 'transactions', NULL, NULL
FROM pg_database WHERE age(datfrozenxid) >= current_setting('vacuum_failsafe_age')::int
UNION ALL
SELECT '{Kind.WRAPAROUND}', mxid_age(datminmxid)::bigint, datname::text, 'multixacts', NULL, NULL
FROM pg_database WHERE mxid_age(datminmxid) >= current_setting('vacuum_multixact_failsafe_age')::int
"""
# INVALID partitioned indexes (relkind I) are left out: an index made ON ONLY the parent is so until its last partition is attached.


def look_before(session: Session) -> tuple[Concern, ...]:
    """One round trip. What a role may not see (others' transactions, without pg_read_all_stats) is said where it matters.

    Raises as `Session.query` does.
    """
    order = list(Kind)
    rows = sorted(session.query(_LOOK), key=lambda row: (order.index(Kind(row[0])), -(row[5] or 0), row[1:5]))
    return tuple(concern for kind, found in groupby(rows, key=lambda row: Kind(row[0])) for concern in _in_words(kind, list(found)))


def _in_words(kind: Kind, rows: Sequence[_Row]) -> list[Concern]:
    if kind is Kind.INVALID_INDEX:
        return [Concern(kind, _invalid_indexes(rows))]
    said = [Concern(kind, _said(*row)) for row in rows[:_NAMED]]
    if len(rows) > _NAMED:
        said.append(Concern(kind, f"and {len(rows) - _NAMED} more of these: {kind}"))
    return said


def _said(kind: str, number: int | None, first: str | None, second: str | None, third: str | None, age_s: float | None) -> str:
    who = describe(number, first, second, third, None) if number is not None else ""
    since = f" for {age_s:.0f} s" if age_s is not None else ""
    match Kind(kind):
        case Kind.LONG_TRANSACTION:
            return (
                f"a transaction has been open{since}: {who}; what it has read or written cannot be altered, and CREATE INDEX CONCURRENTLY "
                f"waits for its end. Let it finish, or end it with SELECT pg_terminate_backend({number})"
            )
        case Kind.FOREIGN_DUMP:
            return (
                f"somebody else's pg_dump is running{since}: {who}; it locks every table against being altered until it ends. Wait for it"
            )
        case Kind.WRAPAROUND_VACUUM:
            return f"an autovacuum against transaction ID wraparound is running{since}: {who}; it gives way to nobody. Wait for it"
        case Kind.PREPARED_TRANSACTION:
            return (
                f"prepared transaction {second!r} of {first} has been waiting for its second phase{since} and keeps its locks: "
                "COMMIT PREPARED or ROLLBACK PREPARED, by whoever knows which"
            )
        case Kind.HIDDEN_SESSIONS:
            return (
                f"{number} session{'' if number == 1 else 's'} of other roles with locks on tables: since when is hidden from {first}. "
                f"GRANT pg_read_all_stats TO {first} to be warned of long transactions"
            )
        case Kind.CONNECTION_SLOTS:
            left = max(number or 0, 0)
            return f"{left} more connection{'' if left == 1 else 's'} can be made; a backup needs one, and so does the watch over locks"
        case _:  # WRAPAROUND; INVALID indexes are said together
            return (
                f"database {first} is {number} {second} behind in being frozen; near {_STOPS_AT} the server takes no more writes. "
                "Run VACUUM (FREEZE) there, and end what holds it back: old transactions, prepared transactions, replication slots"
            )


def _invalid_indexes(rows: Sequence[_Row]) -> str:
    names = ", ".join(f"{row[2]} (of {row[3]})" for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return (
        f"INVALID: {names}{more}; a build that failed left it behind, no query uses it and every write pays for it. "
        "REINDEX INDEX CONCURRENTLY or DROP INDEX CONCURRENTLY; a file of ours that left it drops it itself when it goes on"
    )
