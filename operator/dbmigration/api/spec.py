"""What a person asks for in `spec` of a DatabaseMigration. The docstrings are what `kubectl explain` prints.

The CRD is generated from these models (`python -m dbmigration.kube.crd`). Its CEL rules and the validators here say the same: the rules
refuse at `kubectl apply`, the validators catch a resource that an older CRD let through. A field that does not work yet is not here.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.backup import NEEDS_DESTINATION, Backup, BackupPolicy
from dbmigration.api.checklist import Declaration
from dbmigration.api.checks import DriftCheck, Lint
from dbmigration.api.database import DatabaseSpec
from dbmigration.api.fields import (
    DURATION_RULE,
    REQUIRED_BY_RULE,
    Duration,
    FreeForm,
    Identifier,
    ObjectName,
    PlanHash,
    SpecModel,
    Target,
    Version,
    rule,
    rules,
)
from dbmigration.api.gates import Approval, Promotion, Window
from dbmigration.api.rehearsal import Rehearsal, RehearsalMode
from dbmigration.api.resources import Resources
from dbmigration.api.sources import Source


class History(SpecModel):
    """The table that says what is applied. Without it: what dbmigration.toml beside the files says, else dbmigration.schema_migrations."""

    schema_: Identifier = Field(alias="schema")
    """Schema of the table. The first file may create it."""
    table: Identifier
    """Name of the table."""


class Execution(SpecModel):
    """How SQL is run."""

    lock_timeout: Duration = "2s"
    """How long a statement may wait for a lock before the file is rolled back and tried again. Other readers queue no longer than this.
    0s: for ever."""
    statement_timeout: Duration = "0s"
    """How long one statement may take. 0s: no limit."""
    lock_retries: int = Field(default=10, ge=0, le=1000)
    """How often a file is tried again within one run after a lock timeout, a deadlock or a serialization failure."""
    out_of_order: bool = False
    """Allow a file with a lower number than one that is already applied."""


class Rollback(SpecModel):
    """Go down with rollback scripts, after a backup, and stay there: while this stands, nothing is applied.

    Taken out again, what was rolled back stays RolledBack until its text or the annotation dbmigration.dev/retry changes.
    """

    to: Version
    """Number of the newest file that stays applied; "0": none does."""
    plan_hash: PlanHash | None = None
    """Hash of the only plan that may be carried out: `dbmigration rollback --to NUMBER --dry-run` shows it, and so does the refusal of any
    other. Without it, whatever is above `to`."""


_REHEARSES_A_BACKUP = (
    "rehearsal restores the run's own backup: it needs backup.policy Required (the default), or write rehearsal: {mode: Off}"
)
_NO_TARGET_BESIDE = "while spec.rollback stands nothing is applied: leave spec.target out, or write the same number as in rollback.to"


class OnFailure(StrEnum):
    """What becomes of the files that a run applied before one of its files failed for good."""

    STOP = "Stop"
    ROLLBACK = "Rollback"


class Retry(SpecModel):
    """What happens after a failure that another attempt can mend.

    What fails before any SQL is retried for ever, at most 5 minutes apart.
    """

    limit: int = Field(default=5, ge=1, le=100)
    """How many attempts may have executed SQL before the resource is Stalled with RetryLimitReached."""
    backoff: Annotated[
        Duration,
        Field(json_schema_extra=rules(DURATION_RULE, rule("duration(self) >= duration('1s')", "retry.backoff is at least 1s"))),
    ] = "10s"
    """Pause before the second attempt; it doubles with each failure, up to 5 minutes."""


class LocalObjectRef(SpecModel):
    """An object of the resource's own namespace."""

    name: ObjectName
    """Name of the object."""


