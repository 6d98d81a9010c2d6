"""Ending the operator's pod without warning, and waiting for the one that follows."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until

READY_SECONDS = 60.0


def restart_operator(cluster: Cluster, operator: InstalledOperator) -> None:
    """Kill the operator's pod; returns when another one is ready."""
    wait_for_another(cluster, operator, kill_operator(cluster, operator))


@contextmanager
def paused(cluster: Cluster, operator: InstalledOperator) -> Iterator[None]:
    """No operator of the session's while the context lasts: others take its place."""
    scale = ("scale", f"deployment/{operator.deployment}", "-n", operator.namespace)
    cluster.kubectl(*scale, "--replicas=0")
    try:
        wait_until("the session's operator to end", lambda: not _pods(cluster, operator), seconds=READY_SECONDS)
        yield
    finally:
        cluster.kubectl(*scale, "--replicas=1")
        wait_for_another(cluster, operator, set())


def kill_operator(cluster: Cluster, operator: InstalledOperator) -> set[str]:
    """Delete the operator's pod with no time to end well; its Deployment makes another. Returns the names that were ended."""
    names = set(_pods(cluster, operator))
    assert len(names) == 1, f"one operator is expected: {names}"
    force = ["--grace-period=0", "--force", "--wait=true"]
    cluster.kubectl("delete", "pod", "-n", operator.namespace, *names, *force, stderr=subprocess.DEVNULL)
    return names


def wait_for_another(cluster: Cluster, operator: InstalledOperator, gone: set[str]) -> None:
    """Wait until a pod that is not among `gone` is ready, and no other is left."""

    def ready() -> bool:
        found = _pods(cluster, operator)
        return len(found) == 1 and not gone & found.keys() and all(found.values())

    wait_until("another operator", ready, seconds=READY_SECONDS)


def _pods(cluster: Cluster, operator: InstalledOperator) -> dict[str, bool]:
    """Names of the operator's pods, and whether each is ready."""
    found = json.loads(cluster.kubectl("get", "pods", "-n", operator.namespace, "-l", operator.selector, "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        for pod in found
    }
