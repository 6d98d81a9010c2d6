"""`spec.rehearsal`: what a run is told, and what its result leaves on the resource."""

from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import TERMINATION_LIMIT, RehearsalReport, RehearsedFile, RehearsedLock, RehearsedRewrite, RehearsedStatement
from dbmigration.api.request import REHEARSAL_SECRET_DIR
from dbmigration.api.status import STATUS_LIMIT, Status
from dbmigration.decide import keys
from dbmigration.decide.rules import decide
from dbmigration.kube.jobs import build_job
from tests.unit.observing import BACKUP, NOW, RUNNER, ended, failure_report, report, run, seen, spec
from tests.unit.rehearsing import MINUTE, ON, after, rehearsal


def test_without_it_a_run_is_told_nothing_and_off_is_the_same() -> None:
    for given in (spec(), spec(rehearsal={"mode": "Off"}), spec(rehearsal={"mode": "Off"}, backup={"policy": "Skip"})):
        start = decide(seen(spec=given), NOW).start
        assert start is not None
        assert start.request.rehearsal is None


def test_a_run_is_told_of_the_limits_and_of_the_other_server() -> None:
    given = spec(
        rehearsal={
            "where": "OtherServer",
            "secretRef": {"name": "scratch", "key": "dsn"},
            "maxLockSeconds": 5,
            "failOnRewrite": True,
            "jobs": 4,
        }
    )
    start = decide(seen(spec=given), NOW).start
    assert start is not None
    asked = start.request.rehearsal
    assert asked is not None
    assert (asked.secret_name, asked.secret_keys.uri) == ("scratch", "dsn")
    assert (asked.max_lock_ms, asked.fail_on_rewrite, asked.jobs, asked.proved_plan) == (5000, True, 4, None)
    pod = build_job(start, given, RUNNER)["spec"]["template"]["spec"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == REHEARSAL_SECRET_DIR]
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes[mount["name"]]["secret"] == {"secretName": "scratch", "optional": True, "defaultMode": 0o440}
    assert mount["readOnly"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"rehearsal": {}, "backup": {"policy": "Skip"}},
        {"rehearsal": {"where": "Pod"}},
        {"rehearsal": {"server": {"image": "postgres:17"}}},
        {"rehearsal": {"where": "Pod", "server": {}}},
        {"rehearsal": {"where": "Pod", "server": {"image": "postgres:17", "storage": "10 GB"}}},
        {"rehearsal": {"where": "Pod", "server": {"image": "postgres:17", "parameters": {"work_mem = 1 #": "x"}}}},
        {"rehearsal": {"where": "OtherServer"}},
        {"rehearsal": {"secretRef": {"name": "scratch"}}},
        {"rehearsal": {"maxLockSeconds": 0}},
        {"rehearsal": {"mode": "Always"}},
        {"rehearsal": {"maxAge": "a day"}},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="rehearsal"):
        spec(**changes)


def test_a_plan_that_failed_in_the_copy_stalls_until_something_changes() -> None:
    found = rehearsal(1, passed=False)
    said = failure_report(Reason.REHEARSAL_FAILED, transient=False, rehearsal=found, backup=BACKUP, backup_reason=Reason.BACKUP_VERIFIED)
    decision = after(ON, said)
    assert decision.rule == "settled"
    stalled = find(decision.status.conditions, ConditionType.STALLED)
    assert stalled is not None
    assert stalled.reason == Reason.REHEARSAL_FAILED
    assert decision.status.rehearsal == found
    assert decision.status.next_steps[-1] == "read docs/runbook/RehearsalFailed.md"


@pytest.mark.parametrize(
    ("known", "age", "limit", "proved"),
    [
        (rehearsal(1), timedelta(minutes=1), "24h", "sha256:plan"),
        (rehearsal(1), timedelta(hours=24), "24h", None),
        (rehearsal(1), timedelta(seconds=1), "0s", None),
        (rehearsal(1, passed=False), timedelta(minutes=1), "24h", None),
    ],
)
def test_a_plan_that_passed_is_not_rehearsed_again_for_a_while(
    known: RehearsalReport, age: timedelta, limit: str, proved: str | None
) -> None:
    given = spec(rehearsal={"maxAge": limit})
    before = run(key="another", spec_hash=keys.spec_hash(given), finished_at=NOW, outcome="Succeeded", reason=Reason.PREPARED)
    start = decide(seen(spec=given, status=Status(run=before, rehearsal=known)), NOW + age).start
    assert start is not None
    assert start.request.rehearsal is not None
    assert start.request.rehearsal.proved_plan == proved
    assert start.request.rehearsal.proved_ms == ({"005_x.sql": MINUTE} if proved else {})


def test_a_changed_limit_asks_for_another_rehearsal() -> None:
    before = run(spec_hash=keys.spec_hash(ON), finished_at=NOW, outcome="Succeeded", reason=Reason.PREPARED)
    given = spec(rehearsal={"failOnRewrite": True})
    start = decide(seen(spec=given, status=Status(run=before, rehearsal=rehearsal(1))), NOW).start
    assert start is not None
    assert start.request.rehearsal is not None
    assert start.request.rehearsal.proved_plan is None


def test_a_rehearsal_is_an_event_and_the_restored_backup_is_in_the_condition() -> None:
    lock = RehearsedLock(table="public.t", mode="ACCESS EXCLUSIVE", held_ms=2500, file="005_x.sql", line=1)
    said = report(rehearsal=rehearsal(1, locks=(lock,)), backup=BACKUP.model_copy(update={"restored_at": NOW}))
    status = Status(run=run())
    first = decide(seen(status=status, jobs=(ended(said),)), NOW)
    (told,) = [each.message for each in first.announcements if each.reason == "Rehearsed"]
    assert "ACCESS EXCLUSIVE on public.t for 2.5 s" in told
    backed_up = find(first.status.conditions, ConditionType.BACKED_UP)
    assert backed_up is not None
    assert "restored" in backed_up.message
    assert first.status.backup is not None
    assert first.status.backup.restored_at == NOW


def test_a_long_rehearsal_fits_into_status_and_termination_message() -> None:
    name = "x" * 250
    found = rehearsal(
        *range(20),
        files=tuple(RehearsedFile(name=name, statements=10**6, duration_ms=10**9) for _ in range(20)),
        slowest=tuple(RehearsedStatement(file=name, line=10**6, statement="é" * 120, duration_ms=10**9) for _ in range(5)),
        locks=tuple(RehearsedLock(table=name, mode="ACCESS EXCLUSIVE", held_ms=10**9, file=name, line=1) for _ in range(10)),
        rewrites=tuple(RehearsedRewrite(table=name, bytes=10**12, file=name, line=1) for _ in range(5)),
        message="ü" * 300,
    )
    said = report(rehearsal=found)
    short = said.summary()
    assert len(short.to_json().encode()) <= TERMINATION_LIMIT
    assert short.truncated
    assert short.rehearsal is not None
    assert short.rehearsal.passed
    status = decide(seen(status=Status(run=run()), jobs=(ended(said),)), NOW).status
    assert status.rehearsal == found
    assert len(status.to_json().encode()) <= STATUS_LIMIT
