"""What one run says of itself: written by `run/`, stored in status by the operator, printed by the command line.

The termination message of a pod holds at most 4 KiB, so it carries `Report.summary()`; the whole report is one JSON line on stdout.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from dbmigration.api.backup_record import BackupRecord, DeclaredBackup
from dbmigration.api.checked import Checked
from dbmigration.api.reasons import Reason
from dbmigration.api.reported import Reported, Shown
from dbmigration.api.states import State
from dbmigration.api.steps import Step

TERMINATION_LIMIT = 4096
"""Bytes that kubelet keeps of a termination message."""

REPORT_KEY = "report"
"""The key of the one log line that holds the whole report."""


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"


class Failure(Reported):
    """What stopped the run. `statement` has its literals replaced and at most 200 characters; `message` at most 1 KiB and no row value."""

    reason: Reason
    message: str = Field(max_length=1024)
    transient: bool
    file: str | None = None
    line: int | None = None
    sqlstate: str | None = None
    statement: str | None = Field(default=None, max_length=200)


class Database(Reported):
    """`identity`: system identifier and database oid, the same through every host name. `claim`: the resource that migrates it."""

    identity: str
    name: str
    server_version: str
    claim: str | None = None


class MigrationReport(Shown):
    """One file of the plan after the run."""

    name: str
    """Name of the file."""
    state: State
    """Applied, AppliedUnverified (the history holds no checksum), Pending, Skipped (not for this environment), Failed or RolledBack."""
    checksum: str | None = None
    """SHA-256 of the file's text."""
    applied_at: datetime | None = None
    """When it was applied, as the history says."""
    duration_ms: int | None = None
    """How long it took on the server, in milliseconds."""
    sqlstate: str | None = None
    """PostgreSQL's code for what stopped it."""
    line: int | None = None
    """Line of the statement that failed."""
    statement: str | None = None
    """Beginning of the statement that failed, its values replaced."""
    message: str | None = None
    """What stopped it, or why it is not applied."""
    prefix_digest: str | None = Field(default=None, max_length=128)
    """Hash of names and checksums of all seeds and of the files up to this one, where each of them is applied or skipped: spec.promotion of
    another resource compares it with its plan.prefixDigest."""


_LONGEST_MS = 10**12


def _known_steps(value: object) -> object:
    """A pod may say anything, and each word becomes a time series."""
    if not isinstance(value, dict):
        return {}
    return {step.value: min(ms, _LONGEST_MS) for step in Step if isinstance(ms := value.get(step.value), int) and ms >= 0}


StepDurations = Annotated[dict[str, int], BeforeValidator(_known_steps)]
"""Milliseconds by step."""
Count = Annotated[int, Field(ge=0, le=_LONGEST_MS)]

TraceId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", max_length=32)]
"""As W3C's Trace Context writes it."""


class HeldLock(Reported):
    """A lock that a file had on a table for at most `ms` milliseconds. ACCESS EXCLUSIVE keeps readers out, the others writers."""

    file: str
    mode: str
    table: str
    ms: int


class RehearsedFile(Shown):
    """A file that ran in the copy."""

    name: str
    """Name of the file."""
    statements: int
    """How many statements it has."""
    duration_ms: int
    """How long it took, in milliseconds."""


class RehearsedStatement(Shown):
    """A statement of a rehearsed file."""

    file: str
    """The file."""
    line: int
    """Line of the statement, from 1."""
    statement: str
    """Its beginning, values replaced."""
    duration_ms: int
    """How long it took, in milliseconds."""


KEEPS_OTHERS_OUT = frozenset({"SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"})
"""Locks on a table that keep writers out; the last keeps readers out, too (PostgreSQL's manual, 13.3.1)."""


class RehearsedLock(Shown):
    """The strongest lock that a rehearsed file took on a table that was there before it."""

    table: str
    """Schema and name of the table."""
    mode: str
    """SHARE and stronger keep writers out, ACCESS EXCLUSIVE keeps readers out, too."""
    held_ms: int
    """For how long, to the end of its transaction, in milliseconds."""
    file: str
    """The file that took it."""
    line: int | None = None
    """Line of the statement that took it."""

    @property
    def keeps_others_out(self) -> bool:
        return self.mode in KEEPS_OTHERS_OUT


class RehearsedRewrite(Shown):
    """A table of which a rehearsed statement wrote a new copy."""

    table: str
    """Schema and name of the table."""
    bytes: int
    """Size of the new copy, without its indexes."""
    file: str
    """The file."""
    line: int
    """Line of the statement."""


class RehearsalReport(Shown):
    """The pending files in a copy of the database that was restored from its backup, and is gone."""

    passed: bool
    """Every file ran, its verify script passed, and no limit of spec.rehearsal was exceeded."""
    plan_hash: str | None = None
    """Hash of the plan that was rehearsed."""
    backup_uri: str | None = None
    """The backup that was restored."""
    server: str | None = None
    """Version of the server that the copy was on."""
    started_at: datetime
    """When the restore began."""
    completed_at: datetime
    """When the last file had run, or failed."""
    restore_ms: int = 0
    """How long it took to restore the backup and to compare the copy with it, in milliseconds."""
    duration_ms: int = 0
    """How long the files took together, in milliseconds."""
    files: tuple[RehearsedFile, ...] = ()
    """The first files."""
    slowest: tuple[RehearsedStatement, ...] = ()
    """The slowest statements."""
    locks: tuple[RehearsedLock, ...] = ()
    """The strongest locks."""
    rewrites: tuple[RehearsedRewrite, ...] = ()
    """The largest rewrites."""
    lost: tuple[str, ...] = ()
    """Of a rollback: rows and columns that the backup has and the copy had no more, a line for each table."""
    failed_at: str | None = None
    """File and line that stopped it."""
    message: str | None = None
    """What stopped it."""


