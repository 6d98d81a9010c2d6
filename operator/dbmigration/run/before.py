"""What is looked at between the plan and the backup, and only where something is to be done."""

from collections.abc import Callable
from typing import Final

from dbmigration.api.names import BACKUP_SECRET
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient
from dbmigration.postgres.session import Server, Session
from dbmigration.run.options import BackupTarget, ExternalBackup
from dbmigration.run.result import RunResult, now

_SESSION: Final = "SELECT datname::text, usename::text, application_name FROM pg_catalog.pg_stat_activity WHERE pid = %s"
"""What every role may see of every session."""


def look_before(session: Session, result: RunResult, say: Callable[[str], None]) -> None:
    """Put into the result, and say, what on the server can make the run wait or fail. It forbids nothing, nor does a look that fails."""
    from dbmigration.postgres.precheck import look_before as look

    try:
        found = tuple(str(concern) for concern in look(session))
    except DbmigrationError as error:
        if session.connection.closed:
            raise
        found = (f"WARNING: what stands in the way on the server could not be looked for: {error.message}",)
    _warn(found, result, say)


def who_dumps(session: Session, target: BackupTarget) -> Server:
    """The server as `target.conninfo` finds it, which has to be the one that `session` is connected to, and its database.

    Raises Transient BACKUP_DATABASE_MISMATCH, also for a copy of the server or its standby, which have the same identity but not the
    session; and what `connect` raises.
    """
    from dbmigration.postgres.session import connect
    from dbmigration.postgres.settings import Settings

    assert target.conninfo is not None  # noqa: S101 - the caller has looked
    try:
        with connect(target.conninfo, application_name="dbmigration/backup", settings=Settings(writable=False)) as other:
            seen = other.query(_SESSION, (session.pid,))
    except DbmigrationError as error:
        error.message = f"{BACKUP_SECRET}: {error.message}"
        raise
    same = other.server.identity == session.server.identity
    if not same or seen != session.query(_SESSION, (session.pid,)):
        found = f"database {other.server.database} (identity {other.server.identity})"
        wanted = f"{session.server.database} (identity {session.server.identity})"
        copy = "; it has that identity, but is another server: a copy or a standby" if same else ""
        raise Transient(
            Reason.BACKUP_DATABASE_MISMATCH,
            f"{BACKUP_SECRET} leads to {found} and not to {wanted}, which is migrated{copy}. Nothing was dumped, nothing was migrated",
        )
    return other.server


def check_space(session: Session, target: BackupTarget, result: RunResult, say: Callable[[str], None]) -> int:
    """The database's bytes. Raises Transient BACKUP_SPACE_LOW before the dump is begun, and what `Session.query` raises."""
    from dbmigration.backup.space import check_space as check
    from dbmigration.postgres.sizes import database_bytes

    size = database_bytes(session)
    if target.bucket is not None:
        return size
    warning = check(
        target.directory, target.prefix, database=session.server.database, database_bytes=size, compression=target.shape.compression
    )
    if warning is not None:
        _warn((f"WARNING: {warning}",), result, say)
    return size


def declare(session: Session, external: ExternalBackup, result: RunResult, say: Callable[[str], None]) -> None:
    """No dump is taken: who has to go back needs to know to where. Raises what `Session.query` does when the server is gone."""
    from dataclasses import asdict
    from datetime import UTC

    from dbmigration.api.backup_record import DeclaredBackup
    from dbmigration.postgres.recovery_point import read_recovery_point

    point = read_recovery_point(session)
    result.backup_reason = Reason.BACKUP_DECLARED
    result.declared = DeclaredBackup(**asdict(external), lsn=point.lsn, at=(point.at or now()).astimezone(UTC))
    if point.warning is not None:
        _warn((f"WARNING: {point.warning}",), result, say)


def say_globals(result: RunResult, say: Callable[[str], None]) -> None:
    """The dump is whole without the server's roles and tablespaces; who restores it on another server will miss them."""
    backup = result.backup
    if backup is not None and backup.globals_note is not None:
        said = f"WARNING: the server's roles and tablespaces are not beside the backup: {backup.globals_note}"
        _warn((said,), result, say)


def remove_outdated(target: BackupTarget, result: RunResult, say: Callable[[str], None]) -> None:
    """After a new verified backup. It is said what was removed; that it could not be is a warning, for the backup is there."""
    if target.keep_last is None and target.keep_days is None:
        return
    from datetime import UTC, datetime

    from dbmigration.backup.dump import folder_of
    from dbmigration.backup.retention import Retention, find_backups, outdated, remove

    retention, at, prefix = Retention(target.keep_last, target.keep_days), datetime.now(UTC), folder_of(target.prefix)
    try:
        if target.bucket is not None:
            from dbmigration.backup.to_s3 import remove_outdated_from

            gone = remove_outdated_from(target.bucket.below(str(prefix)), retention, at)
        else:
            gone = outdated(find_backups(target.directory / prefix), retention, at)
            remove(gone)
    except (OSError, DbmigrationError) as error:
        said = error.message if isinstance(error, DbmigrationError) else error.strerror
        _warn((f"WARNING: outdated backups could not be removed: {said}",), result, say)
        return
    for each in gone:
        say(f"removed outdated backup {each.dump.name}")


def _warn(found: tuple[str, ...], result: RunResult, say: Callable[[str], None]) -> None:
    result.warnings += found
    for line in found:
        say(line)
