"""What the operator asks of one step of a DatabaseRestore: one JSON document in the Job's environment, as in `request`."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from dbmigration.api.request import Model, ResourceRef, S3Request, SecretKeys

RESTORE_REQUEST_VARIABLE = "DBMIGRATION_RESTORE_REQUEST"


class RestoreStep(StrEnum):
    """The two things that a DatabaseRestore does, each in a Job of its own."""

    RESTORE = "restore"
    SWAP = "swap"


class RestoreRequest(Model):
    """One step. `resource`: the DatabaseRestore; `migration`: whose database it is. `claimed_by`: the one other owner whose claim is no
    obstacle.

    `uri`: the backup; one on a volume is below BACKUP_DIR, one in a bucket is opened as `s3` says. `into`: the new database.
    `live_name` and `live_identity` (system identifier and oid), `restored_identity`, for a swap only: the database that was in use when it
    was restored, and the one that was made then, so that a swap is done once, and of those two. `allow_slots` as in the spec.
    `asked_at` as in `RunRequest`.
    """

    resource: ResourceRef
    migration: ResourceRef
    run_id: str
    step: RestoreStep
    uri: str
    into: str
    jobs: int = 1
    s3: S3Request | None = None
    secret_keys: SecretKeys = Field(default_factory=SecretKeys)
    tls_mode: str | None = None
    ca_key: str | None = None
    claimed_by: str | None = None
    live_name: str | None = None
    live_identity: str | None = None
    restored_identity: str | None = None
    allow_slots: bool = False
    asked_at: datetime | None = None
