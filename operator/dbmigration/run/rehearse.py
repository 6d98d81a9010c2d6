"""Rehearse a run: a backup is restored beside the database, and the pending files run there first.

It is also the restore test of that backup: the copy is compared with it, row by row, before the first file runs.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget
from dbmigration.run.progress import Step
from dbmigration.run.result import RunResult, now

PREFIX: Final = "dbmigration_rehearsing_"


def rehearse(engine: Engine, dump: Path | None, *, max_lock_ms: int | None = None, jobs: int = 1) -> RunResult:
    """What `engine.run` would do, done in a copy that is dropped at the end. The database itself is only read.

    `dump` None: a backup is taken for it, and removed. The result is that of the run in the copy; `backup` is what it was made of. Its
    error is REHEARSAL_UNSAFE for files that reach beyond their database, REHEARSAL_FAILED when a lock was held longer than
    `max_lock_ms`, and else what stopped the backup, the restore or the run.
    """
    looked = engine.look(lint=True)
    if looked.error is not None or looked.plan is None or not looked.pending():
        return looked
    result = RunResult(run_id=engine.options.run_id, started_at=looked.started_at)
    try:
        result = _in_a_copy(engine, looked, dump, jobs)
        if result.error is None and max_lock_ms is not None:
            _refuse_long_locks(result, max_lock_ms)
    except DbmigrationError as error:
        result.error = error
    result.finished_at = now()
    return result


def _in_a_copy(engine: Engine, looked: RunResult, dump: Path | None, jobs: int) -> RunResult:
    from dbmigration.backup.restore import restored_copy
    from dbmigration.scratch.server_wide import refuse_server_wide

    assert looked.plan is not None  # noqa: S101 - the caller looked
    refuse_server_wide((*looked.plan.pending, *looked.plan.pending_seeds), "the rehearsal is on a server")

    def say(message: str) -> None:
        engine.say(Step.BACKUP, message, finished=True)

    with ExitStack() as stack:
        if dump is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="dbmigration-")))
            dump = _fresh_backup(engine, folder)
        copy = stack.enter_context(restored_copy(engine.conninfo, dump, stop=engine.stop, say=say, jobs=jobs, prefix=PREFIX))
        options = replace(engine.options, backup=None)
        result = replace(engine, options=options, conninfo=copy.database.conninfo).run()
        result.backup = copy.backup
        return result


def _fresh_backup(engine: Engine, folder: Path) -> Path:
    taken = replace(engine, options=replace(engine.options, backup=BackupTarget(folder))).back_up()
    if taken.error is not None:
        raise taken.error
    return next(folder.glob("*.dump"))


def _refuse_long_locks(result: RunResult, max_lock_ms: int) -> None:
    for done in result.applied:
        for held in done.held:
            if held.ms > max_lock_ms:
                raise Permanent(
                    Reason.REHEARSAL_FAILED,
                    f"{done.name} held {held}, longer than the {max_lock_ms / 1000:g} s of --max-lock: split it, or change it",
                )
