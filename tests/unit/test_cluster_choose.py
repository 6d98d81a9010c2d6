"""Which provider the end-to-end tests run on."""

import pytest

from tests.cluster.choose import CONTEXT, FORCED, KUBECONFIG, WORKER, choose_provider, chosen_cluster
from tests.cluster.errors import ClusterError

NAMED = {KUBECONFIG: "/somewhere/config", CONTEXT: "staging"}


@pytest.mark.parametrize(
    ("environ", "docker", "expected"),
    [
        ({}, False, "local"),
        ({}, True, "kind"),
        (NAMED, True, "current"),
        ({**NAMED, FORCED: "local"}, True, "local"),
        ({FORCED: "kind"}, False, "kind"),
        ({**NAMED, FORCED: "current"}, False, "current"),
    ],
)
def test_provider_is_the_named_cluster_then_kind_then_local(environ: dict[str, str], docker: bool, expected: str) -> None:
    assert choose_provider(environ, lambda: docker) == expected


def test_current_context_is_never_picked_up_by_accident() -> None:
    assert choose_provider({"KUBECONFIG": "/home/me/.kube/config"}, lambda: False) == "local"


@pytest.mark.parametrize(
    "environ",
    [
        {KUBECONFIG: "/somewhere/config"},
        {CONTEXT: "staging"},
        {FORCED: "current"},
        {FORCED: "current", CONTEXT: "staging"},
        {FORCED: "minikube"},
    ],
)
def test_half_a_choice_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ClusterError):
        choose_provider(environ, lambda: False)


def test_docker_is_not_asked_when_a_cluster_is_named() -> None:
    def asked() -> bool:
        raise AssertionError("docker was asked")

    assert choose_provider(NAMED, asked) == "current"


def test_each_worker_of_a_session_has_a_node_of_its_own() -> None:
    names = [chosen_cluster({FORCED: "local"} | worker).name for worker in ({}, {WORKER: "gw0"}, {WORKER: "gw1"}, {WORKER: "gw2"})]
    assert names == ["dbmigration-local", "dbmigration-local", "dbmigration-local-gw1", "dbmigration-local-gw2"]
