"""Kubernetes Events of a DatabaseRestore: what began, what was done, and what stands in the way, once each."""

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.decide.announce import failing, started
from dbmigration.decide.decision import Announcement
from dbmigration.decide.restoring.observed import RestoreObserved
from dbmigration.decide.restoring.record import restored_message, swapped_message

STARTED = {"restore": "RestoreStarted", "swap": "SwapStarted"}
_QUIET = frozenset({Reason.RUNNING, Reason.PENDING})
_WAITS = frozenset({Reason.MIGRATION_RUNNING, Reason.MIGRATION_NOT_SUSPENDED})


def announcements(o: RestoreObserved, after: RestoreStatus) -> tuple[Announcement, ...]:
    """What changed between o.status and `after` that a person reading `kubectl describe` wants to know."""
    found = (_started(o, after), _restored(o, after), _swapped(o, after), _failing(o, after))
    return tuple(announcement for announcement in found if announcement is not None)


def _started(o: RestoreObserved, after: RestoreStatus) -> Announcement | None:
    return started(o.status.run, after.run, STARTED[after.run.step]) if after.run is not None else None


def _restored(o: RestoreObserved, after: RestoreStatus) -> Announcement | None:
    if after.restored is None or o.status.restored is not None:
        return None
    return Announcement(Reason.RESTORED, restored_message(after), identity=f"{o.uid}/restored", at=after.restored.completed_at)


def _swapped(o: RestoreObserved, after: RestoreStatus) -> Announcement | None:
    if after.swapped is None or o.status.swapped is not None:
        return None
    return Announcement(Reason.SWAPPED, swapped_message(after), identity=f"{o.uid}/swapped", at=after.swapped.completed_at)


def _failing(o: RestoreObserved, after: RestoreStatus) -> Announcement | None:
    ready = find(after.conditions, ConditionType.READY)
    if ready is None or ready.status == "True" or ready.reason in _QUIET:
        return None
    return failing(o.uid, o.status.conditions, after.conditions, after.run, _WAITS)
