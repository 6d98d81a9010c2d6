"""manifests/overlays/namespaced: operators of single namespaces, each with a Role of its own and nothing of the cluster's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import RunStatus
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import OVERLAYS, InstalledOperator, install_operator, operator_logs, operator_objects
from tests.e2e.conftest import new_namespace
from tests.e2e.databases import Server
from tests.e2e.file_server import TAKE_TRACES, start_server
from tests.e2e.restart import paused
from tests.e2e.studio import Studio, settle
from tests.e2e.test_rights import may

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = FIRST | {"002_second.sql": "CREATE TABLE second (id int);"}
THIRD = SECOND | {"003_third.sql": "CREATE TABLE third (id int);"}
OURS = ("databasemigrations", "databaserestores", "migrationapprovals", "configmaps", "jobs", "pods", "events", "secrets")


@dataclass(frozen=True)
class Team:
    """A namespace with an operator of its own."""

    operator: InstalledOperator
    studio: Studio


@pytest.fixture(scope="module")
def teams(cluster: Cluster, operator: InstalledOperator, server: Server) -> Iterator[tuple[Team, Team]]:
    """Two of them side by side, and no other operator."""
    shared = operator_objects(cluster, namespace=None, image=operator_image(), folder=OVERLAYS / "shared")
    with paused(cluster, operator), new_namespace(cluster, "team-one") as one, new_namespace(cluster, "team-two") as two:
        cluster.kubectl(
            *("apply", "--server-side", "--force-conflicts", "-f", "-"),
            input=json.dumps({"apiVersion": "v1", "kind": "List", "items": shared}),
        )
        try:
            installed = [install_operator(cluster, namespace=name, folder=OVERLAYS / "namespaced") for name in (one, two)]
            yield (
                Team(installed[0], Studio(cluster, one, server.new_database())),
                Team(installed[1], Studio(cluster, two, server.new_database())),
            )
        finally:
            install_operator(cluster)  # the admission policy as the session's operator has it


def test_namespaced_install(cluster: Cluster, teams: tuple[Team, Team], server: Server) -> None:
    """Two side by side: each works on its own namespace, on nobody else's, and asks for nothing that it may not have."""
    one, two = teams
    assert {one.studio.start(FIRST).status.version, two.studio.start(FIRST).status.version} == {"001"}

    # Without its operator, nobody works on the second namespace.
    cluster.kubectl("scale", f"deployment/{two.operator.deployment}", "-n", two.operator.namespace, "--replicas=0")
    cluster.kubectl("wait", "--for=delete", "pod", "-n", two.operator.namespace, "-l", two.operator.selector, "--timeout=60s")
    two.studio.put_files(SECOND)
    before = two.studio.look()
    one.studio.put_files(SECOND)
    one.studio.wait_ready(version="002")
    with new_namespace(cluster, "nobodys") as name:
        nobodys = Studio(cluster, name, server.new_database())
        nobodys.prepare(FIRST)
        nobodys.put_resource()
        settle(one.studio)
        assert nobodys.look().status.observed_generation == -1
        assert nobodys.jobs() == []
    assert two.studio.look().resource_version == before.resource_version
    assert two.studio.database.history() == ["001_first.sql"]

    start_server(two.studio, "collector", ("python3", "/data/take.py"), 4318, {"take.py": TAKE_TRACES.encode()})
    endpoint = f"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.{two.studio.namespace}.svc:4318"
    cluster.kubectl("set", "env", f"deployment/{two.operator.deployment}", "-n", two.operator.namespace, endpoint)
    cluster.kubectl("scale", f"deployment/{two.operator.deployment}", "-n", two.operator.namespace, "--replicas=1")
    status = two.studio.wait_ready(version="002").status
    assert status.run is not None
    assert_traced(two.studio, status.run)
    assert [run.trace_id for run in status.runs] == [status.run.trace_id, None]
    untraced = one.studio.look().status.run
    assert untraced is not None
    assert untraced.trace_id is None
    for team in teams:
        logs = operator_logs(cluster, team.operator)
        assert f"{team.operator.namespace}/studio" in logs
        assert "orbidden" not in logs


def assert_traced(studio: Studio, run: RunStatus) -> None:
    """The collector has the run's spans under the id that the resource names, with the time before the runner began."""
    spans = [json.loads(line) for line in studio.kubectl("logs", "collector").splitlines()]
    assert {(path, trace) for path, _, trace, _, _ in spans} == {("/v1/traces", run.trace_id)}
    took = {name: nanoseconds for _, name, _, nanoseconds, _ in spans}
    assert {"dbmigration apply", "pod start", "apply", "apply 002_second.sql"} <= took.keys()
    assert took["dbmigration apply"] >= took["pod start"] + took["apply"] > took["apply"] >= took["apply 002_second.sql"] > 0
    resource = spans[0][-1]
    assert (resource["k8s.namespace.name"], resource["k8s.job.name"]) == (studio.namespace, run.job_name)
    assert f'"traceId": "{run.trace_id}"' in studio.kubectl("logs", f"job/{run.job_name}")


def test_promotion_from_a_namespace_that_the_operator_may_not_read_says_so_and_goes_on_when_it_may(teams: tuple[Team, Team]) -> None:
    """docs/gates.md: a Role there, with one verb on one kind, is all that it takes."""
    production, staging = teams
    there = staging.operator.namespace
    production.studio.put_resource(promotion={"after": {"name": "studio", "namespace": there}})  # before the files: nothing may run yet
    production.studio.prepare(THIRD)
    waiting = production.studio.wait_reason(Reason.PROMOTION_PENDING)
    assert f"may not read DatabaseMigrations in namespace {there}" in waiting.message
    staging.studio.start(THIRD)
    assert "third" not in production.studio.database.tables()

    role, account = "dbmigration-promotion", f"{production.operator.namespace}:{production.operator.service_account}"
    try:
        staging.studio.kubectl("create", "role", role, "--verb=get", "--resource=databasemigrations.dbmigration.dev")
        staging.studio.kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={account}")
        production.studio.kubectl("annotate", "dbm", "studio", "looked=1")
        production.studio.wait_ready(version="003")
    finally:
        staging.studio.kubectl("delete", f"role/{role}", f"rolebinding/{role}", "--ignore-not-found")


def test_a_namespaced_operator_has_not_one_cluster_wide_right(cluster: Cluster, teams: tuple[Team, Team]) -> None:
    """`kubectl auth can-i --list`: in other namespaces it has what every service account has."""
    one, two = teams
    own = rights(cluster, one.operator, one.operator.namespace)
    assert {resource.partition(".")[0].partition("/")[0] for resource in own} >= set(OURS) - {"secrets"}
    for elsewhere in (two.operator.namespace, "default", "kube-system"):
        assert rights(cluster, one.operator, elsewhere) == rights(cluster, InstalledOperator(elsewhere, "", "nobody", ""), elsewhere)
    for resource in OURS:
        assert may(cluster, one.operator, "list", resource, "--all-namespaces") == "no"
    assert may(cluster, one.operator, "get", "secrets", f"--namespace={one.operator.namespace}") == "no"


def rights(cluster: Cluster, operator: InstalledOperator, namespace: str) -> dict[str, str]:
    """What `kubectl auth can-i --list` says: resource to the rest of its line. Paths that are no resources stand under their names."""
    listed = cluster.kubectl("auth", "can-i", "--list", "--no-headers", f"--as={operator.user}", "-n", namespace).splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in listed}
