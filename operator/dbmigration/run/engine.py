"""The one engine: source → connect → lock → plan → backup → apply and verify. The Job and the command line both call it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import History, MigrationFile, MigrationSet, Plan, Script
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session
from dbmigration.run.options import OnFailure, Rehearsal
from dbmigration.run.owning import Ownership, look_for_owner, name_owner
from dbmigration.run.progress import Step
from dbmigration.run.result import RunResult, now
from dbmigration.run.rollback import Agree, Choose, RollbackPlan, plan_of, story_of
from dbmigration.run.source import history_table
from dbmigration.run.steps import APPLYING, ROLLING_BACK, SEEDING, Steps

if TYPE_CHECKING:
    from dbmigration.run.adopt import Adopt
    from dbmigration.run.adopt import Agree as AgreeToAdopt


@dataclass(frozen=True, slots=True)
class Engine(Steps):
    """One database and one folder. Each public method is one piece of work and returns a RunResult.

    None of them raises a DbmigrationError: the result holds it, together with all that was done before it.
    """

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
        files = self.read_files(result)
        with self.connected(result) as session, self.locked(session):
            table = history_table(self.options, files)
            history = read_history(session, table)
            ownership = look_for_owner(session, table, self.options, history, result)
            if self.options.baseline is not None and not history.applied:
                self._baseline_first(session, files, history, ownership, result)
                history = read_history(session, table)
                ownership = look_for_owner(session, table, self.options, history, result)
            plan = self.plan(files, history, result)
            with self.truth(session, files).kept(history, result, self.say_drift):
                pending = (*plan.pending, *plan.pending_seeds)
                if not pending:
                    result.backup_reason = Reason.NOTHING_PENDING
                    self.say(Step.PLAN, "nothing is pending", finished=True)
                    ownership.take_if_known(result, self.say_owner)
                    return
                _read_to_the_end(session, plan)
                self.say(Step.PLAN, f"{len(pending)} pending: {listed(file.name for file in pending)}", total=len(pending), finished=True)
                self.lint(session, table, files, plan, result)
                self.look_before(session, result)
                rehearsal = self._rehearsal_of(pending, partial(_is_plan_or_its_rest, plan), result)
                if self._only_prepares(result) and rehearsal is None:
                    return
                self._back_up_and_rehearse(session, files, plan.scripts, rehearsal, result)
                if result.prepared:
                    return
                self.check_fit(result)
                ownership.take(result, self.say_owner)
                from dbmigration.postgres.apply import apply_file, apply_seed

                apply = partial(apply_file, then={file.name: following for file, following in pairwise(plan.pending)})
                try:
                    self.work_on(session, table, plan.pending, apply, APPLYING, result, result.applied)
                    if plan.pending_seeds:
                        self.work_on(session, table, plan.pending_seeds, apply_seed, SEEDING, result, result.seeded)
                except Permanent as error:
                    if self.options.on_failure is OnFailure.ROLLBACK:
                        from dbmigration.run.undoing import undo_run

                        result.error = error
                        error.message += f"; {undo_run(self, session, table, plan.pending, result)}"
                    raise

    def _rehearsal_of(self, files: Iterable[MigrationFile], proves: Callable[[str], bool], result: RunResult) -> Rehearsal | None:
        """How `files`, which are all that will run, are to be rehearsed; `proves` says of a plan's hash whether that one covers them.

        None: not at all, or not again, and then the result has the times of the rehearsal before.
        """
        asked = self.options.rehearsal
        if asked is None or asked.proved_plan is None or not proves(asked.proved_plan):
            return asked
        result.rehearsed_ms = asked.times_of({file.name for file in files})
        return None

    def _back_up_and_rehearse(
        self,
        session: Session,
        files: MigrationSet,
        scripts: Iterable[MigrationFile | Script],
        rehearsal: Rehearsal | None,
        result: RunResult,
    ) -> None:
        """Backed up is rehearsed, unless that plan has been. `scripts`: all that will run."""
        if rehearsal is None:
            self.back_up_first(session, result)
            return
        from dbmigration.run.rehearse import look_at_place, rehearse_backup

        look_at_place(self, session, scripts, rehearsal)
        self.back_up_first(session, result)
        rehearse_backup(self, session, files, rehearsal, result)

    def _only_prepares(self, result: RunResult) -> bool:
        """A gate is closed, or this is not the plan that was agreed to or proved: it ends here, and the result says so."""
        approved, promoted, plan = self.options.approved, self.options.promoted, result.plan
        result.prepared = self.options.prepare
        if promoted is not None and plan is not None:
            result.prepared |= not _is_plan_or_its_rest(plan, promoted)
        if approved is not None and plan is not None:
            from dbmigration.run.approval import approved_hash

            rolling_back = result.rollback
            result.approved_hash = (
                approved_hash(plan, approved) if rolling_back is None else rolling_back.hash if rolling_back.hash in approved else None
            )
            result.prepared |= result.approved_hash is None
        return result.prepared

    def _baseline_first(self, session: Session, files: MigrationSet, history: History, ownership: Ownership, result: RunResult) -> None:
        """A run that adopts: what the baseline covers is recorded, and the plan finds it there. Raises what refuses a baseline."""
        from dbmigration.postgres.adopt import record_adopted
        from dbmigration.run.adopt import baseline

        adoption = baseline(str(self.options.baseline))(session, files, history, self.options.environment)
        result.plan = adoption.plan
        if adoption.refusals:
            raise adoption.refusals[0]
        ownership.take(result, self.say_owner)
        record_adopted(session, ownership.table, adoption.adopted, kind=adoption.kind, run_id=self.options.run_id)
        result.baselined += [each.file.name for each in adoption.adopted]
        self.say(Step.PLAN, f"recorded as applied without being run (baseline): {', '.join(result.baselined)}", finished=True)

    def _rollback(self, result: RunResult, choose: Choose, agree: Agree) -> None:
        files = self.read_files(result)
        with self.connected(result) as session, self.locked(session):
            table = history_table(self.options, files)
            history = read_history(session, table)
            ownership = look_for_owner(session, table, self.options, history, result)
            planned = self._plan_rollback(session, files, history, result, choose)
            if not planned.files or not agree(planned):
                result.backup_reason = Reason.NOTHING_PENDING
                return
            with self.truth(session, files).kept(history, result, self.say_drift):
                self.look_before(session, result)
                rehearsal = self._rehearsal_of(planned.files, planned.hash.__eq__, result)
                if self._only_prepares(result) and rehearsal is None:
                    return
                scripts = (file.rollback for file in planned.files if file.rollback is not None)
                self._back_up_and_rehearse(session, files, scripts, rehearsal, result)
                if result.prepared:
                    return
                self.check_fit(result)
                ownership.take(result, self.say_owner)
                from dbmigration.postgres.apply import rollback_file

                self.work_on(session, table, planned.files, rollback_file, ROLLING_BACK, result, result.rolled_back)

    def _look_at_rollback(self, result: RunResult, choose: Choose) -> None:
        files = self.read_files(result)
        with self.connected(result, writable=False) as session:
            self._plan_rollback(session, files, read_history(session, history_table(self.options, files)), result, choose)

    def _plan_rollback(self, session: Session, files: MigrationSet, history: History, result: RunResult, choose: Choose) -> RollbackPlan:
        """Everything that can be refused is refused here, and the plan is in the result."""
        from dbmigration.postgres.history import files_of_last_run
        from dbmigration.postgres.reading import source_of
        from dbmigration.run.losses import losses

        # What else would be applied, or was rolled back before, is no obstacle to rolling back more.
        self.plan(files, history, result, forgiving=(Reason.ROLLED_BACK, Reason.OUT_OF_ORDER))
        chosen = choose(files, history, lambda: files_of_last_run(session))
        for script in (file.rollback for file in chosen if file.rollback is not None):
            source_of(session, script, transaction=script.transaction)
        planned = plan_of(chosen, files, history, self.options.environment)
        if chosen:
            planned = planned._replace(losses=losses(session, chosen, history_table(self.options, files)))
            self.say(Step.PLAN, story_of(planned), total=len(chosen), finished=True)
        result.rollback = planned
        return planned

    def _look(self, result: RunResult, *, lint: bool) -> None:
        files = self.read_files(result)
        with self.connected(result, writable=False) as session:
            table = history_table(self.options, files)
            history = read_history(session, table)
            plan = self.plan(files, history, result)
            name_owner(session, history, result)
            if lint:
                self.lint(session, table, files, plan, result)

    def _verify(self, result: RunResult) -> None:
        from dbmigration.postgres.verify import verify_file

        files = self.read_files(result)
        with self.connected(result) as session:
            history = read_history(session, history_table(self.options, files))
            self.plan(files, history, result)
            truth = self.truth(session, files)
            truth.look(history, result, self.say_drift)
            version = result.version()
            newest = next((line.file for line in result.migrations() if line.version == version and line.file), None)
            if newest is None or newest.verify is None:
                what = f"{newest.name} has no verify file: write verify-{newest.version}.sql" if newest else "no migration is applied"
                raise Permanent(Reason.NO_VERIFY_FILE, f"there is nothing to verify: {what}")
            self.say(Step.VERIFY, f"running {newest.verify.name}", file=newest.verify.name)
            verify_file(session, newest, self.options.execution)
            result.verified_again = newest.name
            self.say(Step.VERIFY, f"{newest.verify.name} passed", file=newest.verify.name, finished=True)
            truth.refuse(result)

    def _drift(self, result: RunResult) -> None:
        files = self.read_files(result)
        with self.connected(result, writable=False) as session:
            history = read_history(session, history_table(self.options, files))
            self.truth(session, files).look(history, result, self.say_drift)

    def _accept_drift(self, result: RunResult) -> None:
        files = self.read_files(result)
        with self.connected(result) as session, self.locked(session):
            history = read_history(session, history_table(self.options, files))
            truth = self.truth(session, files)
            truth.look(history, result, self.say_drift)
            truth.accept(history)

    def _compare_with_files(self, result: RunResult, scratch: ConnInfo | None, private: bool) -> None:
        from dbmigration.run.replay import applied_files, place_beside, replay

        files = self.read_files(result)
        with self.connected(result, writable=False) as session:
            table = history_table(self.options, files)
            chosen = applied_files(files, read_history(session, table))
            truth = self.truth(session, files)
            place = place_beside(session, self.conninfo, chosen, scratch=scratch, private=private)
            made = replay(place, chosen, table, session.server, self.options, self.stop, self.say_drift)
            truth.compare_with(made, result, self.say_drift)

    def _adopt(self, result: RunResult, choose: "Adopt", agree: "AgreeToAdopt") -> None:
        from dbmigration.postgres.adopt import record_adopted

        files = self.read_files(result)
        with self.connected(result) as session, self.locked(session):
            table = history_table(self.options, files)
            history = read_history(session, table)
            look_for_owner(session, table, self.options, history, result)
            adoption = choose(session, files, history, self.options.environment)
            result.plan, result.adoption = adoption.plan, adoption
            agreed = agree(adoption)
            if adoption.refusals:
                raise adoption.refusals[0]
            if not agreed or not adoption.adopted:
                return
            with self.truth(session, files).kept(history, result, self.say_drift):
                record_adopted(session, table, adoption.adopted, kind=adoption.kind, run_id=self.options.run_id)
                result.adopted += [each.file.name for each in adoption.adopted]

    def _back_up_only(self, result: RunResult) -> None:
        with self.connected(result, writable=False) as session:
            self.back_up_first(session, result)

    def _result_of(self, work: Callable[[RunResult], None]) -> RunResult:
        result = RunResult(run_id=self.options.run_id, started_at=now())
        try:
            work(result)
        except DbmigrationError as error:
            result.error = error
        result.finished_at = now()
        return result


def _is_plan_or_its_rest(plan: Plan, known: str) -> bool:
    """Whether `known` is its hash, or that of the plan of which an interrupted run left this."""
    from dbmigration.run.approval import approved_hash

    return approved_hash(plan, (known,)) is not None


def _read_to_the_end(session: Session, plan: Plan) -> None:
    """Split every pending file before anything is done: what cannot be read must not be found after the first file ran."""
    from dbmigration.postgres.apply import read_ahead, seed_source

    for file in plan.pending:
        read_ahead(session, file)
    for seed in plan.pending_seeds:
        seed_source(session, seed)
