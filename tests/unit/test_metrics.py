"""What Prometheus is told: of a resource's status, of what the operator did, and nothing of what is gone."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.report import Report
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.status import DatabaseStatus, ProgressStatus, RunStatus, Status, WindowStatus
from dbmigration.decide.figures import GAUGES, ended_run, figures_of
from dbmigration.decide.restoring.figures import RESTORE_GAUGES, ended_step, restore_figures_of
from dbmigration.handlers.index import ResourceKey, RestoreKey
from dbmigration.handlers.metrics import Metrics
from dbmigration.kube.client import verb_and_resource
from dbmigration.run.clock import RunClock
from dbmigration.run.progress import Progress, Step

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY, OTHER = ResourceKey("apps", "studio"), ResourceKey("apps", "other")
ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "manifests" / "monitoring"


def run(**changes: Any) -> RunStatus:
    return RunStatus(key="k", job_name="studio-1", started_at=NOW - timedelta(seconds=30), **changes)


ENDED = run(
    finished_at=NOW, outcome="Succeeded", reason="UpToDate", steps_ms={"backup": 20_000, "apply": 1500}, lock_waits=2, lock_wait_ms=3000
)
FULL = Status(
    observed_generation=1,
    conditions=set_conditions((), Verdict(True, Work.IDLE, "UpToDate", ""), generation=1, now=NOW),
    version="004",
    applied=4,
    pending=0,
    database=DatabaseStatus(identity="1/2", name="studio", server_version="15.6 (Debian)"),
    run=ENDED,
    last_success_at=NOW,
    window=WindowStatus(next_opening=NOW),
    backup=BackupRecord(
        uri="pvc://b/x",
        bytes=1234,
        sha256="a",
        server_version="15.6",
        dump_version="15.6",
        database="studio",
        started_at=NOW - timedelta(seconds=20),
        completed_at=NOW,
        verified=True,
    ),
)


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def body(status: Status) -> dict[str, Any]:
    return {"spec": {"environment": "production"}, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}


def test_a_status_is_told_in_numbers() -> None:
    told = {(figure.gauge.name, figure.labels): figure.value for figure in figures_of(FULL, "production")}
    assert told["dbmigration_resource_info", ("production", "004", "15.6")] == 1
    assert told["dbmigration_condition", ("Ready", "UpToDate")] == 1
    assert told["dbmigration_applied_migrations", ()] == 4
    assert told["dbmigration_last_run_duration_seconds", ()] == 30
    assert told["dbmigration_last_run_step_duration_seconds", ("backup",)] == 20
    assert told["dbmigration_last_run_lock_wait_seconds", ()] == 3
    assert told["dbmigration_last_success_timestamp_seconds", ()] == NOW.timestamp()
    assert told["dbmigration_backup_bytes", ()] == 1234
    assert told["dbmigration_backup_duration_seconds", ()] == 20


def test_a_run_that_goes_on_is_told_with_its_beginning_and_who_blocks_it() -> None:
    blocked = Status(run=run(), progress=ProgressStatus(step="apply", blocked_by="1234", at=NOW))
    told = {figure.gauge.name: figure.value for figure in figures_of(blocked, "")}
    assert told["dbmigration_run_started_timestamp_seconds"] == (NOW - timedelta(seconds=30)).timestamp()
    assert told["dbmigration_run_blocked"] == 1
    assert "dbmigration_last_run_duration_seconds" not in told


def test_the_series_of_a_resource_go_with_it_and_only_its() -> None:
    metrics = Metrics()
    for key in (KEY, OTHER):
        metrics.resource_seen(key, body(FULL))
        metrics.run_ended(key, ENDED)
    assert 'dbmigration_runs_total{name="studio",namespace="apps",outcome="Succeeded",reason="UpToDate"} 1.0' in text(metrics)
    metrics.resource_gone(KEY)
    after = text(metrics)
    assert 'name="studio"' not in after
    assert 'dbmigration_lock_waits_total{name="other",namespace="apps"} 2.0' in after
    assert "dbmigration_operator_resources 1.0" in after


MONDAY = RestoreKey("apps", "monday")
RESTORE_ENDED = RestoreRunStatus(
    step=RestoreStep.RESTORE,
    key="k",
    job_name="monday-restore-1",
    started_at=NOW - timedelta(seconds=30),
    finished_at=NOW,
    outcome="Failed",
    reason="RestoreFailed",
    failures=1,
)


def restore_status(verdict: Verdict, **changes: Any) -> RestoreStatus:
    return RestoreStatus(conditions=set_conditions((), verdict, generation=1, now=NOW), **changes)


def test_a_restore_is_told_in_numbers_until_it_is_gone_and_counted_for_its_migration() -> None:
    metrics = Metrics()
    status = restore_status(Verdict(False, Work.STALLED, "RestoreFailed", ""), run=RESTORE_ENDED)
    told = {(figure.gauge.name, figure.labels): figure.value for figure in restore_figures_of(status)}
    assert told["dbmigration_restore_condition", ("Stalled", "RestoreFailed")] == 1
    assert told["dbmigration_restore_last_run_duration_seconds", ("restore",)] == 30
    assert told["dbmigration_restore_run_failures", ()] == 1
    assert not any(name == "dbmigration_restore_run_started_timestamp_seconds" for name, _ in told)
    metrics.restore_seen(MONDAY, {"status": status.model_dump(mode="json", by_alias=True, exclude_none=True)})
    metrics.step_ended(KEY, RESTORE_ENDED)
    labels = 'migration="studio",namespace="apps",outcome="Failed",reason="RestoreFailed",step="restore"'
    counted = f"dbmigration_restore_runs_total{{{labels}}} 1.0"
    assert counted in text(metrics)
    assert 'name="monday"' in text(metrics)
    assert "dbmigration_operator_resources 0.0" in text(metrics)
    metrics.restore_gone(MONDAY)
    assert 'name="monday"' not in text(metrics)
    assert counted in text(metrics)
    metrics.resource_gone(KEY)
    assert 'migration="studio"' not in text(metrics)


def test_a_restore_of_the_same_name_as_a_migration_is_another() -> None:
    metrics = Metrics()
    metrics.resource_seen(KEY, body(FULL))
    metrics.restore_seen(RestoreKey(KEY.namespace, KEY.name), {"status": {}})
    metrics.restore_gone(RestoreKey(KEY.namespace, KEY.name))
    assert 'dbmigration_applied_migrations{name="studio",namespace="apps"} 4.0' in text(metrics)


def test_a_step_is_counted_once() -> None:
    running = RESTORE_ENDED.model_copy(update={"finished_at": None, "outcome": None})
    ended = RestoreStatus(run=RESTORE_ENDED)
    assert ended_step(RestoreStatus(run=running), ended) is RESTORE_ENDED
    assert ended_step(RestoreStatus(), ended) is RESTORE_ENDED
    assert ended_step(ended, ended) is None
    assert ended_step(RestoreStatus(), RestoreStatus(run=running)) is None


def test_the_first_run_of_an_outcome_is_an_increase() -> None:
    metrics = Metrics()
    counted = 'dbmigration_run_duration_seconds_count{outcome="Failed"}'
    assert f"{counted} 0.0" in text(metrics)
    metrics.run_ended(KEY, run(finished_at=NOW, outcome="Failed", reason="SqlFailed"))
    assert f"{counted} 1.0" in text(metrics)


def test_a_changed_condition_leaves_no_series_of_the_old_reason() -> None:
    metrics = Metrics()
    metrics.resource_seen(KEY, body(FULL))
    stalled = set_conditions((), Verdict(False, Work.STALLED, "SqlFailed", ""), generation=1, now=NOW)
    metrics.resource_seen(KEY, body(FULL.model_copy(update={"conditions": stalled})))
    after = text(metrics)
    assert 'reason="UpToDate"' not in after
    assert 'dbmigration_condition{name="studio",namespace="apps",reason="SqlFailed",type="Stalled"} 1.0' in after


def test_a_resource_without_a_status_and_one_of_another_version_are_no_obstacle() -> None:
    metrics = Metrics()
    metrics.resource_seen(KEY, {"spec": None})
    metrics.resource_seen(OTHER, {"spec": {}, "status": {"run": "what", "pending": 3}})
    assert 'dbmigration_pending_migrations{name="other",namespace="apps"} 3.0' in text(metrics)


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        (run(), ENDED, True),
        (None, ENDED, True),
        (ENDED, ENDED, False),
        (run(), run(), False),
        (None, None, False),
        (run(), run(finished_at=NOW, outcome="Interrupted", reason="RunnerLost", message="gone"), True),
        (run(), run(finished_at=NOW, outcome="Interrupted", reason="Pending"), False),  # taken back before its pod started
    ],
)
def test_each_attempt_is_counted_once(before: RunStatus | None, after: RunStatus | None, counts: bool) -> None:
    assert (ended_run(Status(run=before), Status(run=after)) is not None) is counts


def test_a_pod_cannot_make_series_of_its_own() -> None:
    told = {"apply": 5, "x" * 100: 1, "backup": -1, "plan": "7", "lint": 10**30}
    base = {"runId": "r", "outcome": "Succeeded", "reason": "UpToDate", "message": "", "startedAt": NOW, "finishedAt": NOW}
    assert Report.model_validate(base | {"stepsMs": told}).steps_ms == {"apply": 5, "lint": 10**12}
    assert Report.model_validate(base | {"stepsMs": [1]}).steps_ms == {}


def test_steps_and_waits_for_locks_are_timed() -> None:
    times = iter([0.0, 1.0, 3.0, 4.0, 9.0, 10.0, 12.0])
    clock = RunClock(lambda: next(times))
    clock(Progress(Step.CONNECT, ""))
    clock(Progress(Step.APPLY, "", file="a"))
    clock(Progress(Step.APPLY, "", file="a", blocked_by="1"))
    clock(Progress(Step.APPLY, "", file="a", blocked_by="1; 2"))
    clock(Progress(Step.APPLY, "", file="a"))
    clock(Progress(Step.VERIFY, ""))
    clock.end()
    assert clock.steps_ms == {"connect": 1000, "apply": 9000, "verify": 2000}
    assert (clock.lock_waits, clock.lock_wait_ms) == (1, 6000)


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("GET", "/apis/dbmigration.dev/v1alpha1/namespaces/a/databasemigrations/b", ("get", "databasemigrations")),
        ("PATCH", "/apis/dbmigration.dev/v1alpha1/namespaces/a/databasemigrations/b/status", ("patch", "databasemigrations/status")),
        ("GET", "/apis/batch/v1/namespaces/a/jobs", ("list", "jobs")),
        ("POST", "/api/v1/namespaces/a/events", ("create", "events")),
        ("DELETE", "/apis/batch/v1/namespaces/a/jobs/b", ("delete", "jobs")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", ("get", "pods/log")),
        ("GET", "/apis/dbmigration.dev/v1alpha1", ("get", "discovery")),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", ("create", "selfsubjectreviews")),
    ],
)
def test_a_request_is_told_by_verb_and_resource_and_never_by_a_name(method: str, path: str, says: tuple[str, str]) -> None:
    assert verb_and_resource(method, path) == says


def exported() -> set[str]:
    """Names as a query has them."""
    metrics = Metrics()
    names = {gauge.name for gauge in GAUGES} | {"dbmigration_operator_queue_depth", "dbmigration_operator_queue_busy"}
    for family in metrics.registry.collect():
        names.add(family.name)
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")} if family.type == "histogram" else set()
    return names


def queried(query: str) -> set[str]:
    return set(re.findall(r"\b(?:dbmigration|process)_[a-z_]+", query))


def test_alerts_and_dashboard_ask_for_what_is_exported_and_the_page_names_all_of_it() -> None:
    rules = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    asked = {name for group in rules["spec"]["groups"] for rule in group["rules"] for name in queried(rule["expr"])}
    dashboard = (MONITORING / "dashboard.json").read_text()
    asked |= queried(" ".join(re.findall(r'"(?:expr|query|definition)": "((?:[^"\\]|\\.)*)"', dashboard)))
    assert "dbmigration_condition" in asked
    assert asked - exported() == set()
    page = (ROOT / "docs" / "metrics.md").read_text()
    ours = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    ours = {name for name in ours if name.startswith("dbmigration")} | {gauge.name for gauge in (*GAUGES, *RESTORE_GAUGES)}
    assert {name for name in ours if f"`{name}`" not in page} == set()


def test_the_dashboards_tables_tell_resources_of_one_name_in_two_namespaces_apart() -> None:
    """Grafana's merge joins rows whose common labels are equal: a label that the queries do not name would make two rows of one."""
    tables = [panel for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"] if panel["type"] == "table"]
    assert [panel["title"] for panel in tables] == ["Resources", "DatabaseRestores"]
    for panel in tables:
        assert [each["id"] for each in panel["transformations"]] == ["merge", "organize"]
        for target in panel["targets"]:
            assert "max by (namespace, name" in target["expr"]


def test_every_alert_has_its_place_in_the_page() -> None:
    rules = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    page = (ROOT / "docs" / "metrics.md").read_text()
    for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
        assert f"\n### {rule['alert']}\n" in page
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
