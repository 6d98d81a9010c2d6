"""`dbmigration test`: each file up, verified, down and up again in a scratch database, with the schema compared at each turn.

A rollback script is right when it leaves the schema as it was before its migration, and when the migration runs again after it. That is
what a person tries by hand before a release; here it is done for every file, in order, on what the files before it made.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dbmigration.api.reasons import Reason
from dbmigration.catalog.compare import Change, Drift, compare
from dbmigration.catalog.snapshot import take_snapshot
from dbmigration.errors import DbmigrationError
from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.migrations.script import inspect
from dbmigration.migrations.seeds import NUMBER as SEED_NUMBER
from dbmigration.postgres.apply import apply_file, apply_seed, rollback_file
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Execution, Settings
from dbmigration.postgres.sizes import row_counts
from dbmigration.run.stop import StopRequest
from dbmigration.scratch.database import scratch_database

if TYPE_CHECKING:
    from dbmigration.catalog.model import Snapshot
    from dbmigration.scratch.database import ScratchServer


class Turn(StrEnum):
    """Where a file was when something was wrong."""

    UP = "up"
    DOWN = "down"
    AGAIN = "up again"


class Outcome(StrEnum):
    PASSED = "passed"
    NO_ROLLBACK = "no rollback"
    """Up only: there is no rollback script."""
    APPLIED = "applied"
    """Up only: others were to be tried."""
    FAILED = "failed"
    NOT_TRIED = "not tried"
    """A file before it could not be applied."""


@dataclass(slots=True)
class Trial:
    """What came of one file. Times in milliseconds, None for a turn that did not come to its end.

    FAILED with an `error`: the turn's SQL failed; with `drift`: it ran, and left another schema than it should; with `rows`: a seed's
    second run changed the number of rows of these tables. `note` is no failure.
    """

    file: MigrationFile
    outcome: Outcome = Outcome.NOT_TRIED
    up_ms: int | None = None
    down_ms: int | None = None
    again_ms: int | None = None
    turn: Turn | None = None
    error: DbmigrationError | None = None
    drift: tuple[Drift, ...] = ()
    rows: tuple[str, ...] = ()
    note: str | None = None

    @property
    def verified(self) -> bool:
        """Its verify script ran, and passed each time."""
        return self.file.verify is not None and self.up_ms is not None

    def fail(self, turn: Turn, *, error: DbmigrationError | None = None, drift: tuple[Drift, ...] = ()) -> None:
        self.outcome, self.turn, self.error, self.drift = Outcome.FAILED, turn, error, drift


@dataclass(frozen=True, slots=True)
class TryOut:
    """The files in order, seeds last; those before `since` (a number) are applied only. `require_rollback`: a migration without a rollback
    script fails.
    """

    files: tuple[MigrationFile, ...]
    table: HistoryTable
    execution: Execution
    run_id: str
    since: int = 0
    require_rollback: bool = False
    ignore: tuple[str, ...] = ()

    def run(
        self, server: "ScratchServer", stop: StopRequest, say: Callable[[str], None], on_trial: Callable[[Trial], None]
    ) -> tuple[Trial, ...]:
        """Try every file; `on_trial` hears of each when it is done. The scratch databases are gone afterwards, whatever happened.

        Raises DbmigrationError for what is no fault of the files (connection lost, stop asked), and what `scratch_database` raises.
        """
        trials = tuple(Trial(file) for file in self.files)
        with ExitStack() as stack:
            sandbox = stack.enter_context(_sandbox(self, server, stop, say))
            before: Snapshot | None = None
            for index, trial in enumerate(trials):
                stop.check()
                tries = trial.file.number >= self.since
                if tries and before is None:
                    before = sandbox.look()
                applied = self._apply(sandbox, trial)
                if applied and tries and before is not None:
                    before = self._try(sandbox, trial, before)
                on_trial(trial)
                if not applied:
                    break
                if trial.outcome is Outcome.FAILED and not _left_nothing(trial):
                    # What it left is not what the next file expects: begin anew, and go on with the next all the same. The old one goes
                    # first: a set with many such files would use up the server's connections.
                    stack.close()
                    sandbox = stack.enter_context(_sandbox(self, server, stop, say))
                    for earlier in self.files[: index + 1]:
                        sandbox.up(earlier._replace(verify=None))
        return trials

    def _apply(self, sandbox: "_Sandbox", trial: Trial) -> bool:
        """Whether it could be applied."""
        try:
            trial.up_ms = sandbox.up(trial.file)
        except DbmigrationError as error:
            sandbox.raise_if_over(error)
            trial.fail(Turn.UP, error=error)
            return False
        trial.outcome = Outcome.APPLIED
        return True

    def _try(self, sandbox: "_Sandbox", trial: Trial, before: "Snapshot") -> "Snapshot":
        """The schema that the file made."""
        if trial.file.number == SEED_NUMBER:
            self._try_twice(sandbox, trial)
            return before
        made = sandbox.look()
        if trial.file.rollback is not None:
            self._try_back(sandbox, trial, before, made)
        elif self.require_rollback:
            trial.fail(Turn.DOWN)
        else:
            trial.outcome = Outcome.NO_ROLLBACK
        return made

    def _try_twice(self, sandbox: "_Sandbox", trial: Trial) -> None:
        """What a seed promises: to run any number of times."""
        rows = row_counts(sandbox.session)
        try:
            trial.again_ms = sandbox.up(trial.file)
        except DbmigrationError as error:
            sandbox.raise_if_over(error)
            trial.fail(Turn.AGAIN, error=error)
            return
        after = row_counts(sandbox.session)
        # Our own record of it is not among them.
        changed = [f"{name}: {rows.get(name, 0)} rows, then {count}" for name, count in sorted(after.items()) if rows.get(name, 0) != count]
        if changed:
            trial.fail(Turn.AGAIN)
            trial.rows = tuple(changed)
            return
        trial.outcome = Outcome.PASSED

    def _try_back(self, sandbox: "_Sandbox", trial: Trial, before: "Snapshot", made: "Snapshot") -> None:
        turn = Turn.DOWN
        try:
            trial.down_ms = sandbox.down(trial.file)
            if drift := self._compare(trial, before, sandbox.look(), leaves_extensions=True):
                trial.fail(turn, drift=drift)
                return
            turn = Turn.AGAIN
            trial.again_ms = sandbox.up(trial.file)
            if drift := self._compare(trial, made, sandbox.look()):
                trial.fail(turn, drift=drift)
                return
        except DbmigrationError as error:
            sandbox.raise_if_over(error)
            trial.fail(turn, error=error)
            return
        trial.outcome = Outcome.PASSED

    def _compare(self, trial: Trial, expected: "Snapshot", actual: "Snapshot", *, leaves_extensions: bool = False) -> tuple[Drift, ...]:
        """What is wrong; what is only worth a note goes into the trial.

        A column that was dropped cannot come back where it was. An extension may stay: others may use it by now, it may have been there
        before, and whether the file runs again beside it shows in the next turn.
        """
        found = compare(expected, actual, column_order=False, ignore=self.ignore)
        left = tuple(drift for drift in found if leaves_extensions and drift.kind == "extension" and drift.change is Change.ADDED)
        wrong = tuple(drift for drift in found if drift not in left)
        if left:
            trial.note = f"its rollback leaves {', '.join(f'extension {drift.name}' for drift in left)} behind"
        elif not wrong and (moved := compare(expected, actual, ignore=self.ignore)):
            trial.note = f"after its rollback {moved[0]}"
        return wrong


def _left_nothing(trial: Trial) -> bool:
    """Its rollback failed in its one transaction: the database is as the file made it, which is what the next one expects."""
    if trial.turn is not Turn.DOWN or trial.drift:
        return False
    script = trial.file.rollback
    if script is None:
        return True  # that was its fault
    try:
        return inspect(script.path, script.transaction, script.part).transactional
    except DbmigrationError:
        return True  # it was refused before any of it was sent


_NO_WAIT: Final = 0
"""Lock retries: nobody else is there, so a lock that is not given will never be."""


@dataclass(slots=True)
class _Sandbox:
    """A scratch database with a session in it."""

    session: Session
    plan: TryOut
    execution: Execution = field(init=False)

    def __post_init__(self) -> None:
        self.execution = self.plan.execution._replace(lock_retries=_NO_WAIT)

    def raise_if_over(self, error: DbmigrationError) -> None:
        """Raise the error when it is no fault of the file: somebody said stop, or the connection is gone."""
        if error.reason is Reason.INTERRUPTED or self.session.connection.closed:
            raise error

    def look(self) -> "Snapshot":
        return take_snapshot(self.session, self.plan.table)

    def up(self, file: MigrationFile) -> int:
        plan = self.plan
        apply = apply_seed if file.number == SEED_NUMBER else apply_file
        return apply(
            self.session, file, table=plan.table, execution=self.execution, run_id=plan.run_id, on_progress=lambda _: None
        ).duration_ms

    def down(self, file: MigrationFile) -> int:
        plan = self.plan
        return rollback_file(
            self.session, file, table=plan.table, execution=self.execution, run_id=plan.run_id, on_progress=lambda _: None
        ).duration_ms


@contextmanager
def _sandbox(plan: TryOut, server: "ScratchServer", stop: StopRequest, say: Callable[[str], None]) -> Iterator[_Sandbox]:
    settings = Settings(execution=plan.execution)
    with (
        scratch_database(server, say) as conninfo,
        connect(conninfo, application_name=f"dbmigration/{plan.run_id}", settings=settings) as session,
    ):
        stop.attach(session)
        yield _Sandbox(session, plan)
