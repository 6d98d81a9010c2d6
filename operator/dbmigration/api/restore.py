"""The DatabaseRestore: a person asks for a backup back, in a new database, and afterwards, if they want it, in the place of the old one.

A kind of its own, for it is done once, and so that its rights are its own: who may migrate a database may not therefore replace it.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from dbmigration.api.approval import MigrationRef
from dbmigration.api.fields import SpecModel, rule, rules

_ONE_BACKUP = "write exactly one of backup.latest: true and backup.uri"
_URI = r"^(pvc|s3)://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[^/]+)+$"
_URI_SAYS = "backup.uri is that of a backup as status.backup.uri writes it: pvc://CLAIM/FOLDER/FILE.dump or s3://BUCKET/FOLDER/FILE.dump"
_INTO = r"^[A-Za-z_][A-Za-z0-9_-]*$"
_RESERVED = "dbmigration_"
_INTO_SAYS = "into is the name of a new database: letters, digits, _ and -, no digit first, and not dbmigration_ (unfinished work)"
_FOR_GOOD = "what is restored, and where, cannot be changed: make another DatabaseRestore (only swap and allowSlots may be set later)"
_NOT_TAKEN_BACK = "a swap that was asked for may have begun, and is not taken back here: to stop one that waits, delete the DatabaseRestore"


def _is_uri(text: str) -> str:
    if ".." in text.split("/") or not re.fullmatch(_URI.strip("^$"), text):
        raise ValueError(_URI_SAYS)
    return text


def _is_new_name(text: str) -> str:
    if text.startswith(_RESERVED) or not re.fullmatch(_INTO.strip("^$"), text):
        raise ValueError(_INTO_SAYS)
    return text


class RestoreSource(SpecModel):
    """Which backup."""

    model_config = ConfigDict(json_schema_extra=rules(rule("(has(self.latest) && self.latest) != has(self.uri)", _ONE_BACKUP)))

    latest: bool | None = None
    """true: the newest verified one of the DatabaseMigration, its status.backup, which was taken right before its newest change. It is
    looked up once, and stands in status.backup."""
    uri: (
        Annotated[
            str,
            Field(
                max_length=1024,
                json_schema_extra=rules(rule(f"self.matches('{_URI}') && !self.contains('/../') && !self.endsWith('/..')", _URI_SAYS)),
            ),
            AfterValidator(_is_uri),
        ]
        | None
    ) = None
    """This one, as status.backup.uri and status.runs of the DatabaseMigration, or `dbmigration backups`, name it. A volume has to be of the
    same namespace; a bucket is opened with endpoint, region and Secret of the DatabaseMigration's own backup.destination.s3."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.latest) == (self.uri is not None):
            raise ValueError(_ONE_BACKUP)
        return self


class RestoreSpec(SpecModel):
    """Which backup is restored where, and whether it then takes the place of the database in use."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.migrationRef == oldSelf.migrationRef && self.backup == oldSelf.backup && self.into == oldSelf.into "
                "&& self.jobs == oldSelf.jobs",
                _FOR_GOOD,
            ),
            rule("!oldSelf.swap || self.swap", _NOT_TAKEN_BACK),
        )
    )

    migration_ref: MigrationRef
    """The DatabaseMigration of this namespace whose database it is: its Secret, TLS, backup destination and pod are used."""
    backup: RestoreSource
    """Which backup."""
    into: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            json_schema_extra=rules(rule(f"self.matches('{_INTO}') && !self.startsWith('{_RESERVED}')", _INTO_SAYS)),
        ),
        AfterValidator(_is_new_name),
    ]
    """The new database, on the server of the one in use, which is not touched. It has this name only once every row and object in it was
    compared with the backup. A restore never writes into a database that is there."""
    jobs: int = Field(default=1, ge=1, le=64)
    """Connections that pg_restore works with at once."""
    swap: bool = False
    """Put the restored database in the place of the one in use, which stays under another name. Set it when you have looked at what was
    restored: `kubectl patch dbr NAME --type=merge -p '{"spec":{"swap":true}}'`. The DatabaseMigration has to be suspended."""
    allow_slots: bool = False
    """Swap although replication slots or subscriptions hang on one of the two databases. They stay with that database, whatever its name is
    then, and have to be made anew."""

    @property
    def is_latest(self) -> bool:
        return bool(self.backup.latest)
