"""Rehearse a run: its backup is restored beside the database, and the pending files run there first.

It is also the restore test of that backup: the copy is compared with it, row by row, before the first file runs.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from dbmigration.api.names import REHEARSAL_SERVER
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Place, Transient
from dbmigration.migrations.model import MigrationFile, MigrationSet, Script
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.postgres.sizes import database_bytes
from dbmigration.postgres.trace import Rewrite, TableLock, Timed, Trace, strongest_first
from dbmigration.run.engine import Engine
from dbmigration.run.options import Rehearsal
from dbmigration.run.progress import Step
from dbmigration.run.rehearsal_dump import as_file, fresh_backup
from dbmigration.run.rehearsal_server import FIELD, CopyPlace, SharedPlace, place_beside_run, start_server
from dbmigration.run.result import Done, RunResult, now
from dbmigration.run.rollback import RollbackPlan, plan_of
from dbmigration.run.source import history_table
from dbmigration.run.steps import Words

if TYPE_CHECKING:
    from dbmigration.backup.contents import Contents

PREFIX: Final = "dbmigration_rehearsing_"

_REHEARSING: Final = Words(Step.REHEARSE, "rehearsing", "rehearsed", verifies=True)
_REHEARSING_BACK: Final = Words(Step.REHEARSE, "rehearsing the rollback of", "rehearsed the rollback of")
_OF_THE_FILES: Final = (Reason.SQL_FAILED, Reason.VERIFY_FAILED, Reason.SEED_FAILED)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the files did in the copy. `restore_s`: restoring and comparing. `failure` is what stopped it, None: it passed.

    `files` are those that ran to their ends. `slowest`, `locks` and `rewrites` as in `postgres.trace`.
    """

    plan_hash: str
    backup_uri: str
    server_version: str
    started_at: datetime
    completed_at: datetime
    restore_s: float
    files: tuple[Done, ...] = ()
    slowest: tuple[Timed, ...] = ()
    locks: tuple[TableLock, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    lost: tuple[str, ...] = ()
    failure: DbmigrationError | None = None

    @property
    def passed(self) -> bool:
        return self.failure is None


def rehearse(engine: Engine, dump: Path | None, asked: Rehearsal) -> RunResult:
    """Find out what `engine.run` would do, in a copy that is dropped at the end. The database itself is only read.

    `dump` None: a backup is taken for it, and removed. The result is that of a look, with `rehearsal`. Its error is what refuses the plan,
    and else what `rehearse_plan` raises.
    """
    result = engine.look(lint=True)
    if result.error is not None or result.plan is None or not result.pending():
        return result
    try:
        with ExitStack() as stack:
            with engine.connected(RunResult(run_id=engine.options.run_id, started_at=now())) as session:
                look_at_place(engine, session, result.plan.scripts, asked)
            if dump is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="dbmigration-")))
                dump = fresh_backup(engine, folder)
            place = stack.enter_context(_place_of_a_look(engine, asked))
            rehearse_plan(engine, dump, engine.read_files(result), asked, result, place)
    except DbmigrationError as error:
        result.error = error
    result.finished_at = now()
    return result


@contextmanager
def _place_of_a_look(engine: Engine, asked: Rehearsal) -> Iterator[CopyPlace]:
    if not asked.private:
        yield SharedPlace(asked.server or engine.conninfo)
        return
    from dbmigration.run.rehearsal_private import private_place

    reading = RunResult(run_id=engine.options.run_id, started_at=now())
    with engine.connected(reading, writable=False) as session, private_place(engine, session, asked.jobs) as place:
        yield place


def look_at_place(engine: Engine, session: Session, scripts: Iterable[MigrationFile | Script], asked: Rehearsal) -> None:
    """Refuse, before a backup is taken for it, what the rehearsal would end with; and drop what a killed one left there.

    A server beside the run is started for it, a private one is not yet. Raises Permanent REHEARSAL_UNSAFE with file and line, SPEC_INVALID
    for a server of another major version, REHEARSAL_SERVER_FAILED, Transient PERMISSION_DENIED, and what `connect` and `look_at_machine`
    raise.
    """
    from dbmigration.postgres.temporary import drop_leftovers

    _refuse_server_wide(scripts, own=asked.private or asked.beside is not None)
    if asked.private:
        from dbmigration.run.rehearsal_private import look_at_machine

        look_at_machine(engine, session)
        return

    def look(there: Session) -> None:
        if there.server.major != session.server.major:
            raise Permanent(
                Reason.SPEC_INVALID,
                f"the server for the rehearsal is PostgreSQL {there.server.version}, and the database's is {session.server.version}: they "
                "have to be of one major version"
                + (f"; name an image of PostgreSQL {session.server.major} in {FIELD}.image" if asked.beside is not None else ""),
            )
        if not there.query("SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")[0][0]:
            raise Transient(
                Reason.PERMISSION_DENIED,
                f"role {there.server.user} may not create a database for the rehearsal: ALTER ROLE … CREATEDB, or rehearse elsewhere "
                "(spec.rehearsal.where, `dbmigration rehearse --private`)",
            )
        drop_leftovers(there, PREFIX, lambda line: engine.say(Step.REHEARSE, line, finished=True))
        size = database_bytes(session)
        where = "the server beside the run" if asked.beside else "the other server" if asked.server else "the database's own server"
        engine.say(Step.REHEARSE, f"the copy will take about {size / 1e6:.0f} MB on {where}", finished=True)

    if asked.beside is not None:
        beside = start_server(engine, session, asked.beside)
        with connect(beside, application_name="dbmigration/rehearsal", settings=Settings()) as there:
            look(there)
        return
    if asked.server is None:
        look(session)
        return
    try:
        with connect(asked.server, application_name="dbmigration/rehearsal", settings=Settings()) as there:
            look(there)
    except DbmigrationError as error:
        error.message = f"the server of {REHEARSAL_SERVER}: {error.message}"
        raise


