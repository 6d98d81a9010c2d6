"""Persistent volumes for backups: ordinary ones, and one so small that a backup fills it.

Where nodes can be reached these are `local` PersistentVolumes, because kubelet applies a pod's fsGroup to those and
not to hostPath: a pod that runs as an ordinary user can write. Elsewhere they come from the default storage class.
"""

import json
from typing import Any, Final

from tests.cluster.interface import Cluster, NodeDirectory

NO_CLASS: Final = ""
NAMESPACE_LABEL: Final = "dbmigration.dev/test-namespace"


def backup_volumes(cluster: Cluster, namespace: str, count: int = 1, *, prefix: str = "backups", size: str = "1Gi") -> list[str]:
    """Make `count` empty volumes and their claims in a namespace; returns the claims' names: `backups-0`, `backups-1`, ..."""
    names = [f"{prefix}-{number}" for number in range(count)]
    directories = [cluster.node_directory(f"{namespace}-{name}") for name in names]
    _apply(cluster, namespace, [_volume_objects(namespace, name, size, where) for name, where in zip(names, directories, strict=True)])
    return names


def backup_volume(cluster: Cluster, namespace: str, name: str, *, size: str = "1Gi") -> None:
    """Make one empty volume and its claim `name`."""
    _apply(cluster, namespace, [_volume_objects(namespace, name, size, cluster.node_directory(f"{namespace}-{name}"))])


def tiny_volume(cluster: Cluster, namespace: str, *, name: str = "tiny", mebibytes: int = 1) -> str:
    """Make a claim for a volume that really holds only so much: writing more fails with "No space left on device".

    Raises NotSupported where no node can be reached (provider `current`); a test then skips.
    """
    where = cluster.node_directory(f"{namespace}-{name}", tmpfs_mebibytes=mebibytes)
    _apply(cluster, namespace, [_volume_objects(namespace, name, f"{mebibytes}Mi", where)])
    return name


def release_volumes(cluster: Cluster, namespace: str) -> None:
    """Delete the namespace's PersistentVolumes, which outlive it; does not wait. Their directories go with the cluster."""
    cluster.kubectl("delete", "persistentvolume", "-l", f"{NAMESPACE_LABEL}={namespace}", "--wait=false", "--ignore-not-found")


def _apply(cluster: Cluster, namespace: str, objects: list[list[dict[str, Any]]]) -> None:
    items = [item for group in objects for item in group]
    cluster.kubectl("apply", "-f", "-", "-n", namespace, input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _volume_objects(namespace: str, name: str, size: str, where: NodeDirectory | None) -> list[dict[str, Any]]:
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    if where is None:
        return [claim]
    volume_name = f"{namespace}-{name}"
    # Named on both sides: no other claim can take the volume, and no other volume satisfies the claim.
    claim["spec"] |= {"storageClassName": NO_CLASS, "volumeName": volume_name}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name, "labels": {NAMESPACE_LABEL: namespace}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": NO_CLASS,
            "claimRef": {"namespace": namespace, "name": name},
            "local": {"path": where.path},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [where.node]}]}
                    ]
                }
            },
        },
    }
    return [volume, claim]
