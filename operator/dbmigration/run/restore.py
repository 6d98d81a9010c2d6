"""The two steps of a DatabaseRestore: a backup into a new database, and that one into the place of the one in use."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, cast

from pydantic import ValidationError

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.conditions import clip
from dbmigration.api.reasons import Reason
from dbmigration.api.restore_report import NAME_LIMIT, UNVALIDATED_KEPT, RestoredDatabase, SwappedDatabase
from dbmigration.api.restore_request import RestoreRequest
from dbmigration.errors import DbmigrationError, Permanent, Usage
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres import claim, history, lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server, Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.result import now
from dbmigration.run.stop import StopRequest

if TYPE_CHECKING:
    from dbmigration.backup.restore import Restored
    from dbmigration.backup.s3 import Bucket

RESTORE_LOCK_WAIT_S: Final = 600.0
SWAP_LOCK_WAIT_S: Final = 60.0
"""How long another run is waited for before the step says LockHeld and leaves the retry to the operator."""

MAINTENANCE: Final = ("postgres", "template1")
"""From one of them both databases are renamed: the first that is neither of the two."""


@dataclass(slots=True)
class StepDone:
    """What came of a step, so far."""

    server: Server | None = None
    backup: BackupRecord | None = None
    restored: RestoredDatabase | None = None
    swapped: SwappedDatabase | None = None


def restore_step(
    request: RestoreRequest, conninfo: ConnInfo, backup: "Path | Bucket", done: StepDone, say: Callable[[str], None], stop: StopRequest
) -> None:
    """Make the new database, or find that an earlier attempt, of which nobody heard, made it.

    The lock of the database in use is held meanwhile, so that nothing is migrated. `backup`: the dump, or the bucket that holds it. Raises
    what `restore_backup` raises, Permanent RESTORE_FAILED for a backup that is damaged or not there, DATABASE_CLAIMED, Transient LOCK_HELD.
    """
    from dbmigration.backup.restore import restore_backup

    with _owned(request, conninfo, done, stop) as session:
        lock.acquire(session, wait_s=RESTORE_LOCK_WAIT_S, on_wait=say)
        if _made_before(session, request, done, say):
            return

        def note(restored: "Restored") -> str:
            done.backup = BackupRecord.model_validate(restored.backup, from_attributes=True)
            done.restored = _told(restored)
            return json.dumps(
                {
                    "restoredBy": f"{request.resource.namespace}/{request.resource.name}",
                    "uid": request.resource.uid,
                    "backup": done.backup.model_dump(mode="json", by_alias=True, exclude_none=True),
                    "restored": done.restored.model_dump(mode="json", by_alias=True),
                }
            )

        with _local(request.uri, backup, say, stop) as dump:
            try:
                restore_backup(conninfo, dump, request.into, stop=stop, say=say, jobs=request.jobs, note=note)
            except DbmigrationError as error:
                done.restored = None
                if isinstance(error, Permanent) and error.reason is Reason.BACKUP_FAILED:
                    raise Permanent(Reason.RESTORE_FAILED, error.message, place=error.place) from None
                raise


def swap_step(request: RestoreRequest, conninfo: ConnInfo, done: StepDone, say: Callable[[str], None], stop: StopRequest) -> None:
    """Rename both databases, or find that an earlier attempt, of which nobody heard, did.

    Raises what `postgres.swap.swap` raises, but Permanent SWAP_FAILED where that raises Usage, and DATABASE_CLAIMED.
    """
    from dbmigration.postgres.swap import SwapPlan, swap

    with _owned(request, conninfo, done, stop) as session:
        name = session.server.database
        if request.restored_identity is not None and session.server.identity == request.restored_identity:
            say(f"database {name} is the restored one already: an earlier attempt swapped them")
            done.swapped = SwappedDatabase(name=name, old_database=_name_of(session, request.live_identity), completed_at=now())
            return
        _refuse_other_database(request, session.server)

    def confirm(plan: SwapPlan) -> bool:
        ended = ", ".join(f"{count} of {who}" for who, count in plan.sessions.items()) or "none"
        say(f"{plan.name} becomes {plan.kept_as}, {plan.restored} becomes {plan.name}; sessions to end: {ended}")
        stop.check()
        return True

    try:
        plan = swap(
            conninfo,
            request.into,
            maintenance=next(each for each in MAINTENANCE if each not in (name, request.into)),
            wait_s=SWAP_LOCK_WAIT_S,
            say=say,
            confirm=confirm,
            by=request.run_id,
            identity=request.restored_identity,
            allow_slots=request.allow_slots,
        )
    except Usage as error:
        raise Permanent(Reason.SWAP_FAILED, f"Nothing was swapped: {error.message}") from None
    assert plan is not None, "confirmed"  # noqa: S101 - `confirm` never says no
    aside = tuple(clip(file, NAME_LIMIT) for file in plan.set_aside[:UNVALIDATED_KEPT])
    done.swapped = SwappedDatabase(name=plan.name, old_database=plan.kept_as, completed_at=now(), set_aside=aside)


def _refuse_other_database(request: RestoreRequest, server: Server) -> None:
    """A Secret that was changed since would have a stranger's database replaced. Another one of the same name is a swap in between."""
    system = (request.restored_identity or server.identity).partition("/")[0]
    if server.identity.partition("/")[0] != system or server.database != (request.live_name or server.database):
        raise Permanent(
            Reason.SWAP_FAILED,
            f"Nothing was swapped: the Secret leads to database {server.database} now, and not to the server and the database "
            f"{request.live_name} for which the backup was restored.",
        )


