"""The steps that the engine's pieces of work share: connect, lock, plan, look before, back up, work on each file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.migrations.model import History, HistoryTable, MigrationFile, MigrationSet, Plan
from dbmigration.migrations.plan import survey
from dbmigration.postgres import lock
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.options import RunOptions
from dbmigration.run.progress import OnProgress, Progress, Step
from dbmigration.run.result import Done, RunResult, now
from dbmigration.run.source import history_table, read_source
from dbmigration.run.stop import StopRequest
from dbmigration.run.truth import Truth, policy_of

if TYPE_CHECKING:
    from dbmigration.postgres.apply import FileApplied, FileProgress


WorkOnFile = Callable[..., "FileApplied"]
"""`postgres.apply.apply_file`, or one with its parameters."""


class Words(NamedTuple):
    """How the work on a file is told: "applying", "applied". `verifies`: its verify script is part of it."""

    step: Step
    doing: str
    done: str
    verifies: bool = False


APPLYING = Words(Step.APPLY, "applying", "applied", verifies=True)
SEEDING = Words(Step.SEED, "running seed", "ran seed")
ROLLING_BACK = Words(Step.ROLLBACK, "rolling back", "rolled back")


@dataclass(frozen=True, slots=True)
class Steps:
    """One database and one folder, who is told of progress, and who may say stop. Each step raises what its parts raise."""

    options: RunOptions
    conninfo: ConnInfo
    on_progress: OnProgress
    stop: StopRequest

    def read_files(self, result: RunResult) -> MigrationSet:
        """The set of files, and what is known of where it comes from in the result. Raises as `run.source.read_source` does."""
        self.stop.check()
        files, result.source_revision = read_source(self.options, lambda message: self.say(Step.SOURCE, message, finished=True))
        result.source_digest = files.digest
        return files

    @contextmanager
    def connected(self, result: RunResult, *, writable: bool = True) -> Iterator[Session]:
        """A session that a stop request reaches. Raises as `session.connect` does."""
        self.stop.check()
        self.say(Step.CONNECT, "connecting")
        settings = Settings(execution=self.options.execution, actor=self.options.actor, writable=writable)
        with connect(self.conninfo, application_name=f"dbmigration/{self.options.run_id}", settings=settings) as session:
            self.stop.attach(session)
            result.server = session.server
            self.say(Step.CONNECT, f"connected to {session.server.database}, PostgreSQL {session.server.version}", finished=True)
            yield session

    @contextmanager
    def locked(self, session: Session) -> Iterator[None]:
        """The database's one lock, which no other runner gets meanwhile. Raises Transient LOCK_HELD."""
        lock.acquire(session, wait_s=self.options.lock_wait, on_wait=lambda message: self.say(Step.LOCK, message))
        yield
        # After an error the session is closed instead, and the server frees the lock with it.
        lock.release(session)

    def plan(self, files: MigrationSet, history: History, result: RunResult, *, forgiving: tuple[Reason, ...] = ()) -> Plan:
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
        result.accepted = True
        return found.plan

    def truth(self, session: Session, files: MigrationSet) -> Truth:
        """What the schema is compared with."""
        choice = files.config.drift
        policy = policy_of(self.options.drift, choice)
        return Truth(session, history_table(self.options, files), policy, choice.ignore, self.options.run_id)

    def lint(self, session: Session, table: HistoryTable, files: MigrationSet, plan: Plan, result: RunResult) -> None:
        """See `run.linting`."""
        from dbmigration.run.linting import lint_pending

        lint_pending(session, table, files, plan, self.options, result, lambda message: self.say(Step.LINT, message, finished=True))

    def say_owner(self, message: str) -> None:
        self.say(Step.CHECK, message, finished=True)

    def say_drift(self, message: str) -> None:
        self.say(Step.DRIFT, message, finished=True)

    def look_before(self, session: Session, result: RunResult) -> None:
        """See `run.before`."""
        from dbmigration.run.before import look_before

        look_before(session, result, self.say_check)

    def say_check(self, message: str) -> None:
        self.say(Step.CHECK, message, finished=True)

    def back_up_first(self, session: Session, result: RunResult) -> None:
        """Take the dump that was asked for, and say so where none was. Raises as `backup.dump.take_backup` does."""
        if not result.prepared:
            self.check_window()
        target = self.options.backup
        if target is None and self.options.external is not None:
            from dbmigration.run.before import declare

            declare(session, self.options.external, result, self.say_check)
            self.say(Step.BACKUP, f"no dump: {result.declared}", finished=True)
            return
        if target is None:
            result.backup_reason = Reason.BACKUP_SKIPPED
            self.say(Step.BACKUP, "no backup: none was asked for", finished=True)
            return
        from dbmigration.backup.dump import take_backup
        from dbmigration.run.before import check_space, remove_outdated, say_globals, who_dumps

        result.backup_reason = Reason.BACKUP_FAILED
        server = session.server if target.conninfo is None else who_dumps(session, target)
        size = check_space(session, target, result, self.say_check)
        self.say(Step.BACKUP, "backing up")
        if target.bucket is not None:
            from dbmigration.backup.to_s3 import take_backup_to_s3

            take = partial(take_backup_to_s3, bucket=target.bucket, database_bytes=size)
        else:
            take = partial(take_backup, directory=target.directory, uri_base=target.uri_base)
        result.backup = take(
            target.conninfo or self.conninfo,
            server,
            name_prefix=target.prefix,
            run_id=self.options.run_id,
            on_progress=lambda done: self.say(Step.BACKUP, f"backing up: {done / 1e6:.1f} MB", done=done),
            stop=self.stop,
            shape=target.shape,
        )
        result.backup_reason = Reason.BACKUP_VERIFIED
        self.say(Step.BACKUP, f"backed up and read to the end: {result.backup.uri}", done=result.backup.bytes, finished=True)
        say_globals(result, self.say_check)
        remove_outdated(target, result, self.say_check)

    def check_window(self, done: int = 0, total: int | None = None, file: str | None = None, rehearsed_ms: int = 0) -> None:
        """Raises Transient WINDOW_CLOSED from the end of the window on, and for a `file` whose time in the rehearsal goes beyond it."""
        closes = self.options.closes_at
        if closes is None:
            return
        left_ms = (closes - now()).total_seconds() * 1000
        far = f"{done} of {total} files are done and stay so" if total else "nothing was executed"
        if left_ms <= 0:
            raise Transient(
                Reason.WINDOW_CLOSED, f"the window closed at {closes:%Y-%m-%dT%H:%M:%SZ}: {far}; the next run goes on from there"
            )
        if not rehearsed_ms:
            return
        from dbmigration.decide.fit import lasting, with_margin

        if with_margin(rehearsed_ms) > left_ms:
            raise Transient(
                Reason.WINDOW_CLOSED,
                f"{file} took {lasting(rehearsed_ms)} in the rehearsal, and the window closes in {lasting(left_ms)}: {far}, it was not "
                "begun",
            )

    def check_fit(self, result: RunResult) -> None:
        """Before the first file. Raises Transient WINDOW_CLOSED where the rehearsed files do not fit into what is left of the window."""
        closes, whole_ms = self.options.closes_at, self.options.window_ms
        if closes is None or whole_ms is None or not result.rehearsed_ms:
            return
        from dbmigration.decide.fit import Fit, fit, lasting

        backup_ms = (result.backup.completed_at - result.backup.started_at).total_seconds() * 1000 if result.backup else 0
        left_ms = (closes - now()).total_seconds() * 1000
        files_ms = tuple(result.rehearsed_ms.values())
        if fit(files_ms, left_ms=left_ms, whole_ms=whole_ms - backup_ms) is not Fit.NOW:
            raise Transient(
                Reason.WINDOW_CLOSED,
                f"the files took {lasting(sum(files_ms))} in the rehearsal, and the window closes in {lasting(max(left_ms, 0))}: nothing "
                "was executed",
            )

    def work_on(
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
            self.check_window(index, total, file.name, result.rehearsed_ms.get(file.name, 0))
            self.say(words.step, f"{words.doing} {file.name}", file=file.name, done=index, total=total)

            def on_progress(at: "FileProgress", index: int = index) -> None:
                if at.statement or at.message:
                    told = Progress(words.step, _standing(at), at.file, index, total, False, at.notice, at.blocked_by, _percent(at))
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
            self.say(words.step, what, file=file.name, done=index + 1, total=total, finished=True)

    def say(
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


def _standing(at: "FileProgress") -> str:
    if not at.statement:  # in its first message, which may be all of it
        return f"{at.file}: {at.message}"
    of = f" of {at.statements}" if at.statements else ""
    return f"{at.file}:{at.line}: statement {at.statement}{of}" + (f": {at.message}" if at.message else "")


def _percent(at: "FileProgress") -> int | None:
    """What the server says of a long statement, else how much of the file's text is sent."""
    if at.percent is not None:
        return at.percent
    return 100 * at.bytes_done // at.bytes_total if at.bytes_total else None
