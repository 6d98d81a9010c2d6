"""Conditions hold what kstatus, kubectl wait and Flux rely on, whatever happens to a resource and in whatever order."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.api.conditions import MESSAGE_LIMIT, Condition, Proof, Verdict, Work, clip, find, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.api.status import Status
from dbmigration.api.visible import visible
from dbmigration.decide.observed import Blocked, InvalidSource, JobSeen, MissingSource, Observed, PodSeen, PodState, Progress
from dbmigration.decide.rules import decide, start_refused
from tests.unit.observing import NOW, failure_report, files, report, seen, spec

NEGATIVE = ("Reconciling", "Stalled")

WINDOW = spec(window={"schedule": "0 13 * * *", "duration": "10m"})
SPECS = (spec(), spec(target="003"), spec(suspend=True), spec(retry={"limit": 1}), spec(job={"nodeSelector": {"a": "b"}}), WINDOW, None)
SOURCES = (files("a"), files("b"), MissingSource("files is missing"), InvalidSource("001 twice"))
REPORTS: tuple[Report | None, ...] = (
    None,
    report(),
    report(backup=None, backup_reason=Reason.NOTHING_PENDING, verify_reason=Reason.NO_VERIFY_FILE),
    report(backup=None, backup_reason=Reason.BACKUP_SKIPPED),
    report(outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED),
    report(reason=Reason.PREPARED, executed_sql=False),
    failure_report(Reason.WINDOW_CLOSED, transient=True, executed_sql=True, outcome=Outcome.INTERRUPTED),
    failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True),
    failure_report(Reason.VERIFY_FAILED, transient=False, executed_sql=True, verify_reason=Reason.VERIFY_FAILED),
    failure_report(Reason.LOCK_TIMEOUT, transient=True, executed_sql=True),
    failure_report(Reason.SECRET_MISSING, transient=True, database=None, plan_hash=None, migrations=()),
    report(version="9" * 5000),
)
PODS = (
    PodSeen(PodState.ABSENT),
    PodSeen(PodState.WAITING, blocked=Blocked(Reason.UNSCHEDULABLE, "0/1 nodes are available: " + "x" * 3000)),
    PodSeen(PodState.RUNNING, progress=Progress("apply", done=3)),
    PodSeen(PodState.TERMINATED, exit_code=1),
    PodSeen(PodState.TERMINATED, exit_code=137, disrupted=True),
)

edits = st.builds(lambda value: ("spec", value), st.sampled_from(SPECS))
sources = st.builds(lambda value: ("source", value), st.sampled_from(SOURCES))
retries = st.builds(lambda value: ("retry", value), st.sampled_from((None, "1", "2")))
pods = st.builds(lambda pod, told: ("pod", (pod, told)), st.sampled_from(PODS), st.sampled_from(REPORTS))
losses = st.just(("lose", None))
times = st.builds(lambda seconds: ("wait", seconds), st.integers(0, 4000))
refusals = st.just(("refuse", None))
lives = st.lists(st.one_of(edits, sources, retries, pods, losses, times, refusals), max_size=12)


def broken_invariants(conditions: tuple[Condition, ...], observed_generation: int, generation: int) -> list[str]:
    """The names of Flux's invariants (fluxcd/pkg, runtime/conditions/check, FAIL0001 to FAIL0009) that do not hold.

    Its tenth does not apply: it forbids Reconciling for a generation that was seen before, and a changed ConfigMap is just that.
    """
    ready = find(conditions, "Ready")
    by_type = {c.type: c for c in conditions}
    true = {c.type for c in conditions if c.status == "True"}
    is_ready = "Ready" in true
    broken = {
        "1: no negative condition is True when Ready is True": is_ready and bool(true & set(NEGATIVE)),
        "2: Ready is always there": ready is None,
        "3: Ready is False when Reconciling is True": "Reconciling" in true and (ready is None or ready.status != "False"),
        "4: Ready is False when Stalled is True": "Stalled" in true and (ready is None or ready.status != "False"),
        "5: only one of Reconciling and Stalled is there": all(kind in by_type for kind in NEGATIVE),
        "6: the observed generation is not ahead": observed_generation > generation,
        "7: Ready is not True for an older generation": observed_generation < generation and is_ready,
        "8: no condition is of an older generation when Ready is True": is_ready
        and any((c.observed_generation or 0) < generation for c in conditions),
        "9: all conditions are of the observed generation when Ready is True": is_ready
        and any(c.observed_generation != observed_generation for c in conditions),
        "ours: a negative condition is there only while True": any(by_type[k].status != "True" for k in NEGATIVE if k in by_type),
        "ours: every condition has a reason and at most 1 KiB of message": any(
            not c.reason or len(c.message.encode()) > MESSAGE_LIMIT for c in conditions
        ),
        "ours: no type twice": len(by_type) != len(conditions),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def moved_without_cause(before: tuple[Condition, ...], after: tuple[Condition, ...], now: datetime) -> list[str]:
    """Conditions whose lastTransitionTime does not tell when their status last changed."""
    wrong = []
    for condition in after:
        old = find(before, condition.type)
        expected = now if old is None or old.status != condition.status else old.last_transition_time
        if condition.last_transition_time != expected:
            wrong.append(condition.type)
    return wrong


class Life:
    """A resource, the cluster around it, and what the operator makes of it."""

    def __init__(self) -> None:
        self.now = NOW
        self.observed: Observed = seen(retry=None)

    def happens(self, kind: str, value: object) -> None:
        o = self.observed
        match kind, value:
            case "spec", _:
                self.observed = replace(o, spec=value, spec_error="bad" if value is None else None, generation=o.generation + 1)  # type: ignore[arg-type]
            case "source", _:
                self.observed = replace(o, source=value)  # type: ignore[arg-type]
            case "retry", _:
                self.observed = replace(o, retry=value)  # type: ignore[arg-type]
            case "pod", (PodSeen() as pod, (Report() | None) as told) if o.jobs:
                last = replace(o.jobs[-1], pod=pod, report=told if pod.state is PodState.TERMINATED else None)
                self.observed = replace(o, jobs=(*o.jobs[:-1], replace(last, complete=pod.exit_code == 0)))
            case "lose", _:
                self.observed = replace(o, jobs=o.jobs[:-1])
            case "wait", int(seconds):
                self.now += timedelta(seconds=seconds)

    def is_looked_at(self, *, refused: bool) -> Status:
        o = self.observed
        decision = decide(o, self.now)
        if decision.start is not None and refused:
            decision = start_refused(o, Blocked(Reason.ADMISSION_DENIED, "exceeded quota"), self.now, "job-1")
        start = decision.start
        jobs = tuple(job for job in o.jobs if job.name not in decision.remove_jobs)
        if start is not None:
            made = JobSeen(start.job_name, start.run_key, start.spec_hash, start.pod_hash, start.attempt, start.retry_value, self.now)
            jobs = (*jobs, made)
        self.observed = replace(o, jobs=jobs, status=decision.status)
        return decision.status


@settings(max_examples=400, deadline=None)
@given(lives)
def test_flux_invariants_hold_through_any_life(life: list[tuple[str, object]]) -> None:
    resource = Life()
    for kind, value in [("wait", 0), *life]:
        resource.happens(kind, value)
        for _ in range(3):
            before = resource.observed.status.conditions
            status = resource.is_looked_at(refused=kind == "refuse")
            if status.conditions:
                assert broken_invariants(status.conditions, status.observed_generation, resource.observed.generation) == []
                assert moved_without_cause(before, status.conditions, resource.now) == []
            Status.model_validate_json(status.to_json())


def flawed(*kinds: tuple[str, str], observed: int = 1) -> tuple[Condition, ...]:
    return tuple(
        Condition(type=kind, status=word, reason="R", message="", last_transition_time=NOW, observed_generation=observed)
        for kind, word in kinds
    )


@pytest.mark.parametrize(
    ("conditions", "observed", "generation", "number"),
    [
        (flawed(("Ready", "True"), ("Stalled", "True")), 1, 1, "1"),
        (flawed(("Stalled", "True")), 1, 1, "2"),
        (flawed(("Ready", "Unknown"), ("Reconciling", "True")), 1, 1, "3"),
        (flawed(("Ready", "Unknown"), ("Stalled", "True")), 1, 1, "4"),
        (flawed(("Ready", "False"), ("Stalled", "True"), ("Reconciling", "True")), 1, 1, "5"),
        (flawed(("Ready", "False")), 2, 1, "6"),
        (flawed(("Ready", "True")), 1, 2, "7"),
        (flawed(("Ready", "True")), 2, 2, "8"),
        (flawed(("Ready", "True"), observed=3), 2, 2, "9"),
    ],
)
def test_the_check_of_the_invariants_sees_each_kind_of_flaw(
    conditions: tuple[Condition, ...], observed: int, generation: int, number: str
) -> None:
    assert number in [name.split(":")[0] for name in broken_invariants(conditions, observed, generation)]


def test_transition_time_moves_only_with_status() -> None:
    first = set_conditions((), Verdict(False, Work.RECONCILING, "Running", "a"), generation=1, now=NOW)
    later = NOW + timedelta(minutes=1)
    same = set_conditions(first, Verdict(False, Work.RECONCILING, "Unschedulable", "b"), generation=2, now=later)
    assert {c.last_transition_time for c in same} == {NOW}
    assert {(c.reason, c.observed_generation) for c in same} == {("Unschedulable", 2)}
    done = set_conditions(same, Verdict(True, Work.IDLE, "UpToDate", ""), generation=2, now=later)
    assert [(c.type, c.last_transition_time) for c in done] == [("Ready", later)]


def test_proofs_stay_until_something_else_is_proved() -> None:
    first = set_conditions(
        (),
        Verdict(True, Work.IDLE, "UpToDate", ""),
        generation=1,
        now=NOW,
        backed_up=Proof(True, "BackupVerified", "x"),
        verified=Proof(False, "NoVerifyFile", ""),
    )
    second = set_conditions(first, Verdict(False, Work.STALLED, "SqlFailed", ""), generation=2, now=NOW)
    assert [(c.type, c.status, c.reason, c.observed_generation) for c in second] == [
        ("Ready", "False", "SqlFailed", 2),
        ("Stalled", "True", "SqlFailed", 2),
        ("BackedUp", "True", "BackupVerified", 2),
        ("Verified", "False", "NoVerifyFile", 2),
    ]


def test_ready_and_at_work_cannot_be_said_together() -> None:
    with pytest.raises(ValueError, match="Ready cannot be True"):
        Verdict(True, Work.RECONCILING, "Running", "")


@given(st.text(max_size=2000))
def test_clipped_text_fits_and_is_a_beginning(text: str) -> None:
    short = clip(text, 100)
    assert len(short.encode()) <= 100
    assert visible(text).startswith(short.removesuffix("…")) or short == visible(text)
