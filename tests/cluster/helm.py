"""Helm, built from its Go module, against a test cluster."""

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.cache import CHECKOUT, cache_root
from tests.cluster.errors import ClusterError
from tests.cluster.interface import Cluster
from tests.cluster.local.programs import HELM, built

CHART: Final = CHECKOUT / "manifests" / "helm" / "dbmigration-operator"


class HelmError(ClusterError):
    """Helm did not do what it was asked; the message is its own."""


def helm(*args: str | Path, cluster: Cluster | None = None) -> str:
    """Run helm and return what it wrote. Nothing of the user's own Helm is read. Raises HelmError."""
    home = cache_root() / "helm"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELM_")}
    environment |= {"HELM_CACHE_HOME": str(home / "cache"), "HELM_CONFIG_HOME": str(home / "config"), "HELM_DATA_HOME": str(home / "data")}
    environment["KUBECONFIG"] = str(cluster.kubeconfig_path) if cluster else os.devnull
    context = [f"--kube-context={cluster.name}"] if cluster and cluster.provider == "current" else []
    done = subprocess.run(
        [str(word) for word in (built(HELM), *args, *context)], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        raise HelmError(f"helm {' '.join(map(str, args))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
