"""What the operator says in `status` of a DatabaseMigration: at most 32 KiB, whatever the set of files is.

Applied state is rebuilt from the database by every run; control state (attempts, next retry, last handled annotation) lives only here.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from dbmigration.api.backup_record import BackupRecord, DeclaredBackup
from dbmigration.api.checklist import Check, Item
from dbmigration.api.conditions import Condition, clip
from dbmigration.api.limits import within_limits
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Count, MigrationReport, RehearsalReport, StepDurations, TraceId
from dbmigration.api.reported import Reported

STATUS_LIMIT = 32 * 1024
"""Most bytes of JSON that a status may have: it is copied into every watch event."""

MIGRATIONS_KEPT = 50
RUNS_KEPT = 10
PLAN_NAMES_KEPT = 20
DIFFERENCES_KEPT = 10
NEXT_STEPS_KEPT = 4
NEXT_STEP_LIMIT = 512
"""Most bytes of one step."""


class StatusModel(Reported):
    model_config = ConfigDict(use_attribute_docstrings=True)


class SourceStatus(StatusModel):
    """The files that the newest run was given."""

    digest: str = Field(max_length=128)
    """SHA-256 over names and bytes of the files."""
    complete: bool = False
    """Every one of them is applied, or skipped for its environment: what another environment may go by."""
    revision: str | None = Field(default=None, max_length=1024)
    """What they were taken from: digest of the image, commit, revision of the artifact. Missing for ConfigMaps."""


class DatabaseStatus(StatusModel):
    """The database that the newest run met."""

    identity: str = Field(max_length=128)
    """System identifier and database oid: the same through every host name."""
    name: str = Field(default="", max_length=256)
    """Name of the database."""
    server_version: str = Field(max_length=128)
    """Version of the server."""
    claim: str | None = Field(default=None, max_length=1024)
    """The resource that has claimed it, as namespace/name, with @cluster where that has a name. Another than this one: it is refused."""


class PlanStatus(StatusModel):
    """The newest plan."""

    hash: str | None = Field(default=None, max_length=128)
    """Hash of names and checksums of the pending files and the environment."""
    pending: int = 0
    """How many files wait."""
    to: str | None = Field(default=None, max_length=32)
    """Number of the newest of them. It stays when they are applied."""
    names: tuple[str, ...] = Field(default=(), max_length=PLAN_NAMES_KEPT)
    """The first of them. The whole list is in the run's log."""
    approved_hash: str | None = Field(default=None, max_length=128)
    """The plan that was approved and of which this is the whole, or what an interrupted run left of it."""
    prefix_digest: str | None = Field(default=None, max_length=128)
    """Hash of names and checksums of all seeds and of the files up to the newest pending one: the database that spec.promotion names has
    them all when one of its migrations has the same prefixDigest."""


class ApprovalStatus(StatusModel):
    """Who agreed to the newest plan that was carried out, or is."""

    name: str = Field(max_length=253)
    """Name of the MigrationApproval."""
    plan_hash: str = Field(max_length=128)
    """The plan that it agrees to."""
    approved_by: str | None = Field(default=None, max_length=256)
    """Who, as the approval says."""
    spent_until: datetime | None = None
    """Approvals that were made until then have been carried out and count no more."""


class PromotionStatus(StatusModel):
    """Where the files of the newest run had been applied before."""

    by: str = Field(max_length=600)
    """The DatabaseMigration or the ConfigMap that showed it."""
    environment: str | None = Field(default=None, max_length=64)
    """Which environment that is."""
    digest: str = Field(max_length=128)
    """The files that this is about, as in source.digest."""
    seen_at: datetime
    """When it was Ready with all of them."""


