"""What Prometheus sees of good and failed runs, after a restart of the operator, and when a resource is gone; and who writes how much."""

from dbmigration.api.reasons import Reason
from tests.cluster.cache import CHECKOUT
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until
from tests.e2e.prometheus import Sample, parsed, scrape, total
from tests.e2e.restart import restart_operator
from tests.e2e.studio import NAME, REQUIRE_BACKUP, Studio, settle

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
BROKEN = FIRST | {"002_second.sql": "INSERT INTO absent VALUES (1);"}
SERVICE = CHECKOUT / "manifests" / "monitoring" / "service.yaml"
WRITES_OF_SETTLE = 4
"""Another resource's SourceMissing and SourceInvalid, each in status and as an event."""


def test_good_and_failed_runs_are_counted_and_a_restart_knows_the_resource_again(studio: Studio, operator: InstalledOperator) -> None:
    studio.put_volume()
    studio.start(FIRST, backup=REQUIRE_BACKUP)
    settle(studio)
    good = ours(studio, operator)
    assert total(good, "dbmigration_runs_total", outcome="Succeeded", reason="UpToDate") == 1
    assert total(good, "dbmigration_condition", type="Ready", reason="UpToDate") == 1
    assert total(good, "dbmigration_applied_migrations") == 1
    assert total(good, "dbmigration_pending_migrations") == 0
    assert total(good, "dbmigration_backup_bytes") > 0
    assert total(good, "dbmigration_last_success_timestamp_seconds") >= total(good, "dbmigration_backup_timestamp_seconds") > 0
    steps = {sample.labels["step"] for sample in good if sample.name == "dbmigration_last_run_step_duration_seconds"}
    assert {"connect", "plan", "backup", "apply"} <= steps

    studio.put_files(BROKEN)
    studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    settle(studio)
    failed = ours(studio, operator)
    assert total(failed, "dbmigration_runs_total", outcome="Failed", reason="SqlFailed") == 1
    assert total(failed, "dbmigration_condition", type="Stalled", reason="SqlFailed") == 1
    assert total(failed, "dbmigration_pending_migrations") == 1

    version = studio.look().resource_version
    restart_operator(studio.cluster, operator)
    settle(studio)
    again = ours(studio, operator)
    gauges = {(s.name, *sorted(s.labels.items())): s.value for s in failed if not s.name.endswith("_total")}
    assert gauges == {(s.name, *sorted(s.labels.items())): s.value for s in again if not s.name.endswith("_total")}
    assert studio.look().resource_version == version

    studio.delete()
    settle(studio)
    assert ours(studio, operator) == []


def test_a_run_costs_six_writes_and_an_idle_operator_none(studio: Studio, operator: InstalledOperator) -> None:
    """Counted at the API server and by the operator itself: with its rights it can write nothing else than status, Jobs and events."""
    studio.put_volume()
    studio.prepare(FIRST)
    before, own_before = api_writes(studio), own_writes(studio, operator)
    studio.put_resource(backup=REQUIRE_BACKUP)
    studio.wait_ready(version="001")
    # The Job and its pod have a last word after the run's own.
    studio.kubectl("wait", "jobs", "--all", "--for=condition=Complete", "--timeout=60s")
    wait_until("all events", lambda: len(studio.events()) == 3, seconds=30)
    after = api_writes(studio)
    run = studio.look().status.run
    assert run is not None
    assert run.finished_at is not None
    progress = int((run.finished_at - run.started_at).total_seconds() // 10)  # none, unless the machine is slow
    written = after["status"] - before["status"]
    assert 2 <= written <= 2 + progress
    assert after["jobs"] - before["jobs"] == 1
    assert own_writes(studio, operator) - own_before == written + 1 + 3

    # A label makes it look again, and so does a restart; the new process has written nothing but about the bystander of `settle`.
    version = studio.look().resource_version
    studio.kubectl("annotate", "configmap", "studio-migrations", "owner=platform")
    restart_operator(studio.cluster, operator)
    settle(studio)
    idle = api_writes(studio)
    assert idle["jobs"] == after["jobs"]
    assert idle["status"] - after["status"] == 2
    wait_until("the bystander's writes", lambda: own_writes(studio, operator) == WRITES_OF_SETTLE, seconds=30)
    assert studio.look().resource_version == version
    assert len(studio.events()) == 3


def test_the_shipped_service_leads_to_the_metrics(cluster: Cluster, operator: InstalledOperator) -> None:
    cluster.kubectl("apply", "-f", str(SERVICE))
    try:
        path = f"/api/v1/namespaces/{operator.namespace}/services/dbmigration-operator-metrics:metrics/proxy/metrics"

        def answers() -> bool:
            asked = cluster.start_kubectl("get", "--raw", path)
            said, _ = asked.communicate(timeout=30)
            return asked.returncode == 0 and "dbmigration_operator_resources" in said

        wait_until("metrics through the Service", answers, seconds=60)
    finally:
        cluster.kubectl("delete", "-f", str(SERVICE))


def ours(studio: Studio, operator: InstalledOperator) -> list[Sample]:
    """Samples about this resource."""
    return [s for s in scrape(studio.cluster, operator) if s.labels.get("namespace") == studio.namespace and s.labels.get("name") == NAME]


def own_writes(studio: Studio, operator: InstalledOperator) -> float:
    """As the operator counts them."""
    samples = scrape(studio.cluster, operator)
    return sum(total(samples, "dbmigration_operator_api_requests_total", verb=verb) for verb in ("create", "patch", "delete"))


def api_writes(studio: Studio) -> dict[str, float]:
    """Writes that the API server has answered, by what was written, of things that only the operator writes here."""
    samples = parsed(studio.cluster.kubectl("get", "--raw", "/metrics"))
    name = "apiserver_request_total"
    return {
        "status": total(samples, name, verb="PATCH", resource="databasemigrations", subresource="status"),
        "jobs": total(samples, name, verb="POST", resource="jobs", subresource=""),
    }