class JobReport(Reported):
    """What every Job says of itself, whatever it was made for. `trace_id`: of its trace, where it made one."""

    run_id: str
    outcome: Outcome
    reason: Reason
    message: str = Field(max_length=1024)
    failure: Failure | None = None
    started_at: datetime
    finished_at: datetime
    trace_id: TraceId | None = None

    @property
    def whole(self) -> bool:
        """Nothing was left out of it."""
        return True

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Report(JobReport):
    """The whole story of one run.

    `applied_now`, `seeded_now`, `rolled_back_now`: names of the files that this very run applied or rolled back, in order;
    `baselined_now`: how many it recorded without running them.
    `undone_now`: what it applied and took back after a failure (not in `applied_now`), `not_undone`: what it could not take back.
    `source_digest`: of the files that were read, `source_revision` what they were taken from, where the run itself knows.
    `executed_sql`: a migration's own SQL was begun (counts as an attempt). `backup_reason`: why there is or is not a backup;
    `declared_backup`: what stands in for it.
    `verified_file`: the newest file whose verify script passed in this run. `drift`: the first of the `drift_count` differences between
    the schema as it was before the run and what migrations had made of it, one line each. `losses`: what a rollback takes away.
    `approved_hash`: the approved plan of which the plan is the whole or the rest. `prefix_digest`: of all seeds and of the files up to the
    newest pending one, as `migrations.prefix` makes it.
    `complete`: every file and seed of the source is applied with its checksum known, or skipped for its environment.
    `schema_compared`: the two were compared; where not, `drift_note` says why.
    `lint`: the worst of the `lint_count` findings in the pending files, one line each. `warnings`: what on the server could have made the
    run wait or fail. `held`: the locks of this run that lasted a second or longer, longest first. `rehearsal`: what the pending files did
    in a restored copy, None where they were not tried in this run. `steps_ms`: how long each step took. `lock_waits`: how often a file
    waited for a lock so long that it was noticed (a second), `lock_wait_ms` for how long in all.
    """

    executed_sql: bool = False
    database: Database | None = None
    plan_hash: str | None = Field(default=None, max_length=128)
    approved_hash: str | None = Field(default=None, max_length=128)
    prefix_digest: str | None = Field(default=None, max_length=128)
    complete: bool = False
    checked: Checked | None = None
    environment: str | None = None
    version: str | None = None
    applied: int = 0
    pending: int = 0
    skipped: int = 0
    applied_now: tuple[str, ...] = ()
    seeded_now: tuple[str, ...] = ()
    baselined_now: int = 0
    rolled_back_now: tuple[str, ...] = ()
    undone_now: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    source_digest: str | None = None
    source_revision: str | None = None
    pending_names: tuple[str, ...] = ()
    backup: BackupRecord | None = None
    backup_reason: Reason | None = None
    declared_backup: DeclaredBackup | None = None
    verified_file: str | None = None
    verify_reason: Reason | None = None
    drift: tuple[str, ...] = ()
    drift_count: int = 0
    schema_compared: bool = False
    drift_note: str | None = Field(default=None, max_length=300)
    lint: tuple[str, ...] = ()
    lint_count: int = 0
    warnings: tuple[str, ...] = ()
    held: tuple[HeldLock, ...] = ()
    rehearsal: RehearsalReport | None = None
    steps_ms: StepDurations = Field(default_factory=dict)
    lock_waits: Count = 0
    lock_wait_ms: Count = 0
    migrations: tuple[MigrationReport, ...] = ()
    seeds: tuple[MigrationReport, ...] = ()
    truncated: bool = False

    @property
    def whole(self) -> bool:
        return not self.truncated

    def summary(self, limit: int = TERMINATION_LIMIT) -> Self:
        """The same report with its lists shortened, newest kept, until its JSON fits `limit` bytes; `truncated` says so."""
        report = self
        keep = max(len(self.migrations), len(self.seeds))
        while len(report.to_json().encode()) > limit and (
            keep or report.applied_now or report.rolled_back_now or report.undone_now or report.not_undone
            or report.losses or report.pending_names or report.drift or report.lint
            or report.warnings or report.held or report.rehearsal not in (None, self._rehearsal_in_short(0))
        ):  # fmt: skip
            keep //= 2
            report = self.model_copy(
                update={
                    "truncated": True,
                    "migrations": self.migrations[max(len(self.migrations) - keep, 0) :],
                    "seeds": self.seeds[:keep],
                    "applied_now": self.applied_now[max(len(self.applied_now) - keep, 0) :] if keep else (),
                    "seeded_now": self.seeded_now[:keep],
                    "rolled_back_now": self.rolled_back_now[:keep],
                    "undone_now": self.undone_now[:keep],
                    "not_undone": self.not_undone[:keep],
                    "losses": self.losses[:keep],
                    "pending_names": self.pending_names[:keep],
                    "drift": self.drift[:keep],
                    "lint": self.lint[:keep],
                    "warnings": self.warnings[:keep],
                    "held": self.held[:keep],
                    "rehearsal": self._rehearsal_in_short(keep),
                }
            )
        return report

    def _rehearsal_in_short(self, keep: int) -> RehearsalReport | None:
        if self.rehearsal is None:
            return None
        lists = ("files", "slowest", "locks", "rewrites", "lost")
        return self.rehearsal.model_copy(update={name: getattr(self.rehearsal, name)[:keep] for name in lists})
