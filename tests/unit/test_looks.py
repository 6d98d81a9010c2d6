"""Looks at the schema between runs: when one starts, what it says, and that it stands in no run's way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.names import LOOK, PURPOSE_ANNOTATION
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.api.status import DIFFERENCES_KEPT, DriftStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.looks import LOOK_SECONDS, look_refused, next_look
from dbmigration.decide.observed import Blocked, JobSeen, Observed, PodSeen, PodState
from dbmigration.decide.rules import decide
from dbmigration.kube.jobs import build_job
from tests.unit.observing import NOW, RUNNER, ended, failed, failure_report, job, report, run, seen, spec, succeeded, waiting

HOURLY = spec(driftCheck={"schedule": "0 * * * *"})
FINISHED = NOW - timedelta(minutes=59)
DRIFT = ("app.projects.region: text → varchar(20)",)


def settled(**changes: object) -> Observed:
    """A resource that looks every hour, an hour after its run."""
    after = Status(run=succeeded().model_copy(update={"finished_at": FINISHED}))
    return replace(seen(spec=HOURLY, status=after), **changes)  # type: ignore[arg-type]


def look(**changes: object) -> JobSeen:
    return replace(job(name="studio-drift-1", look=True, run_key="", spec_hash="", pod_hash=""), **changes)  # type: ignore[arg-type]


def looked(found: Report | None, **changes: object) -> JobSeen:
    """A look that has ended with this report."""
    return replace(ended(found), **({"name": "studio-drift-1", "look": True} | changes))  # type: ignore[arg-type]


def in_sync(decision: Decision) -> tuple[str, str] | None:
    found = find(decision.status.conditions, ConditionType.SCHEMA_IN_SYNC)
    return (found.status, found.reason) if found else None


def ready(decision: Decision) -> str:
    found = find(decision.status.conditions, ConditionType.READY)
    return found.status if found else "none"


SAME = report(run_id="studio-drift-1", schema_compared=True, applied_now=(), backup=None, backup_reason=None, verify_reason=None)
OTHER = SAME.model_copy(update={"drift": DRIFT, "drift_count": 1})


def test_a_look_starts_when_it_is_due_and_ready_stays_what_it_is() -> None:
    decision = decide(settled(), NOW)
    assert (decision.rule, ready(decision)) == ("settled", "True")
    assert decision.start is not None
    assert decision.start.request.look_only
    assert decision.start.request.backup.required is False
    assert decision.status.run == settled().status.run


def test_before_that_the_operator_comes_back_in_time() -> None:
    decision = decide(settled(), NOW - timedelta(minutes=10))
    assert (decision.start, decision.again_after) == (None, timedelta(minutes=10))


def test_the_same_look_has_the_same_name_after_a_restart_and_the_next_has_another() -> None:
    first, again = decide(settled(), NOW).start, decide(settled(), NOW + timedelta(seconds=30)).start
    later = decide(settled(status=Status(run=succeeded().model_copy(update={"finished_at": NOW}))), NOW + timedelta(hours=2)).start
    assert first is not None
    assert again is not None
    assert later is not None
    assert first.job_name == again.job_name != later.job_name
    assert len(first.job_name) <= 57


@pytest.mark.parametrize(
    "observed",
    [
        settled(spec=spec()),
        settled(spec=spec(driftCheck={"policy": "Refuse"})),
        settled(spec=spec(driftCheck={"schedule": "0 * * * *"}, suspend=True)),
        settled(looks=(look(),)),
        settled(looks=(look(pod=PodSeen(PodState.WAITING)),)),
    ],
    ids=["no schedule", "policy only", "suspended", "one is under way", "one waits for its node"],
)
def test_no_look_starts(observed: Observed) -> None:
    assert decide(observed, NOW).start is None


@pytest.mark.parametrize(
    ("observed", "rule"),
    [
        (settled(status=Status(run=run()), jobs=(job(),)), "run_active"),
        (settled(status=Status(run=waiting(spec_hash=keys.spec_hash(HOURLY)))), "retry_not_due"),
    ],
)
def test_a_run_that_is_under_way_or_waits_for_its_next_try_is_left_alone(observed: Observed, rule: str) -> None:
    decision = decide(observed, NOW)
    assert (decision.rule, decision.start) == (rule, None)


def test_a_resource_that_failed_for_good_is_looked_at_too() -> None:
    after = Status(run=failed(finished_at=FINISHED, spec_hash=keys.spec_hash(HOURLY)))
    decision = decide(settled(status=after), NOW)
    assert decision.start is not None
    assert decision.start.request.look_only
    assert ready(decision) == "False"


def test_a_run_that_is_due_ends_a_look() -> None:
    decision = decide(settled(status=Status(), looks=(look(),)), NOW)
    assert (decision.rule, decision.remove_jobs) == ("run_due", ("studio-drift-1",))


@pytest.mark.parametrize(
    ("given", "condition", "count"),
    [
        (looked(SAME), ("True", "NoDrift"), 0),
        (looked(OTHER), ("False", "SchemaDrifted"), 1),
        (looked(SAME.model_copy(update={"schema_compared": False, "drift_note": "another run"})), ("Unknown", "SchemaNotCompared"), 0),
        (looked(failure_report(Reason.DATABASE_UNAVAILABLE, transient=True)), ("Unknown", "DatabaseUnavailable"), 0),
        (looked(None), ("Unknown", "RunnerLost"), 0),
        (looked(None, failed="DeadlineExceeded"), ("Unknown", "DeadlineExceeded"), 0),
    ],
)
def test_what_a_look_found_is_said_and_ready_is_not_touched(given: JobSeen, condition: tuple[str, str], count: int) -> None:
    before = decide(settled(), NOW - timedelta(minutes=10)).status
    decision = decide(settled(status=before, looks=(given,)), NOW)
    assert (decision.rule, in_sync(decision), ready(decision)) == ("look_finished", condition, "True")
    assert decision.status.drift == DriftStatus(
        checked_at=NOW, job_name="studio-drift-1", count=count, differences=DRIFT if count else (), last_handled_check=None
    )
    assert decision.status.run == before.run


def test_a_failed_look_forgets_no_difference() -> None:
    before = decide(settled(looks=(looked(OTHER),)), NOW).status
    other = looked(failure_report(Reason.DATABASE_UNAVAILABLE, transient=True))
    decision = decide(settled(status=before, looks=(replace(other, name="studio-drift-2"),)), NOW)
    assert decision.status.drift is not None
    assert (decision.status.drift.count, decision.status.drift.differences) == (1, DRIFT)


def test_the_result_of_a_look_is_stored_once_also_while_a_run_is_under_way() -> None:
    observed = settled(status=Status(run=run()), jobs=(job(),), looks=(looked(OTHER),))
    first = decide(observed, NOW)
    assert first.rule == "look_finished"
    assert decide(replace(observed, status=first.status), NOW).rule == "run_active"


def test_a_report_that_is_too_big_is_cut_to_fit() -> None:
    huge = OTHER.model_copy(update={"drift": ("x" * 100_000,) * 500, "drift_count": 10**30})
    decision = decide(settled(looks=(looked(huge),)), NOW)
    assert decision.status.drift is not None
    assert len(decision.status.drift.differences) == DIFFERENCES_KEPT
    assert decision.status.drift.count < 2**63
    assert len(decision.status.to_json()) < 8192


def test_an_event_tells_of_a_change_once() -> None:
    def told(decision: Decision) -> list[tuple[str, bool]]:
        return [(each.reason, each.warning) for each in decision.announcements]

    same = decide(settled(looks=(looked(SAME),)), NOW)
    assert told(same) == []
    drifted = decide(settled(status=same.status, looks=(looked(OTHER, name="studio-drift-2"),)), NOW)
    assert told(drifted) == [("SchemaDrifted", True)]
    still = decide(settled(status=drifted.status, looks=(looked(OTHER, name="studio-drift-3"),)), NOW)
    assert told(still) == []
    undone = decide(settled(status=still.status, looks=(looked(SAME, name="studio-drift-4"),)), NOW)
    assert told(undone) == [("NoDrift", False)]


def test_a_run_that_compares_says_so_too() -> None:
    compared = report(schema_compared=True, drift=DRIFT, drift_count=1)
    decision = decide(settled(status=Status(run=run()), jobs=(ended(compared),)), NOW)
    assert (decision.rule, in_sync(decision)) == ("run_finished", ("False", "SchemaDrifted"))
    assert decision.status.drift == DriftStatus(checked_at=NOW, count=1, differences=DRIFT)
    first = decide(settled(status=Status(run=run()), jobs=(ended(report()),)), NOW)
    assert (in_sync(first), first.status.drift) == (None, None)


def test_a_person_asks_for_a_look_and_gets_one() -> None:
    observed = settled(spec=spec(), check_drift="1")
    decision = decide(observed, NOW)
    assert decision.start is not None
    assert decision.start.retry_value == "1"
    after = decide(replace(observed, looks=(looked(SAME, retry_value="1"),)), NOW).status
    assert decide(replace(observed, status=after), NOW).start is None
    assert decide(replace(observed, status=after, check_drift="2"), NOW).start is not None


def test_a_look_that_the_api_server_refuses_is_said_and_tried_at_the_next_time() -> None:
    observed = settled(check_drift="1")
    decision = look_refused(observed, Blocked(Reason.ADMISSION_DENIED, "exceeded quota"), NOW)
    assert in_sync(decision) == ("Unknown", "AdmissionDenied")
    assert decide(replace(observed, status=decision.status), NOW).start is None


def test_old_looks_are_removed_and_the_newest_stays_for_its_log() -> None:
    done = DriftStatus(checked_at=NOW, job_name="studio-drift-3")
    looks = tuple(look(name=f"studio-drift-{number}", complete=True, pod=PodSeen(PodState.ABSENT)) for number in (1, 2, 3))
    decision = decide(settled(status=Status(run=succeeded(), drift=done), looks=looks), NOW)
    assert decision.remove_jobs == ("studio-drift-1", "studio-drift-2")


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("30 6 * * *", None, datetime(2026, 11, 23, 7, 0, tzinfo=UTC), datetime(2026, 11, 24, 6, 30, tzinfo=UTC)),
        ("30 6 * * *", "Europe/Rome", datetime(2026, 11, 23, 7, 0, tzinfo=UTC), datetime(2026, 11, 24, 5, 30, tzinfo=UTC)),
        # The clock is put forward at 2:00 that night: a look at 2:30 is not left out.
        ("30 2 * * *", "Europe/Rome", datetime(2026, 3, 28, 12, 0, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        # And put back at 3:00: it does not happen twice.
        ("30 2 * * *", "Europe/Rome", datetime(2026, 10, 25, 0, 40, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_schedule_is_about_the_clock_of_its_time_zone(schedule: str, zone: str | None, after: datetime, due: datetime) -> None:
    check = {"schedule": schedule} | ({"timeZone": zone} if zone else {})
    observed = seen(spec=spec(driftCheck=check), status=Status(run=succeeded().model_copy(update={"finished_at": after})))
    assert next_look(observed) == due


def test_the_job_of_a_look_mounts_no_backup_and_has_an_end() -> None:
    start = decide(settled(), NOW).start
    assert start is not None
    made = build_job(start, HOURLY, RUNNER)
    assert made["metadata"]["annotations"][PURPOSE_ANNOTATION] == LOOK
    assert made["spec"]["activeDeadlineSeconds"] == LOOK_SECONDS
    volumes = [volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]]
    assert volumes == ["migrations", "secret", "tmp"]
