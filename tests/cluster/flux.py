"""Flux's own kinds, as its modules have them, and its kustomize-controller as a process beside the API server."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.interface import Cluster
from tests.cluster.local.programs import KUSTOMIZE_CONTROLLER, SOURCES, built, go_tool
from tests.cluster.steps import wait_until
from tests.engine.s3 import free_port

SOURCE_CONTROLLER: Final = "github.com/fluxcd/source-controller@v1.9.0"
SOURCE_KINDS: Final = ("gitrepositories", "ocirepositories", "buckets")


def module_folder(module: str) -> Path:
    """Where a Go module lies once it is downloaded and its checksum is known to be right."""
    said = subprocess.run([go_tool(), "mod", "download", "-json", module], check=True, capture_output=True, text=True, timeout=300).stdout
    return Path(json.loads(said)["Dir"])


def install_source_kinds(cluster: Cluster) -> None:
    """GitRepository, OCIRepository and Bucket, without the controller that works on them: tests write their status."""
    folder = module_folder(SOURCE_CONTROLLER) / "config" / "crd" / "bases"
    for plural in SOURCE_KINDS:
        cluster.kubectl("apply", "--server-side", "-f", str(folder / f"source.toolkit.fluxcd.io_{plural}.yaml"))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.source.toolkit.fluxcd.io", "--timeout=60s")


def install_kustomization_kind(cluster: Cluster) -> None:
    modules = (SOURCES / KUSTOMIZE_CONTROLLER.name / "go.mod").read_text()
    found = re.search(rf"{KUSTOMIZE_CONTROLLER.package} (v[\d.]+)", modules)
    assert found is not None, "go.mod names it"
    folder = module_folder(f"{KUSTOMIZE_CONTROLLER.package}@{found[1]}") / "config" / "crd" / "bases"
    cluster.kubectl("apply", "--server-side", "-f", str(folder / "kustomize.toolkit.fluxcd.io_kustomizations.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/kustomizations.kustomize.toolkit.fluxcd.io", "--timeout=60s")


@contextmanager
def kustomize_controller(cluster: Cluster, log: Path) -> Iterator[None]:
    """Flux's own, with the rights of the cluster's administrator, until the context ends."""
    metrics, health = free_port(), free_port()
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig_path), "RUNTIME_NAMESPACE": "default"}
    options = [f"--metrics-addr=127.0.0.1:{metrics}", f"--health-addr=127.0.0.1:{health}", "--requeue-dependency=2s"]

    def is_ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(log.read_text()[-3000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    with log.open("w") as writing:
        process = subprocess.Popen([built(KUSTOMIZE_CONTROLLER), *options], env=environment, stdout=writing, stderr=writing)
        try:
            wait_until("kustomize-controller", is_ready, seconds=60)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
