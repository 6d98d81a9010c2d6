"""What a finished step means: done, failed for good, or to be tried again, and whether the attempt counts."""

from dataclasses import dataclass

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RestoreStep
from dbmigration.decide.observed import PodState
from dbmigration.decide.restoring.observed import StepJob

_OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one attempt ended. `counted`: only so many of these are followed by another attempt."""

    outcome: Outcome
    reason: Reason
    message: str
    transient: bool
    counted: bool = False
    report: RestoreReport | None = None


def result_of(step_job: StepJob) -> StepResult:
    """The result of a Job that has ended."""
    job, report, swap = step_job.job, step_job.report, step_job.step is RestoreStep.SWAP
    if report is not None:
        return _reported(step_job.step, report)
    if job.pod.state is not PodState.TERMINATED or job.pod.disrupted:
        message = "the pod went away before it reported; nothing is half done, and the next attempt finds out what was"
        return StepResult(Outcome.INTERRUPTED, Reason.RUNNER_LOST, message, transient=True, counted=swap)
    if job.pod.exit_reason == _OUT_OF_MEMORY:
        message = "it was killed for its memory: raise spec.job.resources.limits.memory of the DatabaseMigration"
    else:
        message = f"it ended with exit status {job.pod.exit_code} and left no report: kubectl logs job/{job.name}"
    return StepResult(Outcome.FAILED, Reason.RUNNER_LOST, message, transient=True, counted=True)


def vanished(step: RestoreStep, job_name: str) -> StepResult:
    """The Job is gone and its result was never stored."""
    message = f"Job {job_name} went away before its result was read; the next attempt finds out what was done"
    return StepResult(Outcome.INTERRUPTED, Reason.RUNNER_LOST, message, transient=True, counted=step is RestoreStep.SWAP)


def _reported(step: RestoreStep, report: RestoreReport) -> StepResult:
    if report.outcome is Outcome.SUCCEEDED:
        done = report.swapped if step is RestoreStep.SWAP else report.restored
        if done is None:
            return unbelievable("it reports success and not what it did")
        return StepResult(report.outcome, report.reason, report.message, transient=False, report=report)
    transient = report.outcome is Outcome.INTERRUPTED or (report.failure is not None and report.failure.transient)
    counted = transient and step is RestoreStep.SWAP
    return StepResult(report.outcome, report.reason, report.message, transient=transient, counted=counted, report=report)


def unbelievable(why: str) -> StepResult:
    """A report that no runner of ours writes."""
    return StepResult(Outcome.FAILED, Reason.INTERNAL_ERROR, f"the Job's report cannot be right: {why}", transient=False)