class RunStatus(StatusModel):
    """The newest run."""

    key: str = Field(max_length=64)
    """Hash of what the run was asked: spec, files, retry annotation. The same key is not run again once it has a final result."""
    spec_hash: str = Field(default="", max_length=64)
    """Hash of the whole spec then: after a permanent failure any change of it starts a run."""
    attempt: int = 1
    """Number of this attempt with this key, from 1."""
    failures: int = 0
    """Attempts with this key that failed in a row."""
    counted: int = 0
    """Those of them that had executed SQL: they count against retry.limit."""
    job_name: str = Field(max_length=253)
    """Job of this attempt: kubectl logs job/NAME."""
    started_at: datetime
    """When the Job was made."""
    finished_at: datetime | None = None
    """When its result was stored. Missing while it runs."""
    next_retry_at: datetime | None = None
    """When the next attempt starts. Missing when the result is final."""
    outcome: str | None = Field(default=None, max_length=32)
    """Succeeded, Failed or Interrupted."""
    reason: str | None = Field(default=None, max_length=64)
    """Why."""
    message: str | None = Field(default=None, max_length=2048)
    """In words."""
    file: str | None = Field(default=None, max_length=512)
    """File that stopped the run."""
    line: int | None = None
    """Line in that file, from 1."""
    sqlstate: str | None = Field(default=None, max_length=16)
    """SQLSTATE of the error."""
    steps_ms: StepDurations = Field(default_factory=dict)
    """How long each of its steps took, in milliseconds."""
    lock_waits: Count = 0
    """How often a file waited for a lock for a second or longer."""
    lock_wait_ms: Count = 0
    """For how long in all, in milliseconds."""
    trace_id: TraceId | None = None
    """Its OpenTelemetry trace, where runs are traced."""

    @property
    def final(self) -> bool:
        """It has a result that no further attempt follows."""
        return self.finished_at is not None and self.next_retry_at is None and not self.waits

    @property
    def waits(self) -> bool:
        """It ended with files that are pending until a gate opens. Then another run follows."""
        return self.finished_at is not None and self.reason in (Reason.PREPARED, Reason.WINDOW_CLOSED)


class WindowStatus(StatusModel):
    """The window that a migration waits for."""

    next_opening: datetime | None = None
    """When it opens. Missing when it never does."""


class ReplacedStatus(StatusModel):
    """A DatabaseRestore put a restored database in the place of this resource's one."""

    by: str = Field(max_length=253)
    """Name of the DatabaseRestore."""
    job_name: str = Field(max_length=253)
    """Its Job."""
    at: datetime
    """When the operator noticed. What status said of the old database is gone since; the next run reads the new one."""


class DriftStatus(StatusModel):
    """The newest comparison of the schema with what migrations made of it."""

    checked_at: datetime
    """When."""
    job_name: str | None = Field(default=None, max_length=253)
    """Job of the newest look between runs: kubectl logs job/NAME."""
    count: int = 0
    """How many differences there are."""
    differences: tuple[str, ...] = Field(default=(), max_length=DIFFERENCES_KEPT)
    """The first of them. `dbmigration drift` names them all."""
    last_handled_check: str | None = Field(default=None, max_length=256)
    """Value of the annotation dbmigration.dev/check-drift that the newest look was started with."""


class ProgressStatus(StatusModel):
    """Where the run is. Written at most every 10 seconds."""

    step: str = Field(max_length=64)
    """source, connect, lock, plan, backup, apply, verify …"""
    file: str | None = Field(default=None, max_length=512)
    """File at work."""
    done: int | None = None
    """How much is done, in the step's own unit."""
    total: int | None = None
    """Of how much."""
    message: str | None = Field(default=None, max_length=1024)
    """In words."""
    percent: int | None = None
    """How far the file at work is, of 100: the server's own word on an index that is built, else the share of its text that was sent."""
    summary: str = Field(default="", max_length=128)
    """All of it in a few words: apply 3/7 40%."""
    blocked_by: str | None = Field(default=None, max_length=1024)
    """The sessions that hold the lock it waits for: process, user, application, state, age. Missing while it does not wait."""
    at: datetime
    """When this was written."""


class RunSummary(StatusModel):
    """A past run."""

    id: str = Field(max_length=253)
    """Name of its Job."""
    started_at: datetime
    """When it started."""
    finished_at: datetime
    """When its result was stored."""
    outcome: str = Field(max_length=32)
    """Succeeded, Failed or Interrupted."""
    reason: str = Field(max_length=64)
    """Why."""
    from_: str | None = Field(default=None, alias="from", max_length=32)
    """Version before."""
    to: str | None = Field(default=None, max_length=32)
    """Version after."""
    backup_uri: str | None = Field(default=None, max_length=1024)
    """Its backup."""
    trace_id: TraceId | None = None
    """Its OpenTelemetry trace, where runs are traced."""


