"""From `kubectl apply` to Ready, against a bare Job that does nothing, in the same cluster and the same minutes."""

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.measure import Sample, in_turns
from tests.bench.table import Row
from tests.cluster.choose import chosen_cluster
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import install_operator
from tests.cluster.postgres import start_postgres
from tests.cluster.volumes import backup_volume, release_volumes

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
ROUNDS = 7


def apply_to_ready() -> Iterator[Row]:
    """001-004 with a backup on an empty database. Namespace, server, Secret, ConfigMap and volume are there before the clock starts."""
    cluster = chosen_cluster()
    started_here = not cluster.running()
    cluster.create()
    cluster.load_images()
    install_operator(cluster)
    try:
        series = in_turns({"migration": lambda: _migration(cluster), "job": lambda: _job(cluster)}, rounds=ROUNDS)
    finally:
        if started_here:
            cluster.delete()
    ours, job = series["migration"], series["job"]
    yield Row(
        "`kubectl apply` to Ready, 001-004 with a backup",
        "DatabaseMigration",
        f"{ours.seconds:.2f} s ({ours.spread})",
        f"a no-op Job with the same image, to Complete: {job.seconds:.2f} s ({job.spread})",
        f"{ours.ratio_to(job):.2f}",
        "≤ 1.6",
        "make bench ONLY=apply_to_ready",
    )


def _migration(cluster: Cluster) -> Sample:
    namespace = new_namespace(cluster)
    database = start_postgres(cluster, namespace)
    backup_volume(cluster, namespace, "backups")
    cluster.kubectl("create", "configmap", "files", "-n", namespace, f"--from-file={MIGRATIONS}")
    resource = {
        "apiVersion": "dbmigration.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": "bench"},
        "spec": {
            "database": {"secretRef": {"name": database.name}},
            "source": {"configMaps": [{"name": "files"}]},
            "environment": "production",
            "backup": {"destination": {"persistentVolumeClaim": {"claimName": "backups"}}},
        },
    }
    return timed(cluster, namespace, resource, "--for=condition=Ready", "dbm/bench")


def _job(cluster: Cluster) -> Sample:
    namespace = new_namespace(cluster)
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "nothing",
                "image": operator_image(),
                "imagePullPolicy": "IfNotPresent",
                "command": ["true"],
                "securityContext": security,
            }
        ],
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bench"}, "spec": {"template": {"spec": pod}}}
    return timed(cluster, namespace, job, "--for=condition=Complete", "job/bench")


def timed(cluster: Cluster, namespace: str, manifest: dict[str, Any], condition: str, what: str) -> Sample:
    text = json.dumps(manifest)
    started = time.perf_counter()
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    cluster.kubectl("wait", condition, what, "-n", namespace, "--timeout=120s")
    seconds = time.perf_counter() - started
    cluster.kubectl("delete", "namespace", namespace, "--timeout=120s")
    release_volumes(cluster, namespace)
    return Sample(seconds, 0.0)


def new_namespace(cluster: Cluster) -> str:
    name = f"bench-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
    return name
