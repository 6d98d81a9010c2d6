"""How the migration files come into a run's pod. Pure: a source in, parts of a pod out."""

from typing import Any, Final

from dbmigration.api.names import SOURCE_CONTAINER
from dbmigration.api.sources import ImageSource, Source

Manifest = dict[str, Any]

_COPY_DIR: Final = "/dbmigration-files"
"""Where the copy goes, as the image's container sees it: a name that no image has."""
_ALL_READ = 0o444
_SIZE_LIMIT: Final = "1Gi"
"""More than run.fetched lets through: this only keeps an image from filling the node's disk."""


def files_volume(source: Source) -> Manifest:
    """The volume that the runner mounts: the ConfigMaps themselves, or room for what is got."""
    if source.config_maps:
        config_maps = [{"configMap": {"name": reference.name, "optional": True}} for reference in source.config_maps]
        return {"projected": {"sources": config_maps, "defaultMode": _ALL_READ}}
    return {"emptyDir": {"sizeLimit": _SIZE_LIMIT}}


def files_containers(source: Source, volume: str) -> list[Manifest]:
    """The containers that fill `volume` before the runner starts."""
    return [_copying(source.image, volume)] if source.image is not None else []


def _copying(image: ImageSource, volume: str) -> Manifest:
    # -L: a link is followed in the image it stands in. In the runner it would lead to what is mounted there.
    copy: Manifest = {
        "name": SOURCE_CONTAINER,
        "image": image.reference,
        "command": ["cp", "-RL", f"{image.path.rstrip('/')}/.", _COPY_DIR],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": volume, "mountPath": _COPY_DIR}],
    }
    return copy | ({"imagePullPolicy": image.pull_policy.value} if image.pull_policy is not None else {})