class Status(StatusModel):
    """What is true of the database, and what the operator is doing about it."""

    observed_generation: int = -1
    """The newest generation of the spec that the operator has seen. -1: none yet."""
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Ready always; Reconciling or Stalled while True; BackedUp, Verified and SchemaInSync once something was found out."""
    next_steps: tuple[Annotated[str, Field(max_length=NEXT_STEP_LIMIT)], ...] = Field(default=(), max_length=NEXT_STEPS_KEPT)
    """What a person can do about it, with commands as they are typed. Empty while nothing has to be done."""
    checklist: tuple[Check, ...] = Field(
        default=(), max_length=len(Item), json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["item"]}
    )
    """The checklist before a migration, about the newest plan: docs/checklist.md. Proved is only what was seen."""
    version: str | None = Field(default=None, max_length=32)
    """Number of the newest applied file."""
    applied: int | None = None
    """How many files are applied."""
    pending: int | None = None
    """How many wait."""
    skipped: int | None = None
    """How many are for other environments."""
    source: SourceStatus | None = None
    """The files of the newest run."""
    database: DatabaseStatus | None = None
    """The database that the newest run met."""
    plan: PlanStatus | None = None
    """The newest plan."""
    run: RunStatus | None = None
    """The newest run."""
    queued_since: datetime | None = None
    """Since when its next run has waited for those of other resources to end (reason Queued)."""
    window: WindowStatus | None = None
    """The window that the pending files wait for. Missing while nothing waits for one."""
    promotion: PromotionStatus | None = None
    """Where the files of the newest run had been applied before."""
    approval: ApprovalStatus | None = None
    """The approval of the newest plan that was carried out, or is."""
    last_handled_retry: str | None = Field(default=None, max_length=256)
    """Value of the annotation dbmigration.dev/retry that the newest finished run was started with."""
    last_success_at: datetime | None = None
    """When a run last found the database as the resource asks, or made it so."""
    backup: BackupRecord | None = None
    """The newest verified backup."""
    declared_backup: DeclaredBackup | None = None
    """What was declared to protect the database before the newest change, where spec.backup.policy was External."""
    rehearsal: RehearsalReport | None = None
    """The newest rehearsal: the pending files in a restored copy of the database."""
    drift: DriftStatus | None = None
    """The newest comparison of the schema with what migrations made of it."""
    replaced: ReplacedStatus | None = None
    """The newest swap by a DatabaseRestore."""
    migrations: tuple[MigrationReport, ...] = Field(default=(), max_length=MIGRATIONS_KEPT)
    """The newest files and what they are to the database."""
    seeds: tuple[MigrationReport, ...] = Field(default=(), max_length=MIGRATIONS_KEPT)
    """The first seeds and what they are to the database."""
    progress: ProgressStatus | None = None
    """Where the run is."""
    runs: tuple[RunSummary, ...] = Field(default=(), max_length=RUNS_KEPT)
    """The newest runs, newest first."""

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def fit(self, limit: int = STATUS_LIMIT) -> Self:
        """The same status in at most `limit` bytes: texts clipped, then the oldest files and runs left out."""
        newest = self.model_copy(update={"migrations": self.migrations[-MIGRATIONS_KEPT:]})
        status = within_limits(newest)
        status = status.model_copy(
            update={
                "migrations": tuple(_clipped(m) for m in status.migrations),
                "seeds": tuple(_clipped(m) for m in status.seeds),
            }
        )
        while len(status.to_json().encode()) > limit and (status.migrations or status.seeds or status.runs):
            keep = len(status.migrations) // 2
            status = status.model_copy(
                update={
                    "migrations": status.migrations[len(status.migrations) - keep :],
                    "seeds": status.seeds[: len(status.seeds) // 2],
                    "runs": status.runs if keep else status.runs[: len(status.runs) // 2],
                }
            )
        return status


def _clipped(migration: MigrationReport) -> MigrationReport:
    return migration.model_copy(
        update={
            "statement": clip(migration.statement, 203) if migration.statement else None,
            "message": clip(migration.message) if migration.message else None,
        }
    )
