"""What lies on a volume, as a pod that mounts it sees it."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster

LOOK: Final = 'cd /volume && find . -type f -printf "%P\\t%s\\t%m\\n" | while IFS="$(printf "\\t")" read -r path size mode; do \
    printf "%s\\t%s\\t%s\\t%s\\n" "$path" "$size" "$mode" "$(sha256sum < "$path" | cut -d" " -f1)"; done'


@dataclass(frozen=True)
class StoredFile:
    """A file on a volume: `path` below its root, `size` in bytes, `mode` in octal digits."""

    path: str
    size: int
    mode: str
    sha256: str


def files_on_volume(cluster: Cluster, namespace: str, claim: str) -> list[StoredFile]:
    """Every file on the volume of a claim, temporary ones included, sorted by path."""
    said = run_on_volume(cluster, namespace, claim, LOOK)
    fields = [line.split("\t") for line in said.splitlines()]
    return sorted((StoredFile(path, int(size), mode, sha256) for path, size, mode, sha256 in fields), key=lambda found: found.path)


def run_on_volume(cluster: Cluster, namespace: str, claim: str, script: str) -> str:
    """What a shell script prints in a pod that mounts the claim's volume at /volume, as the user that the runs have."""
    name = "look-at-volume"
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(_pod(name, claim, script)))
    cluster.kubectl("wait", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    said = cluster.kubectl("logs", "-n", namespace, name)
    cluster.kubectl("delete", "pod", "-n", namespace, name, "--wait=true")
    return said


def _pod(name: str, claim: str, script: str) -> dict[str, Any]:
    container = {
        "name": "look",
        "image": operator_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-euc", script],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        # As the runs have it; without it kubelet would change the mode of every file it finds.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": security,
            "containers": [container],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
