"""Looks at the schema between runs: when one is due, and what came of it. A look reads, and never stands in a run's way.

Its result changes the condition SchemaInSync and `status.drift`, never Ready.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dbmigration.api.conditions import ConditionType, Proof, clip, set_proof
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.api.status import DIFFERENCES_KEPT, DriftStatus, Status
from dbmigration.decide.announce import announcements
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Blocked, JobSeen, KnownSource, Observed
from dbmigration.decide.results import result_of
from dbmigration.decide.start import start_look

LOOK_SECONDS: Final = 600
"""A look that takes longer is ended (activeDeadlineSeconds of its Job): the next one is not far."""
ACTIVE_LOOK: Final = timedelta(seconds=30)
"""How often an unfinished look is looked after: its Job and pod wake us, this is for a missed watch event."""
_NAMED: Final = 5
_LONGEST: Final = 300
"""Bytes of a difference in status."""
_MOST: Final = 1_000_000
"""Differences that are counted."""


def look_finished(o: Observed, now: datetime) -> Decision | None:
    """Store what a look found, whatever else is going on."""
    job = o.looks[-1] if o.looks else None
    if job is None or not job.ended or job.deleting or _stored(o, job):
        return None
    drift = compared(o.status.drift, job.report, now).model_copy(update={"job_name": job.name, "last_handled_check": job.retry_value})
    status = _told(o, drift, _proof(job), now)
    return Decision("look_finished", status, announcements=announcements(o, status), again_after=timedelta(0))


def with_look(o: Observed, decision: Decision, now: datetime) -> Decision:
    """The decision about a resource with nothing to run, and a look with it where one is due; else it comes back in time for the next."""
    if o.spec is None or o.spec.suspend or not isinstance(o.source, KnownSource):
        return decision
    decision = replace(decision, remove_jobs=(*decision.remove_jobs, *(job.name for job in o.looks[:-1] if job.over and not job.deleting)))
    if o.looks and not o.looks[-1].ended:
        return _sooner(decision, ACTIVE_LOOK)
    if _asked(o):
        return replace(decision, start=start_look(o, o.spec, o.source, f"asked {o.check_drift}"), again_after=ACTIVE_LOOK)
    due = next_look(o)
    if due is None:
        return decision
    if due > now:
        return _sooner(decision, due - now)
    return replace(decision, start=start_look(o, o.spec, o.source, due.isoformat()), again_after=ACTIVE_LOOK)


def next_look(o: Observed) -> datetime | None:
    """When the schedule wants the next look, counted from the last comparison, a run's included. None without a schedule."""
    check = o.spec.drift_check if o.spec else None
    if check is None or check.schedule is None:
        return None
    zone = ZoneInfo(check.time_zone) if check.time_zone else UTC
    compared = [at for at in (o.status.drift and o.status.drift.checked_at, o.status.run and o.status.run.finished_at) if at]
    if not compared:
        return None
    due = next(CronSim(check.schedule, max(compared).astimezone(zone)), None)
    return due.astimezone(UTC) if due is not None else None


def look_refused(o: Observed, refused: Blocked, now: datetime) -> Decision:
    """The API server would not have the Job of the look: that is said of the look, and the next one tries again."""
    drift = compared(o.status.drift, None, now).model_copy(update={"last_handled_check": o.check_drift})
    status = _told(o, drift, Proof(None, refused.reason, refused.message), now)
    return Decision("look_refused", status, announcements=announcements(o, status), again_after=timedelta(0))


def abandoned(o: Observed) -> tuple[str, ...]:
    """Looks that end because a run begins: what they would find is not what will be."""
    return tuple(job.name for job in o.looks if not job.ended and not job.deleting)


def compared(known: DriftStatus | None, report: Report | None, now: datetime) -> DriftStatus:
    """What a run or a look found out about the schema. Where it compared nothing, the differences that were known stay."""
    before = known or DriftStatus(checked_at=now)
    if report is None or not report.schema_compared:
        return before.model_copy(update={"checked_at": now})
    # A tenant's pod wrote the report: its numbers and texts are made to fit.
    differences = tuple(clip(difference, _LONGEST) for difference in report.drift[:DIFFERENCES_KEPT])
    return before.model_copy(update={"checked_at": now, "count": min(max(report.drift_count, 0), _MOST), "differences": differences})


def in_sync(report: Report) -> Proof | None:
    """What a report says of the schema, None when it says nothing."""
    if not report.schema_compared:
        return None
    if report.drift_count == 0:
        return Proof(True, Reason.NO_DRIFT, "the schema is what migrations made of it")
    named = "; ".join(report.drift[:_NAMED])
    more = f" and {report.drift_count - _NAMED} more" if report.drift_count > _NAMED else ""
    remedy = "Undo it, write a migration for it, or accept it with `dbmigration drift --accept`"
    return Proof(False, Reason.SCHEMA_DRIFTED, f"not by a migration: {named}{more}. {remedy}")


def _proof(job: JobSeen) -> Proof:
    result = result_of(job)
    if result.outcome is Outcome.SUCCEEDED and result.report is not None:
        return in_sync(result.report) or Proof(None, Reason.SCHEMA_NOT_COMPARED, result.report.drift_note or "nothing was compared")
    if result.reason is Reason.DEADLINE_EXCEEDED:
        return Proof(None, result.reason, f"the look took longer than {LOOK_SECONDS} s and was ended; the next one tries again")
    return Proof(None, result.reason, f"the look failed: {result.message}")


def _told(o: Observed, drift: DriftStatus, proof: Proof, now: datetime) -> Status:
    conditions = set_proof(o.status.conditions, ConditionType.SCHEMA_IN_SYNC, proof, generation=o.generation, now=now)
    return o.status.model_copy(update={"drift": drift, "conditions": conditions})


def _stored(o: Observed, job: JobSeen) -> bool:
    return o.status.drift is not None and o.status.drift.job_name == job.name


def _asked(o: Observed) -> bool:
    handled = o.status.drift.last_handled_check if o.status.drift else None
    return bool(o.check_drift) and o.check_drift != handled


def _sooner(decision: Decision, again_after: timedelta) -> Decision:
    return replace(decision, again_after=min(decision.again_after or again_after, again_after))
