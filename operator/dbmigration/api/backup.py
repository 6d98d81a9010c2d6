"""`spec.backup`: what protects the database before it is migrated. The docstrings are what `kubectl explain` prints."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.database import SecretRef
from dbmigration.api.dumps import COMPRESSION_PATTERN, DumpFormat
from dbmigration.api.fields import Duration, ObjectName, SpecModel, rule, rules

_KEEPS_SOMETHING = "backup.retention needs keepLast, keepDays or both; to keep every backup leave retention out"


class PersistentVolumeClaimRef(SpecModel):
    """A PersistentVolumeClaim of the resource's own namespace."""

    claim_name: ObjectName
    """Name of the claim. Dumps go to a folder named like the resource."""


class S3SecretRef(SpecModel):
    """A Secret of the resource's own namespace with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN."""

    name: ObjectName
    """Name of the Secret."""


class S3Encryption(StrEnum):
    """How the store encrypts what it gets."""

    AES256 = "AES256"
    KMS = "aws:kms"


class S3Destination(SpecModel):
    """A bucket of S3, or of what speaks its language."""

    bucket: str = Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")
    """Name of the bucket."""
    prefix: str = Field(default="", max_length=512, pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$")
    """Where in the bucket; the resource's namespace and name follow. Without slashes at its ends."""
    endpoint: str | None = Field(default=None, max_length=512, pattern=r"^https?://[^\s/?#@]+/?$")
    """The store's address, as https://minio.storage.svc:9000. Without it, Amazon's."""
    region: str | None = Field(default=None, max_length=64, pattern=r"^[a-z0-9-]+$")
    """The bucket's region."""
    secret_ref: S3SecretRef | None = None
    """Who we are there. Without it, what the pod's service account stands for (job.serviceAccountName, with a web identity)."""
    encryption: S3Encryption | None = None
    """Ask the store to encrypt: AES256, or aws:kms. Without it, the bucket's own default holds."""
    kms_key_id: str | None = Field(default=None, max_length=2048, pattern=r"^[A-Za-z0-9:/_-]+$")
    """The key for encryption aws:kms; without it, the account's default key."""


_ONE_DESTINATION = "backup.destination takes exactly one of persistentVolumeClaim and s3"


class BackupDestination(SpecModel):
    """Where dumps go: a volume, or a bucket."""

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.persistentVolumeClaim) != has(self.s3)", _ONE_DESTINATION)))

    persistent_volume_claim: PersistentVolumeClaimRef | None = None
    """A volume."""
    s3: S3Destination | None = None
    """A bucket."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.persistent_volume_claim is None) == (self.s3 is None):
            raise ValueError(_ONE_DESTINATION)
        return self


class Retention(SpecModel):
    """Which backups of this resource stay once there is a newer one: what either field keeps.

    Only verified ones count, and the newest always stays.
    """

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.keepLast) || has(self.keepDays)", _KEEPS_SOMETHING)))

    keep_last: int | None = Field(default=None, ge=1, le=10_000)
    """The newest so many."""
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    """Those younger than so many days."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep_last is None and self.keep_days is None:
            raise ValueError(_KEEPS_SOMETHING)
        return self


class BackupPolicy(StrEnum):
    """What has to protect the database before the first statement."""

    REQUIRED = "Required"
    EXTERNAL = "External"
    SKIP = "Skip"


Compression = Annotated[str, Field(max_length=7, pattern=COMPRESSION_PATTERN)]
Said = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ExternalBackup(SpecModel):
    """What somebody else does to protect the database: continuous archiving, snapshots of the storage. It is shown as declared, for nothing
    of it can be seen from here."""

    provider: Said
    """Who takes the backups and under which name, like "pgBackRest, stanza studio"."""
    recovery_point: Duration | None = None
    """How much can be lost at most, as the provider promises: 5m."""
    restore_tested_on: date | None = None
    """The day of the last restore that was tried, as 2026-11-23."""
    restore_guide: Said | None = None
    """Where it stands how to restore: a link, or a command."""


