"""The PostgreSQL beside a run, for `spec.rehearsal.where: Pod`. Pure: a spec in, parts of a pod out.

It is a container that starts before the runner and ends with it (`restartPolicy: Always` of an init container, Kubernetes 1.29), so it
keeps no Job from completing. Runner and server meet in one volume that only they mount: sockets, data and what the server said.
"""

from typing import Final

from dbmigration.api.names import SERVER_CONTAINER
from dbmigration.api.rehearsal import RehearsalServer
from dbmigration.api.request import REHEARSAL_SERVER_DIR
from dbmigration.api.server_script import SCRIPT, USER_ANNOTATION
from dbmigration.kube.mounts import ALL_READ, Manifest, Mount, mount

DEFAULT_RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}

_USER: Final = f"{SERVER_CONTAINER}-user"
_SHARED_MEMORY: Final = f"{SERVER_CONTAINER}-memory"
_PASSWD: Final = "passwd"  # noqa: S105 - a file's name


def server_mount(server: RehearsalServer) -> Mount:
    """The runner's mount, and the volume that it shares with the server."""
    return mount(SERVER_CONTAINER, REHEARSAL_SERVER_DIR, {"emptyDir": {"sizeLimit": server.storage}})


def server_volumes() -> list[Manifest]:
    """The server's own: its user, and shared memory, of which a container has 64 MiB otherwise (it counts as the container's memory)."""
    path = f"metadata.annotations['{USER_ANNOTATION}']"
    items = [{"path": _PASSWD, "fieldRef": {"fieldPath": path}}]
    return [
        {"name": _USER, "downwardAPI": {"items": items, "defaultMode": ALL_READ}},
        {"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}},
    ]


def server_annotations(uid: int) -> dict[str, str]:
    """On the pod: initdb asks for the name of who it runs as, and no image has our id."""
    return {USER_ANNOTATION: f"postgres:x:{uid}:{uid}::/:/bin/false"}


def server_container(server: RehearsalServer) -> Manifest:
    """The container, as yet without what all of ours have."""
    found: Manifest = {
        "name": SERVER_CONTAINER,
        "image": server.image,
        "restartPolicy": "Always",
        "command": ["sh", "-c", SCRIPT, "sh", REHEARSAL_SERVER_DIR],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": SERVER_CONTAINER, "mountPath": REHEARSAL_SERVER_DIR},
            {"name": _USER, "mountPath": "/etc/passwd", "subPath": _PASSWD, "readOnly": True},
            {"name": _SHARED_MEMORY, "mountPath": "/dev/shm"},  # noqa: S108 - a mount of the container
        ],
    }
    return found | ({"imagePullPolicy": server.image_pull_policy.value} if server.image_pull_policy is not None else {})
