"""The process of a step's Job: request in, one step of a DatabaseRestore, report out."""

import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dbmigration.api import request as api
from dbmigration.api.reasons import Reason
from dbmigration.api.report import REPORT_KEY, Database, Failure, Outcome
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RESTORE_REQUEST_VARIABLE, RestoreRequest, RestoreStep
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.run.job import ProgressLog, bucket_of, frames, send_trace
from dbmigration.run.progress import OnProgress, Progress, Step
from dbmigration.run.reporting import MESSAGE_LIMIT
from dbmigration.run.restore import StepDone, restore_step, swap_step
from dbmigration.run.result import now
from dbmigration.run.stop import StopRequest
from dbmigration.run.trace_settings import wanted_trace

if TYPE_CHECKING:
    from dbmigration.backup.s3 import Bucket


def main(environ: Mapping[str, str]) -> int:
    """Do what the environment asks for. Exit status 0 when it is done, else 1; the report says why in either case."""
    log, done, started_at = ProgressLog(), StepDone(), now()
    trace = wanted_trace(environ)
    told = log if trace is None else trace.beside(log)
    run_id, work = "unknown", "restore"

    try:
        request = read_request(environ)
        run_id, work = request.run_id, request.step.value
        if trace is not None:
            trace.of_job(request.resource, run_id, asked_at=request.asked_at)
        stop = StopRequest()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        _run(request, done, told, stop)
        report = _report(run_id, started_at, done, None)
    except DbmigrationError as error:
        report = _report(run_id, started_at, done, error)
    except Exception as error:  # noqa: BLE001 - whatever went wrong has to reach the resource
        log.write("error", "internal error", traceback=frames(error))
        message = f"{type(error).__name__} in the runner: this is a bug; the log says where (kubectl logs)"
        report = _report(run_id, started_at, done, Permanent(Reason.INTERNAL_ERROR, message))
    if trace is not None:
        report = report.model_copy(update={"trace_id": trace.end(work, report)})
    _publish(report, log)
    send_trace(trace, log)
    return 0 if report.outcome is Outcome.SUCCEEDED else 1


def read_request(environ: Mapping[str, str]) -> RestoreRequest:
    """The operator's request. Raises Permanent(SpecInvalid) when it is not there or was written by an operator of another version."""
    text = environ.get(RESTORE_REQUEST_VARIABLE)
    if not text:
        raise Permanent(
            Reason.SPEC_INVALID,
            f"{RESTORE_REQUEST_VARIABLE} is not set: this is what the Job of a DatabaseRestore runs; use `dbmigration restore`",
        )
    try:
        return RestoreRequest.model_validate_json(text)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors()[:5])
        raise Permanent(
            Reason.SPEC_INVALID, f"{RESTORE_REQUEST_VARIABLE} cannot be read ({fields}): operator and image must be of the same version"
        ) from None


def _run(request: RestoreRequest, done: StepDone, on_progress: OnProgress, stop: StopRequest) -> None:
    step = Step.SWAP if request.step is RestoreStep.SWAP else Step.RESTORE

    def say(message: str) -> None:
        on_progress(Progress(step, message, notice=True))

    conninfo = ConnInfo.from_secret(
        Path(api.SECRET_DIR),
        request.secret_keys,
        tls_mode=request.tls_mode,
        ca_file=Path(api.CA_DIR) / request.ca_key if request.ca_key else None,
    )
    if request.step is RestoreStep.SWAP:
        swap_step(request, conninfo, done, say, stop)
    else:
        restore_step(request, conninfo, _backup(request), done, say, stop)


def _backup(request: RestoreRequest) -> "Path | Bucket":
    """The dump on the mounted volume, or the bucket. Raises Permanent RESTORE_FAILED for a path that leads out of the volume."""
    if request.s3 is not None:
        return bucket_of(request.s3)
    path = PurePosixPath(request.uri.partition("://")[2].partition("/")[2])
    if path.is_absolute() or ".." in path.parts:
        raise Permanent(Reason.RESTORE_FAILED, f"{request.uri} is no backup's address")
    return Path(api.BACKUP_DIR) / path


def _report(run_id: str, started_at: datetime, done: StepDone, error: DbmigrationError | None) -> RestoreReport:
    message = _clip(error.message if error else _success(done))
    reason = error.reason if error else Reason.SWAPPED if done.swapped else Reason.RESTORED
    outcome = Outcome.SUCCEEDED
    if error is not None:
        outcome = Outcome.INTERRUPTED if reason is Reason.INTERRUPTED else Outcome.FAILED
    server = done.server
    return RestoreReport(
        run_id=run_id,
        outcome=outcome,
        reason=reason,
        message=message,
        failure=Failure(reason=reason, message=message, transient=isinstance(error, Transient)) if error else None,
        started_at=started_at,
        finished_at=now(),
        database=Database(identity=server.identity, name=server.database, server_version=server.version) if server else None,
        backup=done.backup,
        restored=done.restored,
        swapped=done.swapped,
    )


def _success(done: StepDone) -> str:
    if done.swapped is not None:
        return f"database {done.swapped.name} is the restored one; the old one is {done.swapped.old_database}"
    if done.restored is not None:
        return f"database {done.restored.name} holds {done.restored.rows:,} rows and {done.restored.objects:,} objects, as the backup does"
    return "done"


def _publish(report: RestoreReport, log: ProgressLog) -> None:
    level = "info" if report.outcome is Outcome.SUCCEEDED else "error"
    log.write(level, "finished", message=report.message, reason=report.reason.value, traceId=report.trace_id)
    sys.stdout.write(f'{{"{REPORT_KEY}": {report.to_json()}}}\n')
    sys.stdout.flush()
    # Outside of a pod there is no such file, and nobody who would read it.
    with suppress(OSError):
        Path(api.TERMINATION_LOG).write_text(report.to_json(), encoding="utf-8")


def _clip(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
