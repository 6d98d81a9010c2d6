"""Attempts: which are counted, and when the next one is due."""

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.decide.observed import JobSeen, PodSeen, PodState
from dbmigration.decide.rules import decide
from tests.unit.deciding import MORE_MEMORY, UNSCHEDULABLE, started, status
from tests.unit.observing import NOW, ended, failed, failure_report, files, job, report, run, seen, spec, waiting


def test_attempts_of_one_key_are_counted_on_and_a_new_key_begins_at_one() -> None:
    retried = started(seen(status=status(waiting(seconds=0, attempt=3, failures=3, counted=2))))
    assert retried.status.run
    assert (retried.status.run.attempt, retried.status.run.failures, retried.status.run.counted) == (4, 3, 2)
    renewed = started(seen(source=files("new"), status=status(waiting(seconds=0, attempt=3, failures=3, counted=2))))
    assert renewed.status.run
    assert (renewed.status.run.attempt, renewed.status.run.failures, renewed.status.run.counted) == (1, 0, 0)


def test_a_job_that_was_replaced_before_it_started_was_no_attempt() -> None:
    replaced = decide(seen(spec=MORE_MEMORY, status=status(run()), jobs=(job(pod=UNSCHEDULABLE),)), NOW)
    assert replaced.remove_jobs == ("job-1",)
    again = started(seen(spec=MORE_MEMORY, status=replaced.status))
    assert again.status.run
    assert (again.status.run.attempt, again.status.run.failures, again.status.run.counted) == (1, 0, 0)
    assert again.status.run.job_name != "job-1"


def test_retry_limit_raised_after_the_budget_gives_a_new_budget() -> None:
    spent = failed(Reason.RETRY_LIMIT_REACHED, counted=5, failures=5, attempt=5)
    decision = started(seen(spec=spec(retry={"limit": 9}), status=status(spent)))
    assert decision.status.run
    assert (decision.status.run.attempt, decision.status.run.counted) == (6, 0)


def test_what_fails_before_sql_is_retried_for_ever_and_at_most_five_minutes_apart() -> None:
    pauses = []
    the_run = run()
    for _ in range(12):
        observed = seen(status=status(the_run), jobs=(ended(failure_report(Reason.DATABASE_UNAVAILABLE, transient=True)),))
        after = decide(observed, NOW).status.run
        assert after
        assert after.next_retry_at
        assert after.counted == 0
        pauses.append((after.next_retry_at - NOW).total_seconds())
        the_run = run(failures=after.failures, counted=after.counted)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300, 300]


@pytest.mark.parametrize(
    ("the_job", "reason", "counted"),
    [
        (ended(failure_report(Reason.LOCK_TIMEOUT, transient=True, executed_sql=True)), Reason.LOCK_TIMEOUT, 1),
        (ended(failure_report(Reason.LOCK_HELD, transient=True)), Reason.LOCK_HELD, 0),
        (ended(report(outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED)), Reason.INTERRUPTED, 0),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=137, exit_reason="OOMKilled")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=1, exit_reason="Error")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=0, exit_reason="Completed")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=137, disrupted=True)), Reason.RUNNER_LOST, 0),
        (job(failed="BackoffLimitExceeded", pod=PodSeen(PodState.ABSENT)), Reason.RUNNER_LOST, 0),
        (job(failed="DeadlineExceeded", pod=PodSeen(PodState.ABSENT)), Reason.DEADLINE_EXCEEDED, 1),
        (
            ended(report(outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED, executed_sql=False), failed="DeadlineExceeded"),
            Reason.DEADLINE_EXCEEDED,
            0,
        ),
    ],
)
def test_only_attempts_that_may_have_executed_sql_by_their_own_doing_count(the_job: JobSeen, reason: Reason, counted: int) -> None:
    after = decide(seen(status=status(run()), jobs=(the_job,)), NOW).status.run
    assert after
    assert after.next_retry_at
    assert (after.reason, after.counted) == (reason, counted)