@contextmanager
def _owned(request: RestoreRequest, conninfo: ConnInfo, done: StepDone, stop: StopRequest) -> Iterator[Session]:
    """A session in the database in use, which is nobody else's than the DatabaseMigration's."""
    with connect(conninfo, application_name=f"dbmigration/{request.run_id}", settings=Settings()) as session:
        stop.attach(session)
        done.server = session.server
        migration = request.migration
        owner = claim.Owner(migration.namespace, migration.name, migration.uid, migration.cluster)
        found = claim.read(history.look(session, HistoryTable()).claim, session.server.identity)
        claim.refuse_other(found, owner, request.claimed_by)
        yield session


def _made_before(session: Session, request: RestoreRequest, done: StepDone, say: Callable[[str], None]) -> bool:
    """The database is there, and its comment says that it is what this DatabaseRestore restored and compared."""
    rows = session.query(
        """SELECT oid::bigint, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s""",
        (request.into,),
    )
    if not rows:
        return False
    try:
        told = json.loads(rows[0][1] or "")
        restored = RestoredDatabase.model_validate(told["restored"])
        backup = BackupRecord.model_validate(told["backup"])
        ours = told["uid"] == request.resource.uid and restored.identity.endswith(f"/{rows[0][0]}")
    except (ValueError, KeyError, TypeError, ValidationError):
        ours = False
    if not ours:
        raise Permanent(
            Reason.SPEC_INVALID,
            f"there is a database {request.into} already, and a restore never writes into one: make a DatabaseRestore with another name",
        )
    say(f"database {request.into} was restored and compared by an earlier attempt")
    done.restored, done.backup = restored, backup
    return True


def _told(restored: "Restored") -> RestoredDatabase:
    return RestoredDatabase(
        name=restored.database,
        identity=restored.identity,
        tables=restored.tables,
        rows=restored.rows,
        sequences=restored.sequences,
        large_objects=restored.large_objects,
        objects=restored.objects,
        not_valid=tuple(clip(name, NAME_LIMIT) for name in restored.unvalidated[:UNVALIDATED_KEPT]),
        restore_seconds=round(restored.restore_s, 3),
        compare_seconds=round(restored.compare_s, 3),
        completed_at=now(),
    )


def _name_of(session: Session, identity: str | None) -> str | None:
    """What the database with this identity is called now."""
    oid = (identity or "").rpartition("/")[2]
    rows = session.query("SELECT datname FROM pg_catalog.pg_database WHERE oid::text = %s", (oid,))
    return cast("str", rows[0][0]) if rows else None


@contextmanager
def _local(uri: str, backup: "Path | Bucket", say: Callable[[str], None], stop: StopRequest) -> Iterator[Path]:
    """The dump as a file: itself, or what was fetched of it into the folder for temporary files. Raises Permanent RESTORE_FAILED."""
    if isinstance(backup, Path):
        yield backup
        return
    from dbmigration.backup.s3 import SCHEME, Objects
    from dbmigration.backup.to_s3 import fetch

    if Objects(backup).size(uri.removeprefix(f"{SCHEME}{backup.name}/")) is None:
        raise Permanent(Reason.RESTORE_FAILED, f"There is no backup {uri}. Name another one.")
    with TemporaryDirectory(prefix="dbmigration-") as folder:
        dump = fetch(uri, backup, Path(folder), stop)
        say(f"fetched {uri}: {dump.stat().st_size / 1e6:,.1f} MB")
        yield dump
