"""The NetworkPolicies that are shipped, on a network that enforces them: a migration gets through, and nothing else does."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.cluster.cache import CHECKOUT
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until
from tests.e2e.databases import WAIT_AT_GATE
from tests.e2e.studio import Studio
from tests.e2e.watch import Json

OF_OPERATOR: Final = CHECKOUT / "manifests" / "components" / "network-policy" / "network-policy.yaml"
OF_RUNS: Final = CHECKOUT / "manifests" / "samples" / "network-policy.yaml"
FILES: Final = {"001_first.sql": WAIT_AT_GATE + "CREATE TABLE first (id int);"}
API_SERVER: Final = ("kubernetes.default.svc", 443)
CONNECT: Final = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"


@pytest.fixture
def enforced(studio: Studio, operator: InstalledOperator) -> Iterator[None]:
    """Both policies, as they are shipped, with what is different in each cluster filled in."""
    with studio.cluster.enforcing_network_policies():
        ours = yaml.safe_load(OF_OPERATOR.read_text())
        studio.cluster.kubectl("apply", "-n", operator.namespace, "-f", "-", input=json.dumps(with_dns(studio, ours)))
        runs = yaml.safe_load(OF_RUNS.read_text())
        runs["metadata"]["namespace"] = studio.namespace
        (database,) = (rule for rule in runs["spec"]["egress"] if rule["ports"][0]["port"] == 5432)
        server = studio.database.admin
        database["to"] = [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": server.namespace}},
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": server.name}},
            }
        ]
        studio.put(with_dns(studio, runs))
        try:
            yield
        finally:
            studio.cluster.kubectl("delete", "networkpolicy", "-n", operator.namespace, ours["metadata"]["name"])


def with_dns(studio: Studio, policy: Json) -> Json:
    """The cluster's DNS may be no pod of kube-system, but an address of the node: a cache there, or the local cluster's own."""
    found = json.loads(
        studio.cluster.kubectl(*["get", "endpointslices", "-n", "kube-system", "-l"], "kubernetes.io/service-name=kube-dns", "-o", "json")
    )
    for part in found["items"]:
        addresses = [{"ipBlock": {"cidr": f"{address}/32"}} for each in part["endpoints"] for address in each["addresses"]]
        ports = [{"port": port["port"], "protocol": port["protocol"]} for port in part["ports"]]
        policy["spec"]["egress"].append({"to": addresses, "ports": ports})
    return policy


def reaches(studio: Studio, namespace: str, pod: str, host: str, port: int) -> bool:
    """Whether a process in the pod gets a connection there."""
    command = ["exec", "-n", namespace, pod, "--", "python3", "-c", CONNECT, host, str(port)]
    with contextlib.suppress(subprocess.CalledProcessError):
        studio.cluster.kubectl(*command, stderr=subprocess.STDOUT)
        return True
    return False


@pytest.mark.usefixtures("enforced")
def test_a_migration_gets_through_and_nothing_else_does(studio: Studio, operator: InstalledOperator) -> None:
    database = (studio.database.host, 5432)
    studio.database.close_gate()
    studio.prepare(FILES)
    studio.put_resource()
    studio.database.wait_for_runner_at_gate()
    pod = studio.runner_pod(studio.look().uid)

    # The network may take a moment to know a new pod.
    wait_until("the run is cut off", lambda: not reaches(studio, studio.namespace, pod, *API_SERVER), seconds=60)
    assert reaches(studio, studio.namespace, pod, *database), "its database, by name"
    found = json.loads(studio.cluster.kubectl("get", "pods", "-n", operator.namespace, "-l", operator.selector, "-o", "json"))
    ours = found["items"][0]["metadata"]["name"]
    wait_until("the operator is cut off", lambda: not reaches(studio, operator.namespace, ours, *database), seconds=60)
    assert reaches(studio, operator.namespace, ours, *API_SERVER)

    studio.database.open_gate()
    studio.wait_ready(version="001")