NEEDS_DESTINATION = (
    "backup.policy Required (the default) needs backup.destination.persistentVolumeClaim.claimName, or backup.destination.s3; "
    "where something else protects the database write backup: {policy: External, external: {provider: ...}}; "
    "to migrate without a backup write backup: {policy: Skip}"
)
_TAKES_NO_DESTINATION = "backup.policy Skip takes no destination: leave destination out, or write policy: Required"
_NO_DUMP = "backup.policy External takes no dump, so neither destination nor retention: leave them out, or write policy: Required"
_DIRECTORY_ON_VOLUME = (
    "backup.format Directory is a folder of files and goes to backup.destination.persistentVolumeClaim: with s3 leave format out"
)
_JOBS_IN_DIRECTORY = "backup.jobs is how many connections write the files of format Directory: write format: Directory, or leave jobs out"
_OF_A_DUMP = "backup.secretRef is who takes the dump, and goes with policy Required only: leave it out"
_NEEDS_EXTERNAL = 'backup.policy External needs what protects the database: external: {provider: "pgBackRest, stanza studio"}'
_TAKES_NO_EXTERNAL = "backup.external goes with policy External only: leave it out, or write policy: External"


class Backup(SpecModel):
    """A pg_dump that was read to its end before anything is migrated, or a statement of what protects the database instead."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.policy != 'Required' || has(self.destination)", NEEDS_DESTINATION),
            rule("self.policy != 'Skip' || !has(self.destination)", _TAKES_NO_DESTINATION),
            rule("self.policy != 'External' || !(has(self.destination) || has(self.retention))", _NO_DUMP),
            rule("self.format != 'Directory' || !has(self.destination) || !has(self.destination.s3)", _DIRECTORY_ON_VOLUME),
            rule("self.jobs == 1 || self.format == 'Directory'", _JOBS_IN_DIRECTORY),
            rule("self.policy != 'External' || has(self.external)", _NEEDS_EXTERNAL),
            rule("self.policy == 'Required' || !has(self.secretRef)", _OF_A_DUMP),
            rule("self.policy == 'External' || !has(self.external)", _TAKES_NO_EXTERNAL),
        )
    )

    policy: BackupPolicy = BackupPolicy.REQUIRED
    """Required: no migration without a verified backup. External: somebody else protects the database, which is said and not proved. Skip:
    none is taken, and the resource says so."""
    destination: BackupDestination | None = None
    """Where dumps go. Needed by policy Required."""
    retention: Retention | None = None
    """Which older backups stay. Without it, all do."""
    format: DumpFormat = DumpFormat.CUSTOM
    """Custom: one file. Directory: a folder with a file for each table, which several connections can dump at once; on a volume only."""
    jobs: int = Field(default=1, ge=1, le=64)
    """How many connections dump at once, in format Directory. Restoring takes `dbmigration restore --jobs`, with either format."""
    compression: Compression | None = None
    """none, gzip, lz4 or zstd, and a level if need be: zstd:3. lz4 and zstd need a server of PostgreSQL 16 or newer. Without it, what
    pg_dump does by itself: gzip."""
    secret_ref: SecretRef | None = None
    """The Secret with the connection that pg_dump uses, with the keys of database.secretRef: a role that may read everything, where the
    one that migrates may not. It has to lead to the same database. Without it, the dump uses that of database.secretRef."""
    external: ExternalBackup | None = None
    """What protects the database. Needed by policy External."""

    @model_validator(mode="after")
    def _fits_policy(self) -> Self:
        if self.policy is BackupPolicy.REQUIRED and self.destination is None:
            raise ValueError(NEEDS_DESTINATION)
        if self.policy is BackupPolicy.SKIP and self.destination is not None:
            raise ValueError(_TAKES_NO_DESTINATION)
        if self.policy is BackupPolicy.EXTERNAL and not (self.destination is None and self.retention is None):
            raise ValueError(_NO_DUMP)
        if self.format is DumpFormat.DIRECTORY and self.destination is not None and self.destination.s3 is not None:
            raise ValueError(_DIRECTORY_ON_VOLUME)
        if self.jobs != 1 and self.format is not DumpFormat.DIRECTORY:
            raise ValueError(_JOBS_IN_DIRECTORY)
        if self.policy is BackupPolicy.EXTERNAL and self.external is None:
            raise ValueError(_NEEDS_EXTERNAL)
        if self.policy is not BackupPolicy.REQUIRED and self.secret_ref is not None:
            raise ValueError(_OF_A_DUMP)
        if self.policy is not BackupPolicy.EXTERNAL and self.external is not None:
            raise ValueError(_TAKES_NO_EXTERNAL)
        return self
