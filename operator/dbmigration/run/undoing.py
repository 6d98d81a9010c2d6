"""After a file failed for good: undo what this run applied, newest first, and say what stays."""

from functools import partial

from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.postgres.apply import RolledBackBy, rollback_file
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session
from dbmigration.run.progress import Step
from dbmigration.run.result import RunResult
from dbmigration.run.steps import ROLLING_BACK, Steps

_CAUSE = 200


def undo_run(steps: Steps, session: Session, table: HistoryTable, files: tuple[MigrationFile, ...], result: RunResult) -> str:
    """Run the rollback scripts of those of `files` that `result.applied` names, and return what came of it in words.

    Files that were undone move from `result.applied` to `result.undone`: they are pending again. The first that cannot be undone ends it,
    for what is older may be needed by it; `result.not_undone` says which stay and why. Raises nothing: the first error is what counts.
    """
    if not result.applied:
        return "there is nothing of this run to undo"
    failed = result.working_on
    cause = _in_the_way(session, table, result)
    by_name = {file.name: file for file in files}
    if cause is None:
        roll_back = partial(rollback_file, by=RolledBackBy.FAILED_RUN)
        for done in reversed(tuple(result.applied)):
            try:
                steps.work_on(session, table, (by_name[done.name],), roll_back, ROLLING_BACK, result, result.undone)
            except DbmigrationError as error:
                cause = f"{done.name} could not be undone: {error.reason}: {error.message[:_CAUSE]}"
                break
            result.applied.remove(done)
    # The file that failed is what the result is about, whatever was worked on since.
    result.working_on = failed
    result.not_undone = tuple(done.name for done in result.applied)
    said = [f"undone by its rollback scripts: {listed(done.name for done in result.undone)}"] if result.undone else []
    if cause is not None:
        said.append(f"NOT undone: {listed(reversed(result.not_undone))}, because {cause}")
    story = "; ".join(said)
    steps.say(Step.ROLLBACK, story, finished=True)
    return story


def _in_the_way(session: Session, table: HistoryTable, result: RunResult) -> str | None:
    """What stands on top of the applied files and has no way back that is safe to take without a person."""
    error, failed = result.error, result.working_on
    if result.seeded:
        return f"the seed {result.seeded[-1].name} ran after them, and seeds have no way back"
    if failed is None:
        return None
    if isinstance(error, Permanent) and error.reason is Reason.OUTCOME_UNKNOWN:
        return f"nobody knows what {failed} did: look, and follow the message"
    try:
        partial_files = read_history(session, table).partial
    except DbmigrationError as lost:
        return f"the database could not be read afterwards: {lost.reason}"
    if failed in partial_files:
        statements, _ = partial_files[failed]
        return (
            f"{failed} runs outside a transaction and is half done ({statements} of its statements took effect): "
            f"undo it yourself first, or mend it and go on"
        )
    return None