def rehearse_backup(engine: Engine, session: Session, files: MigrationSet, asked: Rehearsal, result: RunResult) -> None:
    """`rehearse_plan` with the backup that the run has just taken, which is `result.backup`. A stop then reaches `session` again."""
    target, backup = engine.options.backup, result.backup
    assert target is not None and backup is not None  # noqa: S101, PT018 - the caller has backed up
    try:
        place: CopyPlace = SharedPlace(asked.server or engine.conninfo)
        if asked.beside is not None:
            place = place_beside_run(engine, session, asked.beside)
        with as_file(engine, target, backup) as dump:
            rehearse_plan(engine, dump, files, asked, result, place)
    finally:
        engine.stop.attach(session)


def rehearse_plan(engine: Engine, dump: Path, files: MigrationSet, asked: Rehearsal, result: RunResult, place: CopyPlace) -> None:
    """Restore `dump` into a temporary database, run the pending files of `result.plan` there, and drop it. `result` gets what was found.

    With a rollback in `result` its scripts run instead, and what is gone afterwards is looked for.

    Raises Permanent REHEARSAL_FAILED with file and line where a file fails or exceeds a limit, RESTORE_FAILED, REHEARSAL_SERVER_FAILED, and
    the Transient errors of the restore and of the files: those and a failed server prove nothing, and leave `result.rehearsal` as it was.
    """
    from dbmigration.backup.restore import restored_copy

    plan = result.plan
    assert plan is not None  # noqa: S101 - the caller has planned

    def say(message: str) -> None:
        engine.say(Step.REHEARSE, message, finished=True)

    trace, ran = Trace(), RunResult(run_id=engine.options.run_id, started_at=now())
    undoing = result.rollback if result.rollback is not None and result.rollback.files else None
    found = Rehearsed(undoing.hash if undoing is not None else plan.hash, "", "", ran.started_at, ran.started_at, 0.0)
    engine.say(Step.REHEARSE, f"restoring {dump.name} into a copy")
    try:
        with restored_copy(place.conninfo, dump, stop=engine.stop, say=say, jobs=asked.jobs, prefix=PREFIX, private=True) as copy:
            restored = replace(copy.backup, restored_at=now())
            result.backup = restored if result.backup is None else replace(result.backup, restored_at=restored.restored_at)
            found = replace(
                found,
                backup_uri=result.backup.uri,
                server_version=copy.database.orders.server.version,
                restore_s=copy.restore_s + copy.compare_s,
            )
            inside = place.moved_in(copy)
            if undoing is None:
                _run_files(engine, inside, files, plan.hash, trace, ran)
            else:
                found = replace(found, lost=_undo(engine, inside, files, undoing, trace, ran, copy.contents))
        failure = _over_a_limit(trace, ran, asked)
    except DbmigrationError as raised:
        error = place.explained(raised)
        if not isinstance(error, Permanent) or error.reason is Reason.REHEARSAL_SERVER_FAILED:
            raise error from None
        failure = _as_failure_of_the_rehearsal(error)
    done = (*ran.applied, *ran.seeded, *ran.rolled_back)
    result.rehearsed_ms = {each.name: each.duration_ms for each in done}
    result.rehearsal = replace(
        found,
        completed_at=now(),
        files=done,
        slowest=trace.slowest(),
        locks=_locks(trace, ran),
        rewrites=trace.rewrites(),
        failure=failure,
    )
    if failure is not None:
        raise failure
    took = sum(result.rehearsed_ms.values())
    say(f"rehearsed {len(done)} file{'' if len(done) == 1 else 's'} in {took} ms; the copy is gone")


@contextmanager
def _in_copy(engine: Engine, copy: ConnInfo, ran: RunResult) -> Iterator[tuple[Engine, Session]]:
    inner = replace(engine, conninfo=copy, options=replace(engine.options, closes_at=None))
    with inner.connected(ran) as session, inner.locked(session):
        _analyze(session, lambda line: engine.say(Step.REHEARSE, line, finished=True))
        yield inner, session