class Job(SpecModel):
    """Knobs of the run's pod. Its security context is fixed: the restricted Pod Security standard."""

    resources: Resources | None = None
    """Default: requests 50m CPU and 64Mi, limit 512Mi."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """As in a pod."""
    tolerations: tuple[FreeForm, ...] = Field(default=(), max_length=32)
    """As in a pod."""
    affinity: FreeForm | None = None
    """As in a pod."""
    service_account_name: ObjectName | None = None
    """Service account of the pod. Its token is never mounted."""
    image_pull_secrets: tuple[LocalObjectRef, ...] = Field(default=(), max_length=16)
    """Secrets for the image's registry."""
    labels: dict[str, str] = Field(default_factory=dict)
    """More labels of the pod. The operator's own win."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """More annotations of the pod. The operator's own win."""
    active_deadline_seconds: int | None = Field(default=None, ge=1)
    """End a run that takes longer, in seconds. Default: no limit; an index build may take hours."""


class Spec(SpecModel):
    """What is to be true of one database."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.backup)", NEEDS_DESTINATION),
            rule("!has(self.rollback) || !has(self.target) || self.target == self.rollback.to", _NO_TARGET_BESIDE),
            rule(
                "!has(self.rehearsal) || self.rehearsal.mode == 'Off' || !has(self.backup) || self.backup.policy == 'Required'",
                _REHEARSES_A_BACKUP,
            ),
        )
    )

    database: DatabaseSpec
    """The database to migrate."""
    source: Source
    """Where the migration files are."""
    environment: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Which environment this database is: files whose header names others are skipped here. One of the set's environments (default
    development, staging, production)."""
    target: Target | None = None
    """Migrate up to this number and no further. Default: the newest file. Below the applied version it is refused."""
    rollback: Rollback | None = None
    """Go down to a version, after a backup. The only way down."""
    history: History | None = None
    """The table that says what is applied."""
    baseline: Version | None = None
    """Adopt a database that was made before its history: where nothing is recorded yet, the first run records the files up to this number
    as applied without running them, and then applies the rest. Where anything is recorded it changes nothing, and may stay."""
    execution: Execution = Field(default_factory=Execution, json_schema_extra={"default": {}})
    """How SQL is run."""
    backup: Backup = Field(json_schema_extra={REQUIRED_BY_RULE: True})
    """The backup before the migration."""
    rehearsal: Rehearsal | None = None
    """Whether the pending files run in a restored copy first. Default: no."""
    lint: Lint = Field(default_factory=Lint, json_schema_extra={"default": {}})
    """What a run refuses of what lint finds in the pending files."""
    drift_check: DriftCheck | None = None
    """Whether the schema is still what migrations made: what a run does when it is not, and looks between runs."""
    on_failure: OnFailure = OnFailure.STOP
    """When a file fails for good. Stop: files before it stay applied. Rollback: those that the same run applied are undone by their
    rollback scripts, newest first, and are pending again; the message names what could not be undone. Backups are never restored by
    themselves."""
    promotion: Promotion | None = None
    """Which database the same files have to be applied to first. Default: none. Rollbacks do not wait for it."""
    window: Window | None = None
    """When migrations may run. Default: at once."""
    approval: Approval | None = None
    """Whether a person has to agree to each plan before it is carried out. Default: no."""
    retry: Retry = Field(default_factory=Retry, json_schema_extra={"default": {}})
    """What happens after a failure that another attempt can mend."""
    declared: tuple[Declaration, ...] = Field(
        default=(), max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["item"]}
    )
    """What people answer for in status.checklist, because nothing here can see it. It opens no gate, and a change of it starts no run."""
    suspend: bool = False
    """Start no new run. A run in progress finishes."""
    job: Job = Field(default_factory=Job, json_schema_extra={"default": {}})
    """Knobs of the run's pod."""

    @model_validator(mode="after")
    def _no_target_beside_rollback(self) -> Self:
        if self.rollback is not None and self.target is not None and self.target != self.rollback.to:
            raise ValueError(_NO_TARGET_BESIDE)
        return self

    @model_validator(mode="after")
    def _rehearses_a_backup(self) -> Self:
        if self.rehearses and self.backup.policy is not BackupPolicy.REQUIRED:
            raise ValueError(_REHEARSES_A_BACKUP)
        return self

    @property
    def rehearses(self) -> bool:
        return self.rehearsal is not None and self.rehearsal.mode is not RehearsalMode.OFF
