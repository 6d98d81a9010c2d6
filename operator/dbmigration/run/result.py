"""What came of a run, whichever face asked for it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import Plan, PlannedMigration
from dbmigration.postgres.session import Server

if TYPE_CHECKING:
    from dbmigration.api.backup_record import DeclaredBackup
    from dbmigration.backup.record import Backup
    from dbmigration.catalog.compare import Drift
    from dbmigration.lint.finding import Finding
    from dbmigration.postgres.watch import Held
    from dbmigration.run.adopt import Adoption
    from dbmigration.run.rehearse import Rehearsed
    from dbmigration.run.rollback import RollbackPlan


class Done(NamedTuple):
    """A file that this run applied or rolled back. `duration_ms` from its first statement to its commit, the last attempt only.

    `held`: the locks that kept others from a table for a second or longer, longest first.
    """

    name: str
    finished_at: datetime
    duration_ms: int
    statements: int
    attempts: int
    transactional: bool
    verified: bool
    held: "tuple[Held, ...]" = ()


@dataclass(slots=True)
class RunResult:
    """Filled in as the run goes, so that what stands here is true even when a later step failed: a failure still says what was done.

    `plan` is the plan before anything ran; `migrations()` is the state after it. `executed_sql`: a migration's own SQL was begun;
    `working_on` names the file whose SQL was begun and not finished, `verified_again` the one whose verify script was run on request.
    `backup_reason` says why there is a backup, or why there is none; `declared` what stands in for it. `drift`: where the schema was not
    what migrations had made, before anything ran; `schema_compared` says whether it was looked at, `drift_note` why not. `accepted`:
    nothing forbids the plan. `linted`: lint was asked. `findings`: what
    lint has to say of the pending files, by file and line. `warnings`: what on the server could make the run wait or fail.
    `undone`: what the run itself took back after a failure (no longer in `applied`), `not_undone` the names of what it could not.
    `source_digest`: of the files that were read; `source_revision`: what they were taken from, where the run itself knows.
    `prepared`: there is something to do, and it was only planned. `approved_hash`: the approved plan that it is, or is the rest of.
    `rollback`: what a rollback was to undo, None for any other work. `adoption`: what was chosen to be recorded without being run, and
    `adopted` the names of the files that were; `baselined` those that a run recorded before it planned. `owner`: the resource that has
    claimed the database, as `postgres.claim.Owner` writes it. `rehearsal`: what the pending files did in a restored copy in this run;
    `rehearsed_ms`: how long each took there, or in an earlier rehearsal of the same plan.
    """

    run_id: str
    started_at: datetime
    finished_at: datetime | None = None
    error: DbmigrationError | None = None
    source_digest: str | None = None
    source_revision: str | None = None
    server: Server | None = None
    plan: Plan | None = None
    accepted: bool = False
    applied: list[Done] = field(default_factory=list)
    rolled_back: list[Done] = field(default_factory=list)
    undone: list[Done] = field(default_factory=list)
    not_undone: tuple[str, ...] = ()
    seeded: list[Done] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    baselined: list[str] = field(default_factory=list)
    owner: str | None = None
    executed_sql: bool = False
    working_on: str | None = None
    verified_again: str | None = None
    backup: "Backup | None" = None
    backup_reason: Reason | None = None
    declared: "DeclaredBackup | None" = None
    warnings: tuple[str, ...] = ()
    rehearsal: "Rehearsed | None" = None
    rehearsed_ms: dict[str, int] = field(default_factory=dict)
    drift: "tuple[Drift, ...]" = ()
    drift_note: str | None = None
    schema_compared: bool = False
    findings: "tuple[Finding, ...]" = ()
    linted: bool = False
    prepared: bool = False
    approved_hash: str | None = None
    rollback: "RollbackPlan | None" = None
    adoption: "Adoption | None" = None

    @property
    def succeeded(self) -> bool:
        return self.error is None

    @property
    def reason(self) -> Reason:
        """How it ended, in one word."""
        if self.error is not None:
            return self.error.reason
        if self.prepared:
            return Reason.PREPARED
        return Reason.UP_TO_DATE if self.rollback is None else Reason.ROLLED_BACK

    @property
    def verified_file(self) -> str | None:
        """The newest file whose verify script passed in this run."""
        return next((done.name for done in reversed(self.applied) if done.verified), self.verified_again)

    def migrations(self) -> tuple[PlannedMigration, ...]:
        """The lines of the plan as they stand after the run."""
        if self.plan is None:
            return ()
        done = self._done()
        return tuple(self._after(line, done) for line in self.plan.migrations)

    def seeds(self) -> tuple[PlannedMigration, ...]:
        """The seeds as they stand after the run."""
        if self.plan is None:
            return ()
        done = self._done()
        return tuple(self._after(line, done) for line in self.plan.seeds)

    def pending(self) -> tuple[str, ...]:
        """Names of the files and seeds that are still to be applied, a failed one included. What was rolled back stays out."""
        if self.plan is None:
            return ()
        gone = {done.name for done in (*self.applied, *self.seeded)} | set(self.adopted)
        return tuple(file.name for file in (*self.plan.pending, *self.plan.pending_seeds) if file.name not in gone)

    def version(self) -> str | None:
        """The digits of the newest applied file, as written in its name."""
        applied = [line for line in self.migrations() if line.state in (State.APPLIED, State.APPLIED_UNVERIFIED)]
        return max(applied, key=lambda line: line.number).version if applied else None

    def _done(self) -> dict[str, tuple[State, Done | None]]:
        """What became of the files that this run touched, by name."""
        done: dict[str, tuple[State, Done | None]] = dict.fromkeys(self.adopted, (State.APPLIED, None))
        done |= {each.name: (State.ROLLED_BACK, each) for each in self.rolled_back}
        return done | {each.name: (State.APPLIED, each) for each in (*self.seeded, *self.applied)}

    def _after(self, line: PlannedMigration, done: dict[str, tuple[State, Done | None]]) -> PlannedMigration:
        if line.name in done:
            return _changed(line, *done[line.name])
        if isinstance(self.error, Permanent) and self.working_on == line.name and line.state is State.PENDING:
            return _changed(line, State.FAILED, None)
        return line


def _changed(line: PlannedMigration, state: State, done: Done | None) -> PlannedMigration:
    return PlannedMigration(
        name=line.name,
        version=line.version,
        state=state,
        file=line.file,
        applied_at=done.finished_at if done and state is State.APPLIED else None,
        duration_ms=done.duration_ms if done else None,
        statements_done=0 if done else line.statements_done,
        note=line.note,
    )


def now() -> datetime:
    return datetime.now(UTC)
