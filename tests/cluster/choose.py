"""Which provider runs the tests."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_args

from tests.cluster.current import CurrentCluster
from tests.cluster.errors import ClusterError
from tests.cluster.interface import Cluster, ProviderName
from tests.cluster.kind import KindInDocker, docker_answers
from tests.cluster.local.provider import LocalCluster

FORCED: Final = "DBMIGRATION_TEST_PROVIDER"
KUBECONFIG: Final = "DBMIGRATION_TEST_KUBECONFIG"
CONTEXT: Final = "DBMIGRATION_TEST_CONTEXT"
WORKER: Final = "PYTEST_XDIST_WORKER"


def choose_provider(environ: Mapping[str, str], docker: Callable[[], bool]) -> ProviderName:
    """A cluster the user names, else kind where Docker answers, else a node of our own.

    KUBECONFIG and the current context of ~/.kube/config are not looked at: tests delete namespaces, and a context
    picked up by accident may be production's. Raises ClusterError when what was asked for is not complete.
    """
    named = [name for name in (KUBECONFIG, CONTEXT) if environ.get(name)]
    forced = environ.get(FORCED)
    if forced:
        for provider in get_args(ProviderName):
            if forced == provider:
                if forced == "current" and len(named) < 2:
                    raise ClusterError(f"{FORCED}=current needs both {KUBECONFIG} and {CONTEXT}")
                return provider  # type: ignore[no-any-return] # get_args is untyped
        raise ClusterError(f"{FORCED}={forced}: not one of {', '.join(get_args(ProviderName))}")
    if len(named) == 1:
        raise ClusterError(f"{named[0]} is set alone: name both {KUBECONFIG} and {CONTEXT}, or neither")
    if named:
        return "current"
    return "kind" if docker() else "local"


def chosen_cluster(environ: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster of the chosen provider; nothing is started yet.

    Beside the first worker of a test session (pytest-xdist names it) each has a node of its own where we make them.
    """
    match choose_provider(environ, docker_answers):
        case "current":
            named = all(environ.get(name) for name in ("DBMIGRATION_TEST_IMAGE", "DBMIGRATION_TEST_POSTGRES_IMAGE"))
            return CurrentCluster(Path(environ[KUBECONFIG]).expanduser(), environ[CONTEXT], images_named=named)
        case "kind":
            return KindInDocker()
        case "local":
            worker = environ.get(WORKER, "gw0")
            return LocalCluster() if worker == "gw0" else LocalCluster(f"local-{worker}")
