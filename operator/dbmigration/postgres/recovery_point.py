"""Where in its write-ahead log a server is, for whoever has to recover it to before a change, and whether that log is archived."""

from datetime import datetime
from typing import NamedTuple

from dbmigration.errors import DbmigrationError
from dbmigration.postgres.session import Session

_WHERE = """SELECT pg_catalog.pg_current_wal_lsn()::text, pg_catalog.clock_timestamp(),
CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal END, last_failed_time
FROM pg_catalog.pg_stat_archiver"""


class RecoveryPoint(NamedTuple):
    """`lsn` as recovery_target_lsn takes it ("0/16B3748"), None where it cannot be read; `at` by the server's clock, None likewise.

    `warning`: the server fails to archive its log, so that a recovery may not come this far.
    """

    lsn: str | None = None
    at: datetime | None = None
    warning: str | None = None


def read_recovery_point(session: Session) -> RecoveryPoint:
    """What was committed up to here is before the change. A server that does not tell is no error; one that is gone raises."""
    try:
        ((lsn, at, failing, since),) = session.query(_WHERE)
    except DbmigrationError:
        if session.connection.closed:
            raise
        return RecoveryPoint()
    if failing is None:
        return RecoveryPoint(lsn, at)
    return RecoveryPoint(
        lsn, at, f"the server could not archive {failing} at {since:%Y-%m-%dT%H:%M:%SZ}, and nothing since: look in its log"
    )
