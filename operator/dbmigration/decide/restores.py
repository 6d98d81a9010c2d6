"""What DatabaseRestores mean for the DatabaseMigration whose database they work on."""

from datetime import datetime

from dbmigration.api.conditions import Verdict, Work
from dbmigration.api.reasons import Reason
from dbmigration.api.status import ReplacedStatus
from dbmigration.decide.observed import Observed


def newly_replaced(o: Observed, now: datetime) -> ReplacedStatus | None:
    """The newest swap, where status does not know of it yet."""
    swap = next((restore for restore in reversed(o.restores) if restore.swapped), None)
    if swap is None or (o.status.replaced is not None and swap.created_at <= o.status.replaced.at):
        return None
    return ReplacedStatus(by=swap.restore, job_name=swap.name, at=now)


def newly_tested(o: Observed) -> datetime | None:
    """When a DatabaseRestore brought the newest backup back, byte by byte that one, where status does not know that it can be restored."""
    backup = o.status.backup
    if backup is None or backup.restored_at is not None:
        return None
    tests = (restore.tested for restore in o.restores if restore.tested is not None)
    return next((test.at for test in tests if (test.uri, test.sha256) == (backup.uri, backup.sha256)), None)


def at_work_verdict(o: Observed) -> Verdict | None:
    """What is said of Ready while a restore or a swap is at work."""
    at_work = next((restore for restore in reversed(o.restores) if not restore.over), None)
    if at_work is None:
        return None
    message = f"DatabaseRestore {at_work.restore} is at work ({at_work.step}, job/{at_work.name}); the run starts when that has ended"
    return Verdict(False, Work.RECONCILING, Reason.RESTORE_RUNNING, message)


def after_swap(o: Observed) -> str:
    """What a suspended resource says of its new database until its first run there."""
    if o.status.replaced is None or o.status.run is None or o.status.run.key:
        return ""
    return f". DatabaseRestore {o.status.replaced.by} replaced the database: files that it undid run again when their text has changed"
