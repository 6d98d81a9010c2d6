"""The one engine: source → connect → lock → plan → backup → apply and verify. The Job and the command line both call it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import History, HistoryTable, MigrationFile, MigrationSet, Plan
from dbmigration.migrations.plan import survey
from dbmigration.postgres import lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.options import RunOptions
from dbmigration.run.progress import OnProgress, Progress, Step
from dbmigration.run.result import Done, RunResult, now
from dbmigration.run.rollback import Agree, Choose, RollbackPlan, plan_of, story_of
from dbmigration.run.source import history_table, read_source
from dbmigration.run.stop import StopRequest
from dbmigration.run.truth import Truth, policy_of

if TYPE_CHECKING:
    from dbmigration.postgres.apply import FileApplied, FileProgress
    from dbmigration.run.adopt import Adopt
    from dbmigration.run.adopt import Agree as AgreeToAdopt


WorkOnFile = Callable[..., "FileApplied"]
"""`postgres.apply.apply_file`, or one with its parameters."""


@dataclass(frozen=True, slots=True)
class Words:
    """How the work on a file is told: "applying", "applied". `verifies`: its verify script is part of it."""

    step: Step
    doing: str
    done: str
    verifies: bool = False


APPLYING = Words(Step.APPLY, "applying", "applied", verifies=True)
SEEDING = Words(Step.SEED, "running seed", "ran seed")
ROLLING_BACK = Words(Step.ROLLBACK, "rolling back", "rolled back")


@dataclass(frozen=True, slots=True)
class Engine:
    """One database and one folder. Each public method is one piece of work and returns a RunResult.

    None of them raises a DbmigrationError: the result holds it, together with all that was done before it.
    """

    options: RunOptions
    conninfo: ConnInfo
    on_progress: OnProgress
    stop: StopRequest

    def run(self) -> RunResult:
        """Apply what is pending, after a backup."""
        return self._result_of(self._run)

    def rollback(self, choose: Choose, agree: Agree = lambda _: True) -> RunResult:
        """Undo what `choose` picks (see `run.rollback`), newest first, each file in one transaction, after a backup.

        `agree` is asked under the lock, before the backup: what it is shown is what is undone.
        """
        return self._result_of(lambda result: self._rollback(result, choose, agree))

    def look_at_rollback(self, choose: Choose) -> RunResult:
        """What `rollback` would undo and lose, as the result's `rollback`; write nothing, take no lock."""
        return self._result_of(lambda result: self._look_at_rollback(result, choose))

    def look(self, *, lint: bool = False) -> RunResult:
        """Read and plan; write nothing, take no lock. The result's `plan` says what is applied and what `run` would do.

        `lint`: also find, and refuse, what `run` would find in the pending files.
        """
        return self._result_of(lambda result: self._look(result, lint=lint))

    def verify(self) -> RunResult:
        """Run the verify script of the newest applied file again, in a transaction that is always rolled back."""
        return self._result_of(self._verify)

    def drift(self) -> RunResult:
        """Compare the schema with the one that the last run left; write nothing, take no lock."""
        return self._result_of(self._drift)

    def accept_drift(self) -> RunResult:
        """From now on the schema as it is now is what runs expect. The result's `drift` says what was accepted."""
        return self._result_of(self._accept_drift)

    def compare_with_files(self, *, scratch: ConnInfo | None = None, private: bool = False) -> RunResult:
        """Replay the applied files in a scratch database (see `run.replay`); the result's `drift` is where the real one differs."""
        return self._result_of(lambda result: self._compare_with_files(result, scratch, private))

    def adopt(self, choose: "Adopt", agree: "AgreeToAdopt" = lambda _: True) -> RunResult:
        """Record as applied what `choose` (`run.adopt.baseline` or `import_history`) picks; run nothing, and take no backup.

        `agree` is asked under the lock: what it is shown, refusals included, is what is recorded.
        """
        return self._result_of(lambda result: self._adopt(result, choose, agree))

    def back_up(self) -> RunResult:
        """Take a proven dump and nothing else."""
        return self._result_of(self._back_up_only)

    def _run(self, result: RunResult) -> None:
        files = read_source(self.options)
        with self._session(result) as session, self._lock(session):
            table = history_table(self.options, files)
            history = read_history(session, table)
            plan = self._plan(files, history, result)
            with self._truth(session, files).kept(history, result, self._say_drift):
                pending = (*plan.pending, *plan.pending_seeds)
                if not pending:
                    result.backup_reason = Reason.NOTHING_PENDING
                    self._say(Step.PLAN, "nothing is pending", finished=True)
                    return
                _read_to_the_end(session, plan)
                names = ", ".join(file.name for file in pending)
                self._say(Step.PLAN, f"{len(pending)} pending: {names}", total=len(pending), finished=True)
                self._lint(session, table, files, plan, result)
                self._look_before(session, result)
                self._back_up(session, result)
                from dbmigration.postgres.apply import apply_file, apply_seed

                self._each(session, table, plan.pending, apply_file, APPLYING, result, result.applied)
                if plan.pending_seeds:
                    self._each(session, table, plan.pending_seeds, apply_seed, SEEDING, result, result.seeded)

    def _rollback(self, result: RunResult, choose: Choose, agree: Agree) -> None:
        files = read_source(self.options)
        with self._session(result) as session, self._lock(session):
            history = read_history(session, history_table(self.options, files))
            planned = self._plan_rollback(session, files, history, result, choose)
            if not planned.files or not agree(planned):
                result.backup_reason = Reason.NOTHING_PENDING
                return
            with self._truth(session, files).kept(history, result, self._say_drift):
                self._look_before(session, result)
                self._back_up(session, result)
                from dbmigration.postgres.apply import rollback_file

                table = history_table(self.options, files)
                self._each(session, table, planned.files, rollback_file, ROLLING_BACK, result, result.rolled_back)

    def _look_at_rollback(self, result: RunResult, choose: Choose) -> None:
        files = read_source(self.options)
        with self._session(result, writable=False) as session:
            self._plan_rollback(session, files, read_history(session, history_table(self.options, files)), result, choose)

    def _plan_rollback(self, session: Session, files: MigrationSet, history: History, result: RunResult, choose: Choose) -> RollbackPlan:
        """Everything that can be refused is refused here, and the plan is in the result."""
        from dbmigration.postgres.history import files_of_last_run
        from dbmigration.postgres.reading import source_of
        from dbmigration.run.losses import losses

        # What else would be applied, or was rolled back before, is no obstacle to rolling back more.
        self._plan(files, history, result, forgiving=(Reason.ROLLED_BACK, Reason.OUT_OF_ORDER))
        chosen = choose(files, history, lambda: files_of_last_run(session))
        for script in (file.rollback for file in chosen if file.rollback is not None):
            source_of(session, script, transaction=script.transaction)
        planned = plan_of(chosen, files, history, self.options.environment)
        if chosen:
            planned = replace(planned, losses=losses(session, chosen, history_table(self.options, files)))
            self._say(Step.PLAN, story_of(planned), total=len(chosen), finished=True)
        result.rollback = planned
        return planned

    def _look(self, result: RunResult, *, lint: bool) -> None:
        files = read_source(self.options)
        with self._session(result, writable=False) as session:
            table = history_table(self.options, files)
            plan = self._plan(files, read_history(session, table), result)
            if lint:
                self._lint(session, table, files, plan, result)

    def _verify(self, result: RunResult) -> None:
        from dbmigration.postgres.verify import verify_file

        files = read_source(self.options)
        with self._session(result) as session:
            history = read_history(session, history_table(self.options, files))
            self._plan(files, history, result)
            truth = self._truth(session, files)
            truth.look(history, result, self._say_drift)
            version = result.version()
            newest = next((line.file for line in result.migrations() if line.version == version and line.file), None)
            if newest is None or newest.verify is None:
                what = f"{newest.name} has no verify file: write verify-{newest.version}.sql" if newest else "no migration is applied"
                raise Permanent(Reason.NO_VERIFY_FILE, f"there is nothing to verify: {what}")
            self._say(Step.VERIFY, f"running {newest.verify.name}", file=newest.verify.name)
            verify_file(session, newest, self.options.execution)
            result.verified_again = newest.name
            self._say(Step.VERIFY, f"{newest.verify.name} passed", file=newest.verify.name, finished=True)
            truth.refuse(result)

    def _drift(self, result: RunResult) -> None:
        files = read_source(self.options)
        with self._session(result, writable=False) as session:
            history = read_history(session, history_table(self.options, files))
            self._truth(session, files).look(history, result, self._say_drift)

    def _accept_drift(self, result: RunResult) -> None:
        files = read_source(self.options)
        with self._session(result) as session, self._lock(session):
            history = read_history(session, history_table(self.options, files))
            truth = self._truth(session, files)
            truth.look(history, result, self._say_drift)
            truth.accept(history)

    def _compare_with_files(self, result: RunResult, scratch: ConnInfo | None, private: bool) -> None:
        from dbmigration.run.replay import applied_files, place_beside, replay

        files = read_source(self.options)
        with self._session(result, writable=False) as session:
            table = history_table(self.options, files)
            chosen = applied_files(files, read_history(session, table))
            truth = self._truth(session, files)
            place = place_beside(session, self.conninfo, chosen, scratch=scratch, private=private)
            made = replay(place, chosen, table, session.server, self.options, self.stop, self._say_drift)
            truth.compare_with(made, result, self._say_drift)

    def _adopt(self, result: RunResult, choose: "Adopt", agree: "AgreeToAdopt") -> None:
        from dbmigration.postgres.adopt import record_adopted

        files = read_source(self.options)
        with self._session(result) as session, self._lock(session):
            table = history_table(self.options, files)
            history = read_history(session, table)
            adoption = choose(session, files, history, self.options.environment)
            result.plan, result.adoption = adoption.plan, adoption
            agreed = agree(adoption)
            if adoption.refusals:
                raise adoption.refusals[0]
            if not agreed or not adoption.adopted:
                return
            with self._truth(session, files).kept(history, result, self._say_drift):
                record_adopted(session, table, adoption.adopted, kind=adoption.kind, run_id=self.options.run_id)
                result.adopted += [each.file.name for each in adoption.adopted]

    def _back_up_only(self, result: RunResult) -> None:
        with self._session(result, writable=False) as session:
            self._back_up(session, result)

    def _result_of(self, work: Callable[[RunResult], None]) -> RunResult:
        result = RunResult(run_id=self.options.run_id, started_at=now())
        try:
            work(result)
        except DbmigrationError as error:
            result.error = error
        result.finished_at = now()
        return result

    @contextmanager
    def _session(self, result: RunResult, *, writable: bool = True) -> Iterator[Session]:
        self.stop.check()
        self._say(Step.CONNECT, "connecting")
        settings = Settings(execution=self.options.execution, actor=self.options.actor, writable=writable)
        with connect(self.conninfo, application_name=f"dbmigration/{self.options.run_id}", settings=settings) as session:
            self.stop.attach(session)
            result.server = session.server
            self._say(Step.CONNECT, f"connected to {session.server.database}, PostgreSQL {session.server.version}", finished=True)
            yield session

    @contextmanager
    def _lock(self, session: Session) -> Iterator[None]:
        lock.acquire(session, wait_s=self.options.lock_wait, on_wait=lambda message: self._say(Step.LOCK, message))
        yield
        # After an error the session is closed instead, and the server frees the lock with it.
        lock.release(session)

    def _plan(self, files: MigrationSet, history: History, result: RunResult, *, forgiving: tuple[Reason, ...] = ()) -> Plan:
        """The plan goes into the result before anything forbids it: a person who is refused sees the whole picture."""
        found = survey(
            files,
            history,
            environment=self.options.environment,
            target=self.options.target,
            out_of_order=self.options.out_of_order,
            reapply_rolled_back=self.options.reapply_rolled_back,
        )
        result.plan = found.plan
        forbidding = next((finding for finding in found.findings if finding.reason not in forgiving), None)
        if forbidding is not None:
            raise forbidding
        return found.plan

    def _truth(self, session: Session, files: MigrationSet) -> Truth:
        choice = files.config.drift
        policy = policy_of(self.options.drift, choice)
        return Truth(session, history_table(self.options, files), policy, choice.ignore, self.options.run_id)

    def _lint(self, session: Session, table: HistoryTable, files: MigrationSet, plan: Plan, result: RunResult) -> None:
        from dbmigration.run.linting import lint_pending

        lint_pending(session, table, files, plan, self.options, result, lambda message: self._say(Step.LINT, message, finished=True))

    def _say_drift(self, message: str) -> None:
        self._say(Step.DRIFT, message, finished=True)

    def _look_before(self, session: Session, result: RunResult) -> None:
        from dbmigration.run.before import look_before

        look_before(session, result, self._say_check)

    def _say_check(self, message: str) -> None:
        self._say(Step.CHECK, message, finished=True)

    def _back_up(self, session: Session, result: RunResult) -> None:
        target = self.options.backup
        if target is None:
            result.backup_reason = Reason.BACKUP_SKIPPED
            self._say(Step.BACKUP, "no backup: none was asked for", finished=True)
            return
        from dbmigration.backup.dump import take_backup
        from dbmigration.run.before import check_space

        result.backup_reason = Reason.BACKUP_FAILED
        check_space(session, target, result, self._say_check)
        self._say(Step.BACKUP, "backing up")
        result.backup = take_backup(
            self.conninfo,
            session.server,
            target.directory,
            name_prefix=target.prefix,
            uri_base=target.uri_base,
            run_id=self.options.run_id,
            on_progress=lambda done: self._say(Step.BACKUP, f"backing up: {done / 1e6:.1f} MB", done=done),
            stop=self.stop,
        )
        result.backup_reason = Reason.BACKUP_VERIFIED
        self._say(Step.BACKUP, f"backed up and read to the end: {result.backup.uri}", done=result.backup.bytes, finished=True)

    def _each(
        self,
        session: Session,
        table: HistoryTable,
        files: tuple[MigrationFile, ...],
        work: WorkOnFile,
        words: Words,
        result: RunResult,
        done: list[Done],
    ) -> None:
        """Run one file after the other, each as a whole; `done` grows with each that is finished."""
        total = len(files)
        lock.check(session)  # a backup may have taken hours; each file looks again at its end
        for index, file in enumerate(files):
            self.stop.check()
            self._say(words.step, f"{words.doing} {file.name}", file=file.name, done=index, total=total)

            def on_progress(at: "FileProgress", index: int = index) -> None:
                if at.statement or at.message:
                    told = Progress(words.step, _standing(at), at.file, index, total, notice=at.notice, blocked_by=at.blocked_by)
                    self.on_progress(told)

            result.executed_sql = True
            result.working_on = file.name
            ran = work(session, file, table=table, execution=self.options.execution, run_id=self.options.run_id, on_progress=on_progress)
            result.working_on = None
            verified = words.verifies and file.verify is not None
            done.append(Done(file.name, now(), ran.duration_ms, ran.statements, ran.attempts, ran.transactional, verified, ran.held))
            statements = f"{ran.statements} statement{'' if ran.statements == 1 else 's'}"
            what = f"{words.done} {file.name}: {statements} in {ran.duration_ms} ms{', verified' if verified else ''}"
            if ran.held:
                what += f", held {'; '.join(map(str, ran.held))}"
            self._say(words.step, what, file=file.name, done=index + 1, total=total, finished=True)

    def _say(
        self,
        step: Step,
        message: str,
        *,
        file: str | None = None,
        done: int | None = None,
        total: int | None = None,
        finished: bool = False,
    ) -> None:
        self.on_progress(Progress(step, message, file=file, done=done, total=total, finished=finished))


def _read_to_the_end(session: Session, plan: Plan) -> None:
    """Split every pending file before anything is done: what cannot be read must not be found after the first file ran."""
    from dbmigration.postgres.apply import read_ahead, seed_source

    for file in plan.pending:
        read_ahead(session, file)
    for seed in plan.pending_seeds:
        seed_source(session, seed)


def _standing(at: "FileProgress") -> str:
    if not at.statement:  # in its first message, which may be all of it
        return f"{at.file}: {at.message}"
    of = f" of {at.statements}" if at.statements else ""
    return f"{at.file}:{at.line}: statement {at.statement}{of}" + (f": {at.message}" if at.message else "")
