"""What the status of a DatabaseRestore says in numbers, for monitoring. Pure, as `decide.figures`."""

from collections.abc import Iterator
from typing import Final

from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.decide.attempts import has_result_of
from dbmigration.decide.figures import Figure, Gauge

_CONDITION: Final = Gauge(
    "dbmigration_restore_condition",
    "A condition of a DatabaseRestore: 1 True, 0 False. One that is Unknown is not there.",
    ("type", "reason"),
)
_RUNNING: Final = Gauge(
    "dbmigration_restore_run_started_timestamp_seconds", "When the step that is going on began; not there while none is.", ("step",)
)
_FAILURES: Final = Gauge("dbmigration_restore_run_failures", "Attempts at the same step that failed in a row.")
_LAST_RUN: Final = Gauge("dbmigration_restore_last_run_timestamp_seconds", "When the newest attempt ended.", ("step",))
_LAST_RUN_TOOK: Final = Gauge(
    "dbmigration_restore_last_run_duration_seconds", "How long the newest attempt took, its pod's start included.", ("step",)
)
_ROWS: Final = Gauge("dbmigration_restore_rows", "Rows that were restored and compared with the backup.")

RESTORE_GAUGES: Final = (_CONDITION, _RUNNING, _FAILURES, _LAST_RUN, _LAST_RUN_TOOK, _ROWS)


def restore_figures_of(status: RestoreStatus) -> Iterator[Figure]:
    """Nothing is told that the status does not know."""
    for condition in status.conditions:
        if condition.status in ("True", "False"):
            yield Figure(_CONDITION, condition.status == "True", (condition.type, condition.reason))
    run = status.run
    if run is not None:
        yield Figure(_FAILURES, run.failures)
        if run.finished_at is None:
            yield Figure(_RUNNING, run.started_at.timestamp(), (run.step.value,))
        else:
            yield Figure(_LAST_RUN, run.finished_at.timestamp(), (run.step.value,))
            yield Figure(_LAST_RUN_TOOK, (run.finished_at - run.started_at).total_seconds(), (run.step.value,))
    if status.restored is not None:
        yield Figure(_ROWS, status.restored.rows)


def ended_step(before: RestoreStatus, after: RestoreStatus) -> RestoreRunStatus | None:
    """The attempt whose result `after` stores for the first time."""
    run = after.run
    if run is None or run.finished_at is None or run.outcome is None:
        return None
    return None if has_result_of(before.run, run.job_name) else run
