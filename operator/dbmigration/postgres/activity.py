"""What one server process does, as another connection sees it: what it waits for, who blocks it, which locks it has, how far it is.

Never the text of anybody's query: it can hold secrets.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dbmigration.postgres.blockers import FIRST_USER_OID
from dbmigration.postgres.lock import describe

STRENGTH: Mapping[str, int] = {
    name: number for number, name in enumerate(("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"), 1)
}
"""The modes that keep writers out, in the manual's words (13.3.1), weakest first. ACCESS EXCLUSIVE keeps readers out, too."""

_AT_MOST = 5

Query = Callable[[str, Mapping[str, object]], list[tuple[Any, ...]]]
"""Runs one statement with %(name)s parameters. Its search_path is pg_catalog alone, so that names of tables come out qualified."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock on a table that keeps writers out. `transaction` tells one transaction of the process from the next."""

    transaction: str
    mode: str
    table: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """`what` is waited for; `blockers` are sessions in words, oldest transaction first, five at most; `pids` are all of them."""

    what: str
    blockers: tuple[str, ...]
    pids: tuple[int, ...]


class Work(NamedTuple):
    """The progress that the server tells of one statement. `percent` is of the phase that `words` name, None where it is not counted."""

    words: str
    percent: int | None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `behind` counts the sessions that wait for what the process has or waits for; `work` is the progress the server tells."""

    waiting: Waiting | None
    behind: int
    holds: frozenset[Hold]
    work: Work | None


_LOCKS = f"""
WITH l AS MATERIALIZED (
    SELECT locktype, database, relation, transactionid, virtualtransaction, pid, mode, granted, waitstart
    FROM pg_locks WHERE pid = %(pid)s OR NOT granted
)
SELECT o.granted, o.locktype, o.mode, o.virtualtransaction,
    CASE WHEN c.oid IS NOT NULL THEN quote_ident(n.nspname) || '.' || quote_ident(c.relname) END,
    ARRAY(
        SELECT w.pid FROM l AS w
        WHERE NOT w.granted AND w.pid <> o.pid AND w.locktype = o.locktype AND w.database IS NOT DISTINCT FROM o.database
            AND w.relation IS NOT DISTINCT FROM o.relation AND w.transactionid IS NOT DISTINCT FROM o.transactionid
            AND (o.granted OR w.waitstart > o.waitstart)
    )
FROM l AS o
LEFT JOIN (pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace)
    ON o.locktype = 'relation' AND c.oid = o.relation AND o.database = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE o.pid = %(pid)s AND (
    NOT o.granted
    OR o.locktype = 'transactionid'
    OR o.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND c.relkind IN ('r', 'p', 'm', 'v', 'f') AND c.oid >= {FIRST_USER_OID}
)
"""
# A table that the transaction itself made has no row in pg_class that this connection sees: nobody can wait for it, and it is left out.

_BLOCKERS = """
SELECT b.pid, a.usename, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')), a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM (SELECT DISTINCT unnest(pg_blocking_pids(%(pid)s)) AS pid) AS b LEFT JOIN pg_stat_activity AS a USING (pid)
ORDER BY 5 DESC NULLS LAST, 1
"""

_PREPARED = "SELECT gid, owner FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"

_WORK = """
SELECT p.command, n.nspname, c.relname, p.phase, p.done, p.total, p.unit
FROM (
    SELECT pid, relid, command, phase,
        CASE WHEN phase LIKE 'waiting%%' THEN lockers_done WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END AS done,
        CASE WHEN phase LIKE 'waiting%%' THEN lockers_total WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END AS total,
        CASE WHEN phase LIKE 'waiting%%' THEN 'transactions' WHEN tuples_total > 0 THEN 'rows' ELSE 'blocks' END AS unit
    FROM pg_stat_progress_create_index
    UNION ALL
    SELECT pid, relid, command, phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_stat_progress_cluster
    UNION ALL
    SELECT pid, relid, 'VACUUM', phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_stat_progress_vacuum
) AS p
LEFT JOIN (pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace) ON c.oid = p.relid
WHERE p.pid = %(pid)s
"""
"""Manual, 28.4. VACUUM FULL and CLUSTER share a view; so do all ways of building an index."""


def look(query: Query, pid: int) -> Seen:
    """Two statements, four while it waits. Raises what `query` raises."""
    target = {"pid": pid}
    waiting_for: str | None = None
    behind: set[int] = set()
    holds: set[Hold] = set()
    for granted, locktype, mode, transaction, table, waiters in query(_LOCKS, target):
        behind.update(waiters)
        if not granted:
            waiting_for = _in_words(locktype, mode, table)
        elif table is not None:
            holds.add(Hold(transaction, mode_in_words(mode), table))
    waiting = _waiting(query, target, waiting_for) if waiting_for is not None else None
    work = query(_WORK, target)
    return Seen(waiting, len(behind), frozenset(holds), _work(*work[0]) if work else None)


def mode_in_words(mode: str) -> str:
    """AccessExclusiveLock is ACCESS EXCLUSIVE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper()


def _waiting(query: Query, target: Mapping[str, object], what: str) -> Waiting:
    rows = query(_BLOCKERS, target)
    words = [describe(*row) for row in rows if row[0]]
    if any(row[0] == 0 for row in rows):  # pg_blocking_pids: a lock that no session has, but a prepared transaction
        words += [f"prepared transaction {gid!r} of {owner}" for gid, owner in query(_PREPARED, {})]
    return Waiting(what, tuple(words[:_AT_MOST]), tuple(row[0] for row in rows))


def _in_words(locktype: str, mode: str, table: str | None) -> str:
    if locktype == "relation":
        return f"{mode_in_words(mode)} on {table or 'a table'}"
    if locktype == "virtualxid":
        return "transactions that began earlier"
    if locktype in ("transactionid", "tuple"):
        return "rows that another transaction has changed"
    return f"a lock ({locktype})"


def _work(command: str, schema: str | None, table: str | None, phase: str, done: int | None, total: int | None, unit: str) -> Work:
    where = f" on {schema}.{table}" if table else ""
    percent = 100 * done // total if done is not None and total else None
    far = f", {done} of {total} {unit} ({percent} %)" if percent is not None else ""
    return Work(f"{command}{where}: {phase}{far}", percent)