def _undo(
    engine: Engine, copy: ConnInfo, files: MigrationSet, planned: RollbackPlan, trace: Trace, ran: RunResult, before: "Contents"
) -> tuple[str, ...]:
    """What is gone then."""
    from dbmigration.postgres.apply import rollback_file
    from dbmigration.run.lost import lost_in_copy

    with _in_copy(engine, copy, ran) as (inner, session):
        table = history_table(inner.options, files)
        here = plan_of(planned.files, files, read_history(session, table), inner.options.environment)
        if here.hash != planned.hash:
            raise Permanent(Reason.REHEARSAL_FAILED, "the backup is not of the database as it is now: other files are applied in it")
        session.trace = trace
        inner.work_on(session, table, planned.files, rollback_file, _REHEARSING_BACK, ran, ran.rolled_back)
        session.trace = None
        lost = lost_in_copy(session, before, table)
    for line in lost:
        engine.say(Step.REHEARSE, f"lost there: {line}", finished=True)
    return lost


def _run_files(engine: Engine, copy: ConnInfo, files: MigrationSet, plan_hash: str, trace: Trace, ran: RunResult) -> None:
    from dbmigration.postgres.apply import apply_file, apply_seed

    with _in_copy(engine, copy, ran) as (inner, session):
        table = history_table(inner.options, files)
        here = inner.plan(files, read_history(session, table), ran)
        if here.hash != plan_hash:
            raise Permanent(Reason.REHEARSAL_FAILED, "the backup is not of the database as it is now: other files are pending in it")
        session.trace = trace
        inner.work_on(session, table, here.pending, apply_file, _REHEARSING, ran, ran.applied)
        if here.pending_seeds:
            inner.work_on(session, table, here.pending_seeds, apply_seed, _REHEARSING, ran, ran.seeded)


def _analyze(session: Session, say: Callable[[str], None]) -> None:
    """A restore brings no statistics, and without them the planner would choose other ways than in the database."""
    say("reading statistics of the copy (ANALYZE)")
    session.query("SET statement_timeout = 0")
    try:
        session.query("ANALYZE")
    except DbmigrationError as error:
        if session.connection.closed:
            raise
        say(f"WARNING: without all statistics, so times may differ: {error.message}")
    session.query("RESET statement_timeout")
    session.take_warnings()


def _locks(trace: Trace, ran: RunResult) -> tuple[TableLock, ...]:
    """Those of statements that are their own transaction are known only from a second connection, from a second on."""
    known = {(lock.file, lock.table, lock.mode) for lock in trace.locks()}
    seen = [
        TableLock(held.table, held.mode, held.ms, done.name, None)
        for done in (*ran.applied, *ran.seeded, *ran.rolled_back)
        if not done.transactional
        for held in done.held
        if (done.name, held.table, held.mode) not in known
    ]
    return strongest_first((*trace.locks(), *seen))


def _over_a_limit(trace: Trace, ran: RunResult, asked: Rehearsal) -> Permanent | None:
    if asked.fail_on_rewrite and (rewrites := trace.rewrites()):
        worst = max(rewrites, key=lambda rewrite: rewrite.bytes)
        return Permanent(
            Reason.REHEARSAL_FAILED,
            f"PostgreSQL writes all of {worst.table} anew ({worst.bytes / 1e6:.1f} MB), which is not allowed: nobody can use the table "
            "meanwhile. Change the file so that it need not, or allow it; the database itself was not touched",
            place=Place(worst.file, worst.line),
        )
    if asked.max_lock_ms is None:
        return None
    longest = max((lock for lock in _locks(trace, ran) if lock.keeps_others_out), key=lambda lock: lock.ms, default=None)
    if longest is None or longest.ms <= asked.max_lock_ms:
        return None
    return Permanent(
        Reason.REHEARSAL_FAILED,
        f"the file held {longest}, longer than the {asked.max_lock_ms / 1000:g} s that are allowed: split it, or change it; the database "
        "itself was not touched",
        place=Place(longest.file, longest.line),
    )


def _as_failure_of_the_rehearsal(error: Permanent) -> Permanent:
    if error.reason not in _OF_THE_FILES:
        return error
    return Permanent(
        Reason.REHEARSAL_FAILED,
        f"in a restored copy: {error.message}; the database itself was not touched",
        place=error.place,
        values=error.values,
    )


def _refuse_server_wide(scripts: Iterable[MigrationFile | Script], *, own: bool) -> None:
    """On a server of the run's own, only what reaches out of that."""
    from dbmigration.scratch.server_wide import server_wide

    for script in scripts:
        for line, what in server_wide(script, own=own):
            why = (
                "reaches beyond the server, or counts on what only the database's own has: leave it out of the migration, or rehearse "
                "nothing this time"
                if own
                else "touches the whole server, and the rehearsal would be on one that others use: leave it out of the migration, "
                "rehearse on a server of its own (spec.rehearsal.where: Pod, or `dbmigration rehearse --private`), or rehearse nothing "
                "this time"
            )
            raise Permanent(Reason.REHEARSAL_UNSAFE, f"{what} {why}", place=Place(script.name, line))
