"""`spec.rehearsal`: what a run is told, what its result leaves on the resource, and whether a window is long enough."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import (
    TERMINATION_LIMIT,
    Outcome,
    RehearsalReport,
    RehearsedFile,
    RehearsedLock,
    RehearsedRewrite,
    RehearsedStatement,
    Report,
)
from dbmigration.api.request import REHEARSAL_SECRET_DIR, FetchRequest
from dbmigration.api.server_script import USER_ANNOTATION
from dbmigration.api.spec import Spec
from dbmigration.api.status import STATUS_LIMIT, Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.fit import Fit, fit, lasting
from dbmigration.decide.observed import Blocked, FetchedSource
from dbmigration.decide.rules import decide
from dbmigration.kube.jobs import build_job
from tests.unit.observing import BACKUP, NOW, RUNNER, ended, failure_report, key_of, report, run, seen, spec

MINUTE = 60_000
HOUR = 60 * MINUTE
ON = spec(rehearsal={})
OPEN = {"schedule": "0 11 * * *", "duration": "2h"}
"""From an hour before NOW to an hour after it; the next is tomorrow at eleven."""


def rehearsal(*minutes: float, passed: bool = True, plan_hash: str = "sha256:plan", **changes: Any) -> RehearsalReport:
    """Files 005_x.sql and on that took so many minutes, rehearsed in the last ten."""
    files = tuple(
        RehearsedFile(name=f"{number:03d}_x.sql", statements=1, duration_ms=int(each * MINUTE)) for number, each in enumerate(minutes, 5)
    )
    base = RehearsalReport(
        passed=passed,
        plan_hash=plan_hash,
        backup_uri=BACKUP.uri,
        started_at=NOW - timedelta(minutes=10),
        completed_at=NOW,
        duration_ms=sum(file.duration_ms for file in files),
        files=files,
    )
    return base.model_copy(update=changes)


def prepared(found: RehearsalReport, **changes: Any) -> Report:
    names = tuple(file.name for file in found.files)
    given = {"reason": Reason.PREPARED, "executed_sql": False, "applied_now": (), "pending": len(names), "pending_names": names}
    return report(**(given | {"rehearsal": found} | changes))


def after(given: Spec, said: Report) -> Decision:
    """What is decided after a run of this spec has said this."""
    of = run().model_copy(update={"key": key_of(given), "spec_hash": keys.spec_hash(given)})
    job = ended(said, run_key=key_of(given), spec_hash=keys.spec_hash(given), complete=True)
    first = decide(seen(spec=given, status=Status(run=of), jobs=(job,)), NOW)
    assert first.rule == "run_finished"
    return decide(seen(spec=given, status=first.status, jobs=(job,)), NOW)


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


POD = {"where": "Pod", "server": {"image": "postgres:17", "storage": "2Gi", "parameters": {"shared_preload_libraries": "pg_cron"}}}


def pod_of(given: Spec, **observed: Any) -> dict[str, Any]:
    start = decide(seen(spec=given, **observed), NOW).start
    assert start is not None
    found: dict[str, Any] = build_job(start, given, RUNNER)["spec"]["template"]
    return found


def test_a_server_in_the_pod_shares_one_volume_with_the_runner_and_is_confined_like_it() -> None:
    given = spec(rehearsal=POD)
    start = decide(seen(spec=given), NOW).start
    assert start is not None
    assert start.request.rehearsal is not None
    told = start.request.rehearsal.server
    assert told is not None
    assert (told.image, told.storage, told.parameters) == ("postgres:17", 2 * 2**30, {"shared_preload_libraries": "pg_cron"})
    template = pod_of(given)
    pod = template["spec"]
    (server,), (runner,) = pod["initContainers"], pod["containers"]
    assert (server["name"], server["image"], server["restartPolicy"]) == ("rehearsal-server", "postgres:17", "Always")
    assert server["securityContext"] == runner["securityContext"]
    assert server["resources"]["limits"] == {"memory": "1Gi"}
    assert "env" not in server
    volumes = {each["name"]: each for each in pod["volumes"]}
    common = {each["name"] for each in server["volumeMounts"]} & {each["name"] for each in runner["volumeMounts"]}
    assert common == {"rehearsal-server"}
    assert volumes["rehearsal-server"]["emptyDir"] == {"sizeLimit": "2Gi"}
    assert all("emptyDir" in volumes[each["name"]] or "downwardAPI" in volumes[each["name"]] for each in server["volumeMounts"])
    user = pod["securityContext"]["runAsUser"]
    assert template["metadata"]["annotations"][USER_ANNOTATION].startswith(f"postgres:x:{user}:{user}:")


def test_the_servers_resources_and_pull_policy_are_those_of_the_spec_and_files_of_an_image_come_first() -> None:
    server = {"image": "postgres:17", "imagePullPolicy": "Never", "resources": {"limits": {"memory": "4Gi"}}}
    given = spec(rehearsal={"where": "Pod", "server": server}, source={"image": {"reference": "app:1"}})
    found = pod_of(given, source=FetchedSource("x", FetchRequest(image="app:1")))["spec"]["initContainers"]
    assert [each["name"] for each in found] == ["source", "rehearsal-server"]
    assert (found[1]["imagePullPolicy"], found[1]["resources"]) == ("Never", {"limits": {"memory": "4Gi"}})


@pytest.mark.parametrize("changes", [{"rehearsal": {}}, {"rehearsal": POD | {"mode": "Off"}}])
def test_without_a_rehearsal_in_the_pod_there_is_no_server(changes: dict[str, Any]) -> None:
    assert "initContainers" not in pod_of(spec(**changes))["spec"]


def test_a_rollback_is_told_of_it_too() -> None:
    assert len(pod_of(spec(rehearsal=POD, rollback={"to": "003"}))["spec"]["initContainers"]) == 1


def test_a_rollback_that_would_not_fit_into_the_window_is_not_started() -> None:
    found = rehearsal(90, plan_hash="sha256:back", lost=("public.a: 3 of 100 rows",))
    back = spec(rehearsal={}, window=OPEN, rollback={"to": "004"})
    said = prepared(found, plan_hash="sha256:back", pending=0, pending_names=())
    decision = after(back, said)
    assert (decision.rule, decision.start) == ("window_too_short", None)
    assert decision.status.rehearsal is not None
    assert decision.status.rehearsal.lost == ("public.a: 3 of 100 rows",)


def test_a_copy_that_outgrew_its_storage_stalls_until_the_spec_changes() -> None:
    given = spec(rehearsal=POD)
    of = run().model_copy(update={"key": key_of(given), "spec_hash": keys.spec_hash(given)})
    outgrown = Blocked(Reason.REHEARSAL_SERVER_FAILED, "it does not fit")
    interrupted = failure_report(Reason.INTERRUPTED, transient=True, outcome=Outcome.INTERRUPTED)
    for said in (None, interrupted):
        job = ended(said, run_key=key_of(given), spec_hash=keys.spec_hash(given))
        job = replace(job, pod=replace(job.pod, disrupted=True, server_failed=outgrown))
        first = decide(seen(spec=given, status=Status(run=of), jobs=(job,)), NOW)
        second = decide(seen(spec=given, status=first.status, jobs=(job,)), NOW)
        stalled = find(second.status.conditions, ConditionType.STALLED)
        assert stalled is not None
        assert (stalled.reason, second.start) == (Reason.REHEARSAL_SERVER_FAILED, None)
        more = spec(rehearsal={"where": "Pod", "server": {"image": "postgres:17", "storage": "4Gi"}})
        assert decide(seen(spec=more, status=first.status, jobs=(job,)), NOW).start is not None


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


@pytest.mark.parametrize(
    ("files", "left", "whole", "expected"),
    [
        ([10, 20], 45, 120, Fit.NOW),
        ([10, 20], 44, 120, Fit.LATER),
        ([60, 60], 90, 120, Fit.NOW),  # together they fit no window, the first fits this one
        ([60, 60], 89, 120, Fit.LATER),
        ([81, 1], 120, 120, Fit.NEVER),
        ([], 0, 120, Fit.NOW),
    ],
)
def test_files_fit_together_or_one_by_one(files: list[int], left: int, whole: int, expected: Fit) -> None:
    assert fit(files, left_ms=left, whole_ms=whole) is expected


@pytest.mark.parametrize(("ms", "words"), [(0, "0 ms"), (12_340, "12.3 s"), (4 * MINUTE, "4 min"), (2 * HOUR + 5 * MINUTE, "2 h 5 min")])
def test_times_are_said_as_a_person_says_them(ms: int, words: str) -> None:
    assert lasting(ms) == words


@pytest.mark.parametrize(
    ("minutes", "rule", "says"),
    [
        ((30,), "run_due", ""),
        ((50,), "window_too_short", "50 min in the rehearsal"),
        ((50,), "window_too_short", "fit into the 1 h 0 min that are left of this window; the next opens at 2026-11-24T11:00:00Z"),
        ((90, 1), "window_too_short", "005_x.sql took 1 h 30 min in the rehearsal"),
        ((90, 1), "window_too_short", "longer than any window of 2h: widen spec.window, or split the file"),
        ((35, 70), "run_due", ""),
    ],
)
def test_a_run_that_would_not_fit_into_the_window_is_not_started(minutes: tuple[int, ...], rule: str, says: str) -> None:
    decision = after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(*minutes)))
    assert decision.rule == rule
    if says:
        ready = find(decision.status.conditions, ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", Reason.WINDOW_CLOSED)
        assert says in ready.message
        assert not {each.type for each in decision.status.conditions} & {ConditionType.RECONCILING, ConditionType.STALLED}
        assert decision.status.window is not None
        assert decision.start is None


def test_it_starts_when_the_next_window_opens() -> None:
    given = spec(rehearsal={}, window=OPEN)
    waits = after(given, prepared(rehearsal(50)))
    opening = NOW + timedelta(hours=23)
    closed = decide(seen(spec=given, status=waits.status), NOW + timedelta(hours=2))
    assert closed.rule == "window_closed"
    opened = decide(seen(spec=given, status=closed.status), opening)
    assert opened.start is not None
    assert opened.start.request.window_ms == 2 * HOUR
    assert opened.start.request.rehearsal is not None
    assert opened.start.request.rehearsal.proved_plan == "sha256:plan"


@pytest.mark.parametrize(("minutes", "says"), [(90, "longer than any window of 2h"), (30, "the window opens at 2026-11-24T09:00:00Z")])
def test_that_a_file_fits_into_no_window_is_said_before_one_opens(minutes: int, says: str) -> None:
    decision = after(spec(rehearsal={}, window={"schedule": "0 9 * * *", "duration": "2h"}), prepared(rehearsal(minutes)))
    assert decision.rule == "window_closed"
    ready = find(decision.status.conditions, ConditionType.READY)
    assert ready is not None
    assert says in ready.message
    assert decision.status.window is not None


def test_what_comes_before_the_files_counts_too() -> None:
    """30 minutes of files fit into an hour with their margin; with a backup of 20 minutes before them they do not."""
    backup = BACKUP.model_copy(update={"started_at": NOW - timedelta(minutes=20)})
    assert after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(30), backup=backup)).rule == "window_too_short"


@pytest.mark.parametrize("plan_hash", ["sha256:plan", "sha256:rest"])
@pytest.mark.parametrize(("left", "rule"), [(20, "run_due"), (50, "window_too_short")])
def test_of_an_interrupted_run_only_the_rest_has_to_fit(plan_hash: str, left: int, rule: str) -> None:
    """The report of the run that was interrupted has the hash of the whole plan, that of the next one has the rest's."""
    rest = {"pending": 1, "pending_names": ("006_x.sql",), "plan_hash": plan_hash}
    assert after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(40, left)).model_copy(update=rest)).rule == rule


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
