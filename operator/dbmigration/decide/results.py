"""What a finished Job means: success, a failure for good, or one that another attempt can mend, and whether that attempt counts.

The truth is the report of the container `runner`, else how that container ended, else the Job's own terminal condition.
"""

from dataclasses import dataclass, replace

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.decide.observed import JobSeen, PodState

_DEADLINE = "DeadlineExceeded"
_OUT_OF_MEMORY = "OOMKilled"
_SUCCESSES = (Reason.UP_TO_DATE, Reason.ROLLED_BACK, Reason.PREPARED)


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt ended. `counted`: it executed SQL, or nobody can know that it did not, and it ended by its own doing."""

    outcome: Outcome
    reason: Reason
    message: str
    transient: bool
    counted: bool = False
    report: Report | None = None
    source_image: str | None = None


def result_of(job: JobSeen) -> Result:
    """The result of a Job that has ended."""
    outgrown = job.pod.server_failed
    if outgrown is not None and (job.report is None or (job.report.outcome is Outcome.INTERRUPTED and not job.report.executed_sql)):
        return Result(Outcome.FAILED, outgrown.reason, outgrown.message, transient=False, report=job.report)
    if job.report is not None:
        return replace(_reported(job, job.report), source_image=job.pod.source_image)
    if job.pod.source_failed is not None:
        failed = job.pod.source_failed
        return Result(Outcome.FAILED, failed.reason, failed.message, transient=failed.reason is Reason.SOURCE_MISSING)
    if job.failed == _DEADLINE:
        return _over_deadline(job, counted=True)
    if job.pod.state is PodState.TERMINATED and not job.pod.disrupted:
        return _died(job)
    message = "the run's pod went away before it reported; what is applied is in the database and the next attempt goes on from there"
    return Result(Outcome.INTERRUPTED, Reason.RUNNER_LOST, _with_detail(message, job.failed_message), transient=True)


def vanished(job_name: str) -> Result:
    """The Job is gone and its result was never stored: somebody or its time to live removed it."""
    message = (
        f"Job {job_name} went away before its result was read; what is applied is in the database and the next attempt goes on from there"
    )
    return Result(Outcome.INTERRUPTED, Reason.RUNNER_LOST, message, transient=True)


def _reported(job: JobSeen, report: Report) -> Result:
    if report.outcome is Outcome.SUCCEEDED:
        reason = report.reason if report.reason in _SUCCESSES else Reason.UP_TO_DATE
        return Result(report.outcome, reason, report.message, transient=False, report=report)
    if report.reason is Reason.WINDOW_CLOSED:
        return Result(Outcome.INTERRUPTED, report.reason, report.message, transient=False, report=report)
    if report.outcome is Outcome.INTERRUPTED:
        if job.failed == _DEADLINE:
            return _over_deadline(job, counted=report.executed_sql, report=report)
        return Result(report.outcome, report.reason, report.message, transient=True, report=report)
    transient = report.failure.transient if report.failure else False
    return Result(
        report.outcome, report.reason, report.message, transient=transient, counted=transient and report.executed_sql, report=report
    )


def _over_deadline(job: JobSeen, *, counted: bool, report: Report | None = None) -> Result:
    message = "the run took longer than spec.job.activeDeadlineSeconds: raise it or leave it out"
    return Result(
        Outcome.FAILED, Reason.DEADLINE_EXCEEDED, _with_detail(message, job.failed_message), transient=True, counted=counted, report=report
    )


def _died(job: JobSeen) -> Result:
    """The process ended by itself and left no report: it may have executed SQL, so the attempt counts."""
    if job.pod.exit_reason == _OUT_OF_MEMORY:
        message = "the run was killed for its memory: raise spec.job.resources.limits.memory"
    else:
        message = f"the run ended with exit status {job.pod.exit_code} and left no report: kubectl logs job/{job.name}"
    return Result(Outcome.FAILED, Reason.RUNNER_LOST, message, transient=True, counted=True)


def _with_detail(message: str, detail: str | None) -> str:
    return f"{message} ({detail})" if detail else message
