"""What the status of a resource says in numbers, for monitoring. Pure: a restarted operator has them again from the first look."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dbmigration.api.report import Outcome
from dbmigration.api.status import RunStatus, Status
from dbmigration.decide.attempts import has_result_of


class Gauge(NamedTuple):
    """A series of every resource. `labels` come after namespace and name."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Figure(NamedTuple):
    """One value. `labels` are those of the gauge, without namespace and name."""

    gauge: Gauge
    value: float
    labels: tuple[str, ...] = ()


_INFO: Final = Gauge(
    "dbmigration_resource_info",
    "Always 1; environment, version and server as labels.",
    ("environment", "version", "server_version"),
)
_CONDITION: Final = Gauge("dbmigration_condition", "A condition: 1 True, 0 False. One that is Unknown is not there.", ("type", "reason"))
_APPLIED: Final = Gauge("dbmigration_applied_migrations", "Files that are applied.")
_PENDING: Final = Gauge("dbmigration_pending_migrations", "Files that wait to be applied.")
_RUNNING: Final = Gauge("dbmigration_run_started_timestamp_seconds", "When the run that is going on began; not there while none is.")
_BLOCKED: Final = Gauge("dbmigration_run_blocked", "1 while a run waits for a lock that a session holds; not there while none is going on.")
_ATTEMPT: Final = Gauge("dbmigration_run_attempt", "Number of the newest attempt at the same spec and files.")
_FAILURES: Final = Gauge("dbmigration_run_failures", "Attempts at the same spec and files that failed in a row.")
_LAST_SUCCESS: Final = Gauge("dbmigration_last_success_timestamp_seconds", "When a run last found the database as asked, or made it so.")
_LAST_RUN: Final = Gauge("dbmigration_last_run_timestamp_seconds", "When the newest run ended.")
_LAST_RUN_TOOK: Final = Gauge("dbmigration_last_run_duration_seconds", "How long the newest run took, its pod's start included.")
_LAST_STEP_TOOK: Final = Gauge("dbmigration_last_run_step_duration_seconds", "How long each step of it took.", ("step",))
_LAST_LOCK_WAIT: Final = Gauge("dbmigration_last_run_lock_wait_seconds", "How long it waited for locks.")
_BACKUP_AT: Final = Gauge("dbmigration_backup_timestamp_seconds", "When the newest verified backup was complete.")
_BACKUP_BYTES: Final = Gauge("dbmigration_backup_bytes", "Size of it.")
_BACKUP_TOOK: Final = Gauge("dbmigration_backup_duration_seconds", "How long it took, its reading to the end included.")
_DRIFT: Final = Gauge("dbmigration_schema_differences", "How many differences the newest comparison of the schema found.")
_OPENING: Final = Gauge("dbmigration_window_opening_timestamp_seconds", "When the window opens that pending files wait for.")

GAUGES: Final = (
    *(_INFO, _CONDITION, _APPLIED, _PENDING, _RUNNING, _BLOCKED, _ATTEMPT, _FAILURES, _LAST_SUCCESS, _LAST_RUN, _LAST_RUN_TOOK),
    *(_LAST_STEP_TOOK, _LAST_LOCK_WAIT, _BACKUP_AT, _BACKUP_BYTES, _BACKUP_TOOK, _DRIFT, _OPENING),
)


def figures_of(status: Status, environment: str) -> Iterator[Figure]:
    """Nothing is told that the status does not know."""
    server = status.database.server_version.partition(" ")[0] if status.database is not None else ""
    yield Figure(_INFO, 1, (environment, status.version or "", server))
    for condition in status.conditions:
        if condition.status in ("True", "False"):
            yield Figure(_CONDITION, condition.status == "True", (condition.type, condition.reason))
    for gauge, number in ((_APPLIED, status.applied), (_PENDING, status.pending)):
        if number is not None:
            yield Figure(gauge, number)
    if status.run is not None:
        yield from _run_figures(status, status.run)
    if status.last_success_at is not None:
        yield Figure(_LAST_SUCCESS, status.last_success_at.timestamp())
    if status.backup is not None:
        record = status.backup
        yield Figure(_BACKUP_AT, record.completed_at.timestamp())
        yield Figure(_BACKUP_BYTES, record.bytes)
        yield Figure(_BACKUP_TOOK, (record.completed_at - record.started_at).total_seconds())
    if status.drift is not None:
        yield Figure(_DRIFT, status.drift.count)
    if status.window is not None and status.window.next_opening is not None:
        yield Figure(_OPENING, status.window.next_opening.timestamp())


def _run_figures(status: Status, run: RunStatus) -> Iterator[Figure]:
    yield Figure(_ATTEMPT, run.attempt)
    yield Figure(_FAILURES, run.failures)
    if run.finished_at is None:
        yield Figure(_RUNNING, run.started_at.timestamp())
        yield Figure(_BLOCKED, status.progress is not None and status.progress.blocked_by is not None)
        return
    yield Figure(_LAST_RUN, run.finished_at.timestamp())
    yield Figure(_LAST_RUN_TOOK, (run.finished_at - run.started_at).total_seconds())
    yield Figure(_LAST_LOCK_WAIT, run.lock_wait_ms / 1000)
    for step, milliseconds in run.steps_ms.items():
        yield Figure(_LAST_STEP_TOOK, milliseconds / 1000, (step,))


def ended_run(before: Status, after: Status) -> RunStatus | None:
    """The run whose result `after` stores for the first time. One that was taken back before its pod started had none."""
    run = after.run
    if run is None or run.finished_at is None or run.outcome is None or run.reason is None:
        return None
    if has_result_of(before.run, run.job_name):
        return None
    return run if run.outcome != Outcome.INTERRUPTED or run.message is not None else None
