"""Volumes and where they are mounted. Pure."""

from typing import Any, Final

from dbmigration.api.database import CaRef

Manifest = dict[str, Any]
Mount = tuple[Manifest, Manifest]
"""A container's mount and the pod's volume."""

OWNER_READS: Final = 0o440
ALL_READ: Final = 0o444


def mount(name: str, path: str, source: Manifest, *, read_only: bool = False) -> Mount:
    """The container's mount and the pod's volume."""
    found: Manifest = {"name": name, "mountPath": path}
    if read_only:
        found["readOnly"] = True
    return found, {"name": name, **source}


def secret_volume(name: str) -> Manifest:
    """Optional: the runner says clearly what is missing where a pod would hang."""
    return {"secret": {"secretName": name, "optional": True, "defaultMode": OWNER_READS}}


def ca_volume(reference: CaRef) -> Manifest:
    """The one key of a Secret or ConfigMap."""
    chosen = reference.secret or reference.config_map
    assert chosen is not None, "CaRef holds exactly one"  # noqa: S101 - its validator
    items = [{"key": chosen.key, "path": chosen.key}]
    if reference.secret is not None:
        return {"secret": {"secretName": chosen.name, "optional": True, "items": items, "defaultMode": OWNER_READS}}
    return {"configMap": {"name": chosen.name, "optional": True, "items": items, "defaultMode": ALL_READ}}
