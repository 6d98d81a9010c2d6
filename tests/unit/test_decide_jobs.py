"""Jobs that are refused, wait, linger or are old."""

from datetime import timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.decide.leftovers import JOBS_KEPT
from dbmigration.decide.observed import Blocked, PodSeen, PodState
from dbmigration.decide.rules import decide, start_refused
from tests.unit.deciding import NEITHER, OTHER_TARGET, RECONCILING, ready, status
from tests.unit.observing import NOW, ended, files, job, report, run, seen, succeeded


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (Blocked(Reason.JOB_CONFLICT, "not ours"), ("False", "JobConflict", RECONCILING)),
        (Blocked(Reason.ADMISSION_DENIED, "exceeded quota: jobs"), ("False", "AdmissionDenied", RECONCILING)),
    ],
)
def test_refused_job_is_said_in_the_servers_words_and_leaves_no_run_behind(refused: Blocked, says: tuple[str, str, str]) -> None:
    before = status(succeeded())
    decision = start_refused(seen(source=files("new"), status=before), refused, NOW, "job-2")
    assert ready(decision) == says
    assert decision.status.run == before.run
    assert decision.again_after
    found = find(decision.status.conditions, ConditionType.READY)
    assert found
    assert found.message == refused.message
    steps = decision.status.next_steps
    assert steps[-1] == f"read docs/runbook/{refused.reason}.md"
    assert refused.reason is not Reason.JOB_CONFLICT or "job-2" in steps[0], "the Job that is in the way, not the last run's"


def test_old_finished_jobs_are_removed_only_after_their_result_is_stored() -> None:
    jobs = tuple(
        job(name=f"job-{number}", complete=True, created_at=NOW - timedelta(hours=9 - number), pod=PodSeen(PodState.ABSENT))
        for number in range(6)
    )
    stored = decide(seen(status=status(succeeded(job_name="job-5")), jobs=jobs), NOW)
    assert stored.remove_jobs == tuple(f"job-{number}" for number in range(6 - JOBS_KEPT))
    not_stored = decide(seen(status=status(run(job_name="job-5")), jobs=jobs), NOW)
    assert not_stored.rule == "run_finished"
    assert not_stored.remove_jobs == ()


def test_a_job_that_a_sidecar_keeps_alive_ends_with_its_runner() -> None:
    """sidecar-injected: the result is stored at once, the Job is removed a minute later."""
    kept_alive = ended(report())
    first = decide(seen(status=status(run()), jobs=(kept_alive,)), NOW)
    assert ready(first) == ("True", "UpToDate", NEITHER)
    young = decide(seen(status=first.status, jobs=(kept_alive,)), NOW + timedelta(seconds=30))
    assert young.remove_jobs == ()
    assert young.again_after
    assert young.again_after <= timedelta(minutes=1)
    assert decide(seen(status=first.status, jobs=(kept_alive,)), NOW + timedelta(minutes=1)).remove_jobs == ("job-1",)


def test_a_job_that_a_newer_one_has_followed_is_given_the_same_minute() -> None:
    """Its pod has ended and the Job controller has not said so yet: its log is still worth having."""
    first = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW)
    jobs = (ended(report()), ended(name="job-2", created_at=NOW, complete=True))
    after = first.status.model_copy(update={"run": succeeded(job_name="job-2")})
    assert decide(seen(status=after, jobs=jobs), NOW + timedelta(seconds=30)).remove_jobs == ()
    assert decide(seen(status=after, jobs=jobs), NOW + timedelta(minutes=1)).remove_jobs == ("job-1",)


def test_a_pod_that_may_have_started_is_looked_at_again_as_soon_as_that_is_known() -> None:
    young = job(pod=PodSeen(PodState.WAITING, scheduled_at=NOW - timedelta(seconds=3)))
    observed = seen(spec=OTHER_TARGET, status=status(run()), jobs=(young,))
    decision = decide(observed, NOW)
    assert (decision.remove_jobs, decision.again_after) == ((), timedelta(seconds=7))
    assert decide(observed, NOW + timedelta(seconds=7)).rule == "run_unstarted_outdated"
