"""What Prometheus sees of good and failed runs, after a restart of the operator, and when a resource is gone; and who writes how much."""

import subprocess

from dbmigration.api.reasons import Reason
from tests.cluster.cache import CHECKOUT
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until
from tests.e2e.prometheus import Sample, scrape, total
from tests.e2e.restart import restart_operator
from tests.e2e.studio import NAME, REQUIRE_BACKUP, Studio, settle

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
BROKEN = FIRST | {"002_second.sql": "INSERT INTO absent VALUES (1);"}
SERVICE = CHECKOUT / "manifests" / "monitoring" / "service.yaml"


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
    backed_up = int(total(good, "dbmigration_backup_timestamp_seconds"))  # the other one is told in whole seconds
    assert total(good, "dbmigration_last_success_timestamp_seconds") >= backed_up > 0
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
    """Each version of the resource is a write that the API server took. The operator may write status, Jobs and events only."""
    studio.put_volume()
    studio.prepare(FIRST)
    studio.put_resource(backup=REQUIRE_BACKUP, suspend=True)
    suspended = studio.wait_reason(Reason.SUSPENDED)
    told = "jsonpath={.metadata.resourceVersion}{'|'}{.status.conditions[0].reason}{'|'}{.status.progress.summary}{'\\n'}"
    watching = studio.cluster.start_kubectl("-n", studio.namespace, "get", "dbm", "--watch", "-o", told)
    try:
        assert lines_until(watching, suspended.resource_version) == [f"{suspended.resource_version}|Suspended|"]
        studio.put_resource(backup=REQUIRE_BACKUP)
        seen = studio.wait_ready(version="001")
        versions = lines_until(watching, seen.resource_version)
    finally:
        watching.kill()
        watching.communicate()
    run = seen.status.run
    assert run is not None
    assert run.finished_at is not None
    # More only where the machine is slow: why a pod has not started after five seconds, progress after ten.
    slow = int((run.finished_at - run.started_at).total_seconds() // 5)
    written = [line.partition("|")[2] for line in versions]
    assert written[0] == "Suspended|"  # what we wrote
    assert (written[1], written[-1]) == ("Running|", "UpToDate|")
    assert 2 <= len(written) - 1 <= 2 + slow, written
    # The Job and its pod have a last word after the run's own.
    studio.kubectl("wait", "jobs", "--all", "--for=condition=Complete", "--timeout=60s")
    wait_until("all events", lambda: len(studio.events()) == 3, seconds=30)
    assert len(studio.jobs()) == 1

    # An annotation of a ConfigMap makes it look again, and so does a restart.
    studio.kubectl("annotate", "configmap", "studio-migrations", "owner=platform")
    restart_operator(studio.cluster, operator)
    settle(studio)
    assert studio.look().resource_version == seen.resource_version
    assert len(studio.jobs()) == 1
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


def lines_until(process: subprocess.Popen[str], version: str) -> list[str]:
    """What kubectl wrote up to the line that begins with this version."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith(f"{version}|"):
            return lines
    raise AssertionError(f"kubectl ended before version {version}: {lines}")
