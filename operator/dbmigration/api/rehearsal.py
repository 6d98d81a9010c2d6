"""`spec.rehearsal`: whether the pending files run in a restored copy of the database before they run in it."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from dbmigration.api.database import SecretRef
from dbmigration.api.fields import Duration, SpecModel, rule, rules
from dbmigration.api.resources import Resources
from dbmigration.api.sources import PullPolicy


class RehearsalMode(StrEnum):
    """When files are rehearsed."""

    OFF = "Off"
    ON_BACKUP = "OnBackup"


class RehearsalPlace(StrEnum):
    """Which server the copy is made on."""

    SAME_SERVER = "SameServer"
    OTHER_SERVER = "OtherServer"
    POD = "Pod"


_ONE_SERVER = (
    "rehearsal.where OtherServer needs rehearsal.secretRef, a Secret with the connection to that server; SameServer takes none: "
    "it uses that of spec.database"
)


_OWN_SERVER = (
    "rehearsal.where Pod needs rehearsal.server.image, an image with PostgreSQL of the database's major version, like postgres:17; "
    "the other places take no rehearsal.server"
)
_SIZE = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"
_SIZE_RULE = rule(f"self.matches('{_SIZE}')", "write a size like 500Mi, 20Gi or 1Ti")
_PARAMETER = r"^[a-z_][a-z0-9_.]{0,62}$"
_PARAMETERS_RULE = rule(
    f"self.all(name, name.matches('{_PARAMETER}'))", "write names of PostgreSQL's settings in small letters, like shared_preload_libraries"
)
_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _is_size(text: str) -> str:
    if not re.fullmatch(_SIZE.strip("^$"), text):
        raise ValueError(_SIZE_RULE["message"])
    return text


def _have_names(given: dict[str, str]) -> dict[str, str]:
    if not all(re.fullmatch(_PARAMETER.strip("^$"), name) for name in given):
        raise ValueError(_PARAMETERS_RULE["message"])
    return given


class RehearsalServer(SpecModel):
    """A PostgreSQL in the run's pod, that nobody but the run reaches and that is gone with the pod."""

    image: str = Field(min_length=1, max_length=1024, pattern=r"^[^\s$]+$")
    """An image with sh, initdb and postgres of the database's major version, and with the extensions and locales that the database uses:
    postgres, postgis, timescaledb, CloudNativePG's and others. Its own entry point is not run."""
    image_pull_policy: PullPolicy | None = None
    """As in a pod: Always, IfNotPresent or Never. Default: Always for the tag latest, else IfNotPresent."""
    storage: Annotated[str, Field(max_length=8, json_schema_extra=rules(_SIZE_RULE)), AfterValidator(_is_size)] = "10Gi"
    """How much of the node's disk the copy may take, with what the files make of it. A pod that takes more is ended."""
    resources: Resources | None = None
    """Of the server's container. Default: requests 100m CPU and 256Mi, limit 1Gi."""
    parameters: Annotated[
        dict[str, Annotated[str, Field(max_length=1024)]],
        Field(max_length=32, json_schema_extra=rules(_PARAMETERS_RULE)),
        AfterValidator(_have_names),
    ] = Field(default_factory=dict)
    """More lines of its postgresql.conf, such as shared_preload_libraries: pg_cron."""

    @property
    def storage_bytes(self) -> int:
        return int(self.storage[:-2]) * _UNITS[self.storage[-2:]]


class Rehearsal(SpecModel):
    """A rehearsal: the fresh backup is restored into a temporary database, compared with the backup, and the pending files run there.

    What fails there stops the run (RehearsalFailed) before anything of the files touched the database.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.secretRef) == (self.where == 'OtherServer')", _ONE_SERVER),
            rule("has(self.server) == (self.where == 'Pod')", _OWN_SERVER),
        )
    )

    mode: RehearsalMode = RehearsalMode.ON_BACKUP
    """OnBackup: after each backup and before the files are applied. Off: not at all."""
    where: RehearsalPlace = RehearsalPlace.SAME_SERVER
    """SameServer: beside the database, on its own server, which needs the room and feels the load. OtherServer: on the server of
    secretRef, of the same major version. The role needs CREATEDB there. Files that touch the whole server (roles, databases, tablespaces)
    are refused on both: RehearsalUnsafe. Pod: on a PostgreSQL within the run's pod, with the database's name, owner and roles, where those
    files run, too; nothing is asked of the role, nor of the database's server."""
    secret_ref: SecretRef | None = None
    """The Secret with the connection to the other server, to any database of it."""
    server: RehearsalServer | None = None
    """The PostgreSQL for Pod."""
    max_lock_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """Refuse files that keep writers or readers out of a table for longer than so many seconds. Default: any time is allowed."""
    fail_on_rewrite: bool = False
    """Refuse files that make PostgreSQL write a new copy of a table that has rows, as a change of a column's type does."""
    max_age: Duration = "24h"
    """A plan that passed need not be rehearsed again for so long, after an approval or in a window; its files have fresh backups all the
    same. 0s: rehearse in every run."""
    jobs: int = Field(default=1, ge=1, le=64)
    """Connections that pg_restore works with at once."""

    @model_validator(mode="after")
    def _secret_fits_place(self) -> Self:
        if (self.secret_ref is not None) != (self.where is RehearsalPlace.OTHER_SERVER):
            raise ValueError(_ONE_SERVER)
        if (self.server is not None) != (self.where is RehearsalPlace.POD):
            raise ValueError(_OWN_SERVER)
        return self
