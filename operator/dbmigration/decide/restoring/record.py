"""The status after a step: what the report proves, and what is to be said of it."""

from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from dbmigration.api.conditions import Proof, Verdict, Work, clip, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.spec import Retry
from dbmigration.api.status import STATUS_LIMIT, DatabaseStatus
from dbmigration.decide.attempts import backoff, failed_verdict
from dbmigration.decide.restoring.observed import RestoreObserved, StepJob
from dbmigration.decide.restoring.results import StepResult, unbelievable

MOST_ATTEMPTS: Final = 5
"""Counted ones. A swap that was asked for at three is not to succeed at nine, when nobody thinks of it."""


def step_started(o: RestoreObserved, step_job: StepJob) -> RestoreRunStatus:
    """The attempt that the Job is, with the counters of earlier ones with the same key."""
    before, job = o.status.run, step_job.job
    same = before is not None and before.key == job.run_key
    return RestoreRunStatus(
        step=step_job.step,
        key=job.run_key,
        attempt=job.attempt,
        failures=before.failures if before and same else 0,
        counted=before.counted if before and same else 0,
        job_name=job.name,
        started_at=job.created_at,
    )


def step_recorded(o: RestoreObserved, run: RestoreRunStatus, result: StepResult, retry_value: str | None, now: datetime) -> RestoreStatus:
    """Status with `result` of `run` in it. A report that does not fit into a status is not believed."""
    try:
        status = _recorded(o, run, result, retry_value, now)
        if len(status.to_json().encode()) <= STATUS_LIMIT:
            return status
        why = "it does not fit into a status"
    except ValidationError:
        why = "a field of it is too long"
    return _recorded(o, run, unbelievable(why), retry_value, now)


def _recorded(o: RestoreObserved, run: RestoreRunStatus, result: StepResult, retry_value: str | None, now: datetime) -> RestoreStatus:
    finished = _finished(run, result, now)
    changes: dict[str, Any] = {"run": finished, "progress": None, "observed_generation": o.generation}
    if finished.final:
        changes["last_handled_retry"] = retry_value
    report = result.report
    if report is not None:
        if report.database is not None:
            changes["database"] = DatabaseStatus(**report.database.model_dump())
        if report.backup is not None:
            changes["backup"] = report.backup
        if result.outcome is Outcome.SUCCEEDED:
            changes |= {"restored": report.restored} if run.step is RestoreStep.RESTORE else {"swapped": report.swapped}
    after = o.status.model_copy(update=changes)
    proof = _proof(finished, after)
    restore = run.step is RestoreStep.RESTORE
    conditions = set_conditions(
        o.status.conditions,
        verdict_of(o.spec, after),
        generation=o.generation,
        now=now,
        restored=proof if restore else None,
        swapped=None if restore else proof,
    )
    return after.model_copy(update={"conditions": conditions})


def verdict_of(spec: RestoreSpec | None, status: RestoreStatus) -> Verdict:
    """What a stored result says of Ready, until there is a newer one."""
    run = status.run
    if run is not None and run.outcome != Outcome.SUCCEEDED and run.outcome is not None and not done(spec, status):
        return failed_verdict(run)
    if status.swapped is not None:
        return Verdict(True, Work.IDLE, Reason.SWAPPED, swapped_message(status))
    if not done(spec, status):
        return Verdict(False, Work.RECONCILING, Reason.RUNNING, f"{restored_message(status)}; the swap is next")
    return Verdict(True, Work.IDLE, Reason.RESTORED, restored_message(status))


def done(spec: RestoreSpec | None, status: RestoreStatus) -> bool:
    """Everything that the spec asks for was done."""
    return status.swapped is not None or (status.restored is not None and not (spec is not None and spec.swap))


def restored_message(status: RestoreStatus) -> str:
    found = status.restored
    if found is None:
        return ""
    return (
        f"database {found.name} holds {found.rows:,} rows and {found.objects:,} objects{_as_of(status)}, every one compared with the backup"
    )


def swapped_message(status: RestoreStatus) -> str:
    found = status.swapped
    if found is None:
        return ""
    old = f"; the old one stays as {found.old_database}" if found.old_database else ""
    aside = f"; not applied in it: {', '.join(found.set_aside)}" if found.set_aside else ""
    return clip(f"database {found.name} is the restored one{_as_of(status)}{old}{aside}")


def _as_of(status: RestoreStatus) -> str:
    return f" as of {status.backup.started_at:%Y-%m-%d %H:%M:%S} UTC" if status.backup else ""


def _proof(run: RestoreRunStatus, status: RestoreStatus) -> Proof | None:
    if run.outcome == Outcome.SUCCEEDED:
        if run.step is RestoreStep.RESTORE:
            return Proof(True, Reason.RESTORED, restored_message(status))
        return Proof(True, Reason.SWAPPED, swapped_message(status))
    return Proof(False, run.reason or Reason.INTERNAL_ERROR, run.message or "")


def _finished(run: RestoreRunStatus, result: StepResult, now: datetime) -> RestoreRunStatus:
    counted = run.counted + (1 if result.counted else 0)
    failures = run.failures + (0 if result.outcome is Outcome.SUCCEEDED else 1)
    reason, message, next_retry = result.reason, result.message, None
    if result.transient and counted >= MOST_ATTEMPTS:
        reason = Reason.RETRY_LIMIT_REACHED
        message = f"{counted} attempts failed, the last with {result.reason}: {message}"
    elif result.transient:
        next_retry = now + backoff(Retry(), failures)
    return RestoreRunStatus(
        **run.model_dump(include={"step", "key", "attempt", "job_name", "started_at"}),
        trace_id=result.report.trace_id if result.report else None,
        failures=failures,
        counted=counted,
        finished_at=now,
        next_retry_at=next_retry,
        outcome=result.outcome,
        reason=reason,
        message=clip(message),
    )
