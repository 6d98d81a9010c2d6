"""`spec.rehearsal`: whether the pending files run in a restored copy of the database before they run in it."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.database import SecretRef
from dbmigration.api.fields import Duration, SpecModel, rule, rules


class RehearsalMode(StrEnum):
    """When files are rehearsed."""

    OFF = "Off"
    ON_BACKUP = "OnBackup"


class RehearsalPlace(StrEnum):
    """Which server the copy is made on."""

    SAME_SERVER = "SameServer"
    OTHER_SERVER = "OtherServer"


_ONE_SERVER = (
    "rehearsal.where OtherServer needs rehearsal.secretRef, a Secret with the connection to that server; SameServer takes none: "
    "it uses that of spec.database"
)


class Rehearsal(SpecModel):
    """A rehearsal: the fresh backup is restored into a temporary database, compared with the backup, and the pending files run there.

    What fails there stops the run (RehearsalFailed) before anything of the files touched the database.
    """

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.secretRef) == (self.where == 'OtherServer')", _ONE_SERVER)))

    mode: RehearsalMode = RehearsalMode.ON_BACKUP
    """OnBackup: after each backup and before the files are applied. Off: not at all."""
    where: RehearsalPlace = RehearsalPlace.SAME_SERVER
    """SameServer: beside the database, on its own server, which needs the room and feels the load. OtherServer: on the server of
    secretRef, of the same major version. The role needs CREATEDB there. Files that touch the whole server (roles, databases, tablespaces)
    are refused: RehearsalUnsafe."""
    secret_ref: SecretRef | None = None
    """The Secret with the connection to the other server, to any database of it."""
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
        return self
