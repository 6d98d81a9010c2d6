"""Kubernetes Events of a resource: one for each step that matters, none repeated.

Retries of the same failure say nothing new, so a failure is announced when the reason changes, not at each attempt.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dbmigration.api.conditions import Condition, ConditionType, clip, find
from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.api.status import Status
from dbmigration.decide.attempts import Attempt
from dbmigration.decide.decision import Announcement
from dbmigration.decide.fit import lasting
from dbmigration.decide.observed import Observed

_QUIET = frozenset({Reason.UP_TO_DATE, Reason.RUNNING, Reason.PENDING, Reason.SUSPENDED, Reason.PREPARED, Reason.QUEUED})
_WAITS = frozenset({Reason.WINDOW_CLOSED, Reason.APPROVAL_PENDING, Reason.PROMOTION_PENDING})
_NAMES_TOLD = 10
_AFTER = timedelta(seconds=1)

MIGRATED = "Migrated"
RUN_STARTED = "RunStarted"
REHEARSED = "Rehearsed"
SUCCEEDED = "UpToDate"
UNDONE = "RunUndone"
REPLACED = "DatabaseReplaced"
NEXT_STEPS = "NextSteps"


def announcements(observed: Observed, after: Status, report: Report | None = None) -> tuple[Announcement, ...]:
    """What changed between observed.status and `after` that a person reading `kubectl describe` wants to know."""
    found = (
        started(observed.status.run, after.run, RUN_STARTED),
        _backed_up(report),
        _rehearsed(report),
        _migrated(report),
        _rolled_back(report),
        _undone(report),
        _recovered(observed, report),
        _replaced(observed, after),
        _schema(observed, after),
        _failing(observed, after),
    )
    return tuple(a for a in found if a is not None)


def with_steps(told: tuple[Announcement, ...], after: Status, now: datetime) -> tuple[Announcement, ...]:
    """The same, and what can be done about a failure or a wait that is among them: `kubectl describe` ends with it."""
    ready = find(after.conditions, ConditionType.READY)
    about = next((each for each in told if ready is not None and each.reason == ready.reason), None)
    if about is None or not after.next_steps:
        return told
    message = "; ".join(f"{number}. {step}" for number, step in enumerate(after.next_steps, 1))
    # Events are shown in the order of their seconds: this one comes last.
    return (*told, Announcement(NEXT_STEPS, clip(message), identity=f"{about.identity}/next", at=now + _AFTER))


def started(before: Attempt | None, run: Attempt | None, reason: str) -> Announcement | None:
    """A Job was made for a first attempt."""
    if run is None or run.attempt > 1 or run.finished_at is not None or (before is not None and before.job_name == run.job_name):
        return None
    return Announcement(reason, f"Job {run.job_name} started", identity=f"{run.job_name}/started")


def failing(
    uid: str, before: Sequence[Condition], after: Sequence[Condition], run: Attempt | None, waits: frozenset[Reason]
) -> Announcement | None:
    """It is not Ready, for another reason than before, or has stalled. `waits` are the reasons that are no warning."""
    was, ready = find(before, ConditionType.READY), find(after, ConditionType.READY)
    was_stalled, stalled = (find(conditions, ConditionType.STALLED) is not None for conditions in (before, after))
    if ready is None or (was is not None and was.reason == ready.reason and stalled == was_stalled):
        return None
    about = f"{run.key}/{run.job_name if stalled else ''}" if run else ""
    return Announcement(ready.reason, ready.message, identity=f"{uid}/{about}/{ready.reason}", warning=ready.reason not in waits)


def _backed_up(report: Report | None) -> Announcement | None:
    if report is not None and report.backup_reason is Reason.BACKUP_DECLARED and report.declared_backup is not None:
        declared = report.declared_backup
        message = clip(f"no dump was taken; {declared}")
        return Announcement(Reason.BACKUP_DECLARED, message, identity=f"{report.run_id}/declared", at=declared.at)
    if report is None or report.backup is None or not report.backup.verified:
        return None
    record = report.backup
    message = f"{record.uri}: {record.bytes} bytes, sha256 {record.sha256}, read to its end"
    return Announcement(Reason.BACKUP_VERIFIED, clip(message), identity=f"{report.run_id}/backup", at=record.completed_at)


def _rehearsed(report: Report | None) -> Announcement | None:
    """One that failed is told of as what stopped the run."""
    if report is None or report.rehearsal is None or not report.rehearsal.passed:
        return None
    found = report.rehearsal
    longest = max((lock for lock in found.locks if lock.keeps_others_out), key=lambda lock: lock.held_ms, default=None)
    lock = f"; longest lock: {longest.mode} on {longest.table} for {lasting(longest.held_ms)}" if longest else ""
    rewritten = f"; written anew: {', '.join(each.table for each in found.rewrites)}" if found.rewrites else ""
    message = f"in a copy of the database, restored from {found.backup_uri}, the files took {lasting(found.duration_ms)}"
    lost = f"; lost there: {'; '.join(found.lost[:3])}" if found.lost else ""
    return Announcement(REHEARSED, clip(message + lock + rewritten + lost), identity=f"{report.run_id}/rehearsed", at=found.completed_at)


def _migrated(report: Report | None) -> Announcement | None:
    if report is None or not (report.applied_now or report.seeded_now):
        return None
    done = (*report.applied_now, *report.seeded_now)
    names = listed(done, _NAMES_TOLD)
    return Announcement(
        MIGRATED, clip(f"applied {names}; version {report.version}"), identity=f"{report.run_id}/migrated", at=report.finished_at
    )


def _rolled_back(report: Report | None) -> Announcement | None:
    if report is None or not report.rolled_back_now:
        return None
    names = listed(report.rolled_back_now, _NAMES_TOLD)
    lost = f"; lost: {'; '.join(report.losses)}" if report.losses else ""
    message = f"rolled back {names}; version {report.version or 'none'}{lost}"
    return Announcement(Reason.ROLLED_BACK, clip(message), identity=f"{report.run_id}/rolled-back", warning=True, at=report.finished_at)


def _undone(report: Report | None) -> Announcement | None:
    """A failed run took its own files back, or could not: spec.onFailure is Rollback."""
    if report is None or not (report.undone_now or report.not_undone):
        return None
    said = [
        f"{what} {', '.join(names[:_NAMES_TOLD])}{f' and {len(names) - _NAMES_TOLD} more' if len(names) > _NAMES_TOLD else ''}"
        for what, names in (("undone after the failure:", report.undone_now), ("NOT undone:", report.not_undone))
        if names
    ]
    message = clip(f"{'; '.join(said)}; version {report.version or 'none'}")
    return Announcement(UNDONE, message, identity=f"{report.run_id}/undone", warning=True, at=report.finished_at)


def _recovered(observed: Observed, report: Report | None) -> Announcement | None:
    """Ready again after a failure: whoever saw the warning wants to see that it is over."""
    before = observed.status.runs[:1]
    if report is None or report.outcome is not Outcome.SUCCEEDED or not before or before[0].outcome == Outcome.SUCCEEDED:
        return None
    return Announcement(SUCCEEDED, clip(report.message), identity=f"{report.run_id}/ready")


def _replaced(observed: Observed, after: Status) -> Announcement | None:
    """Another database has the name: whoever looks for a vanished version wants to know why."""
    replaced = after.replaced
    if replaced is None or replaced == observed.status.replaced:
        return None
    message = f"DatabaseRestore {replaced.by} put a restored database in the place of the old one; the next run reads what is in it"
    return Announcement(REPLACED, message, identity=f"{replaced.job_name}/replaced", warning=True)


def _schema(observed: Observed, after: Status) -> Announcement | None:
    """Somebody changed the schema beside the migrations, or it is again what they made: once, when it is noticed."""
    before, now = (find(status.conditions, ConditionType.SCHEMA_IN_SYNC) for status in (observed.status, after))
    known = before.status if before is not None else "Unknown"
    if now is None or after.drift is None or now.status in (known, "Unknown") or (now.status == "True" and known == "Unknown"):
        return None
    identity = f"{observed.uid}/{after.drift.checked_at.isoformat()}/{now.reason}"
    return Announcement(now.reason, now.message, identity=identity, warning=now.status == "False")


def _failing(observed: Observed, after: Status) -> Announcement | None:
    ready = find(after.conditions, ConditionType.READY)
    if ready is None or ready.status == "True" or ready.reason in _QUIET:
        return None
    stalled = find(after.conditions, ConditionType.STALLED) is not None
    if not stalled and after.run is not None and after.run.reason == ready.reason and _told_before(observed, ready.reason):
        return None
    return failing(observed.uid, observed.status.conditions, after.conditions, after.run, _WAITS)


def _told_before(observed: Observed, reason: str) -> bool:
    """While an attempt runs Ready says Running; the failure before it was already announced with its own reason."""
    runs = observed.status.runs
    return bool(runs) and runs[0].reason == reason
