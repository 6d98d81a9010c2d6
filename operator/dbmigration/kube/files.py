"""How the migration files come into a run's pod. Pure: a source in, parts of a pod out."""

from typing import Final

from dbmigration.api.names import SOURCE_CONTAINER
from dbmigration.api.request import GIT_CA_DIR, GIT_SECRET_DIR, MIGRATIONS_DIR
from dbmigration.api.sources import ImageSource, Source
from dbmigration.kube.mounts import ALL_READ, Manifest, ca_volume, mount, secret_volume

_FILES: Final = "migrations"
_COPY_DIR: Final = "/dbmigration-files"
"""Where the copy goes, as the image's container sees it: a name that no image has."""
_SIZE_LIMIT: Final = "1Gi"
"""More than run.fetched lets through: this only keeps an image from filling the node's disk."""


def files_mounts(source: Source) -> list[tuple[Manifest, Manifest]]:
    """What the runner mounts: the ConfigMaps themselves, room for what an image's container copies, or who it is to a repository."""
    if source.config_maps:
        config_maps = [{"configMap": {"name": reference.name, "optional": True}} for reference in source.config_maps]
        return [mount(_FILES, MIGRATIONS_DIR, {"projected": {"sources": config_maps, "defaultMode": ALL_READ}}, read_only=True)]
    if source.image is not None:
        return [mount(_FILES, MIGRATIONS_DIR, {"emptyDir": {"sizeLimit": _SIZE_LIMIT}}, read_only=True)]
    mounts = []
    if source.git is not None and source.git.secret_ref is not None:
        mounts.append(mount("git", GIT_SECRET_DIR, secret_volume(source.git.secret_ref.name), read_only=True))
    if source.git is not None and source.git.ca_ref is not None:
        mounts.append(mount("git-ca", GIT_CA_DIR, ca_volume(source.git.ca_ref), read_only=True))
    return mounts


def files_containers(source: Source) -> list[Manifest]:
    """The containers that get the files before the runner starts."""
    return [_copying(source.image)] if source.image is not None else []


def _copying(image: ImageSource) -> Manifest:
    # -L: a link is followed in the image it stands in. In the runner it would lead to what is mounted there.
    copy: Manifest = {
        "name": SOURCE_CONTAINER,
        "image": image.reference,
        "command": ["cp", "-RL", f"{image.path.rstrip('/')}/.", _COPY_DIR],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": _FILES, "mountPath": _COPY_DIR}],
    }
    return copy | ({"imagePullPolicy": image.pull_policy.value} if image.pull_policy is not None else {})
