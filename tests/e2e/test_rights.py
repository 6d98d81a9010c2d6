"""What the operator's service account may and may not do, asked of the API server's authorizer."""

import pytest

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete"])
def test_the_operator_cannot_touch_a_secret(cluster: Cluster, operator: InstalledOperator, verb: str) -> None:
    assert may(cluster, operator, verb, "secrets", "--all-namespaces") == "no"
    assert may(cluster, operator, verb, "secrets", f"--namespace={operator.namespace}") == "no"


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "ephemeralcontainers"])
def test_the_operator_cannot_get_into_a_pod_that_mounts_one(cluster: Cluster, operator: InstalledOperator, subresource: str) -> None:
    for verb in ("get", "create", "patch", "update"):
        assert may(cluster, operator, verb, "pods", f"--subresource={subresource}", "--all-namespaces") == "no"


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("create", "pods"), ("create", "serviceaccounts"), ("update", "databasemigrations.dbmigration.dev"), ("escalate", "clusterroles")],
)
def test_the_operator_cannot_get_further_rights(cluster: Cluster, operator: InstalledOperator, verb: str, resource: str) -> None:
    assert may(cluster, operator, verb, resource, "--all-namespaces") == "no"


@pytest.mark.parametrize(("verb", "resource"), [("create", "jobs.batch"), ("watch", "databasemigrations.dbmigration.dev")])
def test_the_operator_may_do_its_work(cluster: Cluster, operator: InstalledOperator, verb: str, resource: str) -> None:
    """Also says that the questions above were asked about a user who exists."""
    assert may(cluster, operator, verb, resource, "--all-namespaces") == "yes"


def may(cluster: Cluster, operator: InstalledOperator, *question: str) -> str:
    """`kubectl auth can-i`: yes or no. Its exit status says the same."""
    asked = cluster.start_kubectl("auth", "can-i", *question, f"--as={operator.user}")
    said, _ = asked.communicate(timeout=30)
    answer = said.splitlines()[-1]  # after a warning, where a resource has no namespace
    assert asked.returncode == {"yes": 0, "no": 1}[answer]
    return answer


@pytest.mark.parametrize(("role", "answer"), [("dbmigration-restorer", "yes"), ("edit", "no"), ("admin", "no")])
@pytest.mark.usefixtures("operator")
def test_only_the_restorer_may_bring_a_backup_back(cluster: Cluster, namespace: str, role: str, answer: str) -> None:
    user = f"somebody-{namespace}"
    cluster.kubectl("create", "rolebinding", "somebody", "-n", namespace, f"--clusterrole={role}", f"--user={user}")
    for verb in ("create", "patch", "delete"):
        asked = cluster.start_kubectl("auth", "can-i", verb, "databaserestores.dbmigration.dev", "-n", namespace, f"--as={user}")
        said, _ = asked.communicate(timeout=30)
        assert said.splitlines()[-1] == answer
