"""What the operator says in `status` of a DatabaseRestore."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.conditions import Condition
from dbmigration.api.report import TraceId
from dbmigration.api.restore_report import RestoredDatabase, SwappedDatabase
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.status import NEXT_STEP_LIMIT, NEXT_STEPS_KEPT, DatabaseStatus, ProgressStatus, StatusModel


class RestoreRunStatus(StatusModel):
    """The newest attempt at a step."""

    step: RestoreStep
    """restore or swap."""
    key: str = Field(max_length=64)
    """Hash of what was asked. The same key is not run again once it has a final result."""
    attempt: int = 1
    """Number of this attempt with this key, from 1."""
    failures: int = 0
    """Attempts with this key that failed in a row."""
    counted: int = 0
    """Those of them that count against the limit of five: every one of a swap, of a restore those that ended without a word."""
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
    trace_id: TraceId | None = None
    """Its OpenTelemetry trace, where runs are traced."""

    @property
    def final(self) -> bool:
        """It has a result that no further attempt follows."""
        return self.finished_at is not None and self.next_retry_at is None


class RestoreStatus(StatusModel):
    """What became of it."""

    observed_generation: int = -1
    """The newest generation of the spec that the operator has seen. -1: none yet."""
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Ready always; Reconciling or Stalled while True; Restored and Swapped once that was tried."""
    next_steps: tuple[Annotated[str, Field(max_length=NEXT_STEP_LIMIT)], ...] = Field(default=(), max_length=NEXT_STEPS_KEPT)
    """What a person can do now, with commands as they are typed."""
    backup_uri: str | None = Field(default=None, max_length=1024)
    """The backup that is used: looked up once, where spec.backup says latest."""
    backup: BackupRecord | None = None
    """Its record: size, SHA-256, when it was taken."""
    database: DatabaseStatus | None = None
    """The database in use, as the newest step met it."""
    restored: RestoredDatabase | None = None
    """What was restored."""
    swapped: SwappedDatabase | None = None
    """What was swapped."""
    run: RestoreRunStatus | None = None
    """The newest attempt."""
    last_handled_retry: str | None = Field(default=None, max_length=256)
    """Value of the annotation dbmigration.dev/retry that the newest finished attempt was started with."""
    progress: ProgressStatus | None = None
    """Where it is."""

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)
