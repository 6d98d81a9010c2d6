"""`spec.source`: where the migration files are, as a person says it."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.fields import ObjectName, SpecModel, rule, rules

MAX_CONFIG_MAPS = 20

_IN_IMAGE = r"^/[^\s/$][^\s$]*$"
_NO_WAY_UP = rule("!self.split('/').exists(part, part == '..')", "a path has no .. in it: write where the files are")
_ONE_SOURCE = "source takes exactly one of configMaps and image"


def _stays_inside(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError(_NO_WAY_UP["message"])
    return path


class ConfigMapRef(SpecModel):
    """A ConfigMap of the resource's own namespace."""

    name: ObjectName
    """Name of the ConfigMap."""


class PullPolicy(StrEnum):
    """As in a pod."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ImageSource(SpecModel):
    """Files in an image that has the program cp: its container copies them for the run. spec.job.imagePullSecrets let into the registry."""

    reference: str = Field(min_length=1, max_length=1024, pattern=r"^[^\s$]+$")
    """The image, best by digest, as registry/app@sha256:... A tag that moves is only noticed when a run starts for another reason."""
    path: Annotated[str, Field(max_length=512, pattern=_IN_IMAGE, json_schema_extra=rules(_NO_WAY_UP))] = "/migrations"
    """The folder with the files."""
    pull_policy: PullPolicy | None = None
    """As in a pod: Always, IfNotPresent or Never. Default: Always for the tag latest, else IfNotPresent."""

    @model_validator(mode="after")
    def _has_no_way_up(self) -> Self:
        _stays_inside(self.path)
        return self


class Source(SpecModel):
    """Where the migration files are."""

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.configMaps) != has(self.image)", _ONE_SOURCE)))

    config_maps: tuple[ConfigMapRef, ...] = Field(
        default=(),
        min_length=1,
        max_length=MAX_CONFIG_MAPS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """ConfigMaps whose keys are the files (NNN_name.sql, rollback-NNN.sql, verify-NNN.sql, dbmigration.toml). Several, for a set past
    1 MiB; together they are one folder, so no file may be in two of them."""
    image: ImageSource | None = None
    """An image that holds the files."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.config_maps) == (self.image is not None):
            raise ValueError(_ONE_SOURCE)
        return self
