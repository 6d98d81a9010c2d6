"""The Job's process: request in, one run, report out. `dbmigration run` and nothing else calls it."""

import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dbmigration.api import request as api
from dbmigration.api.names import BACKUP_SECRET, REHEARSAL_SERVER
from dbmigration.api.reasons import Reason
from dbmigration.api.report import REPORT_KEY, Outcome, Report
from dbmigration.backup.shape import DumpShape
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.claim import Owner
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.settings import Execution
from dbmigration.run.clock import RunClock
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, DriftPolicy, ExternalBackup, LintPolicy, OnFailure, Rehearsal, RunOptions
from dbmigration.run.progress import OnProgress, Progress
from dbmigration.run.reporting import build_report, internal_error
from dbmigration.run.result import RunResult, now
from dbmigration.run.rollback import RollbackPlan, down_to, refuse_other_plan
from dbmigration.run.stop import StopRequest
from dbmigration.run.trace_settings import wanted_trace

if TYPE_CHECKING:
    from dbmigration.backup.s3 import Bucket
    from dbmigration.run.fetched import Fetch
    from dbmigration.run.rehearsal_server import ServerBeside
    from dbmigration.run.tracing import Attributes, RunTrace

LOCK_WAIT = 600.0
"""Seconds that a Job waits for another runner before it says LockHeld and leaves the retry to the operator."""

PROGRESS_INTERVAL = 2.0
"""Seconds between two log lines of the same step, so that a long dump does not fill the log."""


def main(environ: Mapping[str, str]) -> int:
    """Run what the environment asks for. Exit status 0 when the run succeeded, else 1; the report says why in either case."""
    log, clock = ProgressLog(), RunClock()
    trace = wanted_trace(environ)
    heard = log if trace is None else trace.beside(log)
    run_id, work = "unknown", "run"
    attributes: Attributes = {}
    result, conninfo = None, None

    def told(progress: Progress) -> None:
        clock(progress)
        heard(progress)

    try:
        request = read_request(environ)
        run_id = request.run_id
        work = "drift" if request.look_only else "apply" if request.rollback is None else "rollback"
        if trace is not None:
            trace.of_job(request.resource, run_id, asked_at=request.asked_at, queued_since=request.queued_since)
            attributes = {"dbmigration.attempt": request.attempt, "dbmigration.prepares": request.prepare}
        stop = StopRequest()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        conninfo = _conninfo(request)
        result = _run(request, conninfo, told, stop)
        report = build_report(result, environment=request.environment)
    except DbmigrationError as error:
        report = build_report(RunResult(run_id=run_id, started_at=now(), error=error), environment=None)
    except Exception as error:  # noqa: BLE001 - whatever went wrong has to reach the resource
        log.write("error", "internal error", traceback=frames(error))
        report = internal_error(run_id, error)
    clock.end()
    timed = {"steps_ms": clock.steps_ms, "lock_waits": clock.lock_waits, "lock_wait_ms": clock.lock_wait_ms}
    report = report.model_copy(update=timed)
    if trace is not None:
        trace_id = trace.end(work, report, result=result, conninfo=conninfo, attributes=attributes)
        report = report.model_copy(update={"trace_id": trace_id})
    _publish(report, log)
    send_trace(trace, log)
    return 0 if report.outcome is Outcome.SUCCEEDED else 1


def read_request(environ: Mapping[str, str]) -> api.RunRequest:
    """The operator's request. Raises Permanent(SpecInvalid) when it is not there or was written by an operator of another version."""
    text = environ.get(api.REQUEST_VARIABLE)
    if not text:
        raise Permanent(
            Reason.SPEC_INVALID,
            f"{api.REQUEST_VARIABLE} is not set: `dbmigration run` is what the operator's Job runs; use `dbmigration apply`",
        )
    try:
        return api.RunRequest.model_validate_json(text)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors()[:5])
        raise Permanent(
            Reason.SPEC_INVALID, f"{api.REQUEST_VARIABLE} cannot be read ({fields}): operator and runner image must be of the same version"
        ) from None


class ProgressLog:
    """JSON lines on stdout: read by a person with `kubectl logs`, and by the operator."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        key = f"{progress.step}/{progress.file}"
        moment = monotonic()
        if not (progress.finished or progress.notice) and key in self._last and moment - self._last[key] < PROGRESS_INTERVAL:
            return
        self._last[key] = moment
        self.write(
            "info",
            "progress",
            message=progress.message,
            step=progress.step.value,
            file=progress.file,
            done=progress.done,
            total=progress.total,
            percent=progress.percent,
            blockedBy=progress.blocked_by,
            finished=progress.finished or None,
        )

    def write(self, level: str, event: str, **fields: object) -> None:
        line: dict[str, object] = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
        line |= {key: value for key, value in fields.items() if value is not None}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def send_trace(trace: "RunTrace | None", log: ProgressLog) -> None:
    """The report is out: whatever comes of this, the run is over."""
    problem = trace.send() if trace is not None else None
    if problem is not None:
        log.write("warning", "trace not sent", message=problem)


def _conninfo(request: api.RunRequest) -> ConnInfo:
    """Raises as `ConnInfo.from_secret`."""
    return ConnInfo.from_secret(
        Path(api.SECRET_DIR),
        request.secret_keys,
        tls_mode=request.tls_mode,
        ca_file=Path(api.CA_DIR) / request.ca_key if request.ca_key else None,
    )


def _run(request: api.RunRequest, conninfo: ConnInfo, on_progress: OnProgress, stop: StopRequest) -> RunResult:
    engine = Engine(_options(request), conninfo, on_progress, stop)
    if request.look_only:
        return engine.drift()
    if request.rollback is None:
        return engine.run()
    expected = request.rollback.plan_hash

    def agree(plan: RollbackPlan) -> bool:
        refuse_other_plan(plan, expected)
        return True

    return engine.rollback(down_to(request.rollback.to), agree)


def _options(request: api.RunRequest) -> RunOptions:
    execution = request.execution
    return RunOptions(
        directory=Path(api.MIGRATIONS_DIR),
        run_id=request.run_id,
        actor=f"{request.resource.namespace}/{request.resource.name}",
        environment=request.environment,
        target=request.target,
        history=HistoryTable(request.history_schema, request.history_table) if request.history_schema and request.history_table else None,
        execution=Execution(
            lock_timeout_ms=execution.lock_timeout_ms,
            statement_timeout_ms=execution.statement_timeout_ms,
            lock_retries=execution.lock_retries,
        ),
        out_of_order=execution.out_of_order,
        backup=_backup_target(request),
        external=ExternalBackup(**request.backup.external.model_dump()) if request.backup.external else None,
        expected_digest=request.source_digest,
        fetch=_fetch(request.fetch) if request.fetch is not None else None,
        reapply_rolled_back=request.reapply_rolled_back,
        lock_wait=LOCK_WAIT,
        drift=_drift_policy(request),
        lint=LintPolicy(request.lint_fail_on) if request.lint_fail_on else None,
        lint_ignore=request.lint_ignore,
        owner=Owner(request.resource.namespace, request.resource.name, request.resource.uid, request.resource.cluster),
        claimed_by=request.claimed_by,
        baseline=request.baseline,
        on_failure=OnFailure.ROLLBACK if request.undo_on_failure else OnFailure.STOP,
        rehearsal=_rehearsal(request.rehearsal) if request.rehearsal is not None else None,
        prepare=request.prepare,
        closes_at=request.window_closes_at,
        window_ms=request.window_ms,
        approved=request.approved if request.needs_approval else None,
        promoted=request.promoted,
    )


def _fetch(request: api.FetchRequest) -> "Fetch":
    from dbmigration.run.fetched import Fetched, look_through

    def fetch(say: Callable[[str], None]) -> Fetched:
        if request.git is not None:
            from dbmigration.run.git import fetch_git

            return fetch_git(request.git, Path(api.GIT_SECRET_DIR), Path(api.GIT_CA_DIR), say)
        if request.artifact is not None:
            from dbmigration.run.artifact import fetch_artifact

            return fetch_artifact(request.artifact, say)
        folder = Path(api.MIGRATIONS_DIR)
        look_through(folder, f"image {request.image}")
        say(f"the files are those of image {request.image}")
        return Fetched(folder)

    return fetch


def _backup_target(request: api.RunRequest) -> BackupTarget | None:
    """Raises Transient SECRET_MISSING, SECRET_INVALID and as `_bucket`."""
    backup = request.backup
    if not backup.required:
        return None
    return BackupTarget(
        Path(api.BACKUP_DIR),
        backup.prefix,
        backup.uri_base,
        backup.keep_last,
        backup.keep_days,
        bucket_of(backup.s3) if backup.s3 is not None else None,
        DumpShape(backup.format, backup.jobs, backup.compression),
        _who_dumps(request) if backup.secret_name is not None else None,
    )


def _who_dumps(request: api.RunRequest) -> ConnInfo:
    """The server is the same, and so is how it is known."""
    ca_file = Path(api.CA_DIR) / request.ca_key if request.ca_key else None
    try:
        return ConnInfo.from_secret(Path(api.BACKUP_SECRET_DIR), request.backup.secret_keys, tls_mode=request.tls_mode, ca_file=ca_file)
    except DbmigrationError as error:
        error.message = f"{BACKUP_SECRET} {request.backup.secret_name}: {error.message}"
        raise


def _rehearsal(request: api.RehearsalRequest) -> Rehearsal:
    """Raises Transient SECRET_MISSING and SECRET_INVALID."""
    server = None
    if request.secret_name is not None:
        try:
            server = ConnInfo.from_secret(Path(api.REHEARSAL_SECRET_DIR), request.secret_keys)
        except DbmigrationError as error:
            error.message = f"{REHEARSAL_SERVER} {request.secret_name}: {error.message}"
            raise
    return Rehearsal(
        server=server,
        beside=_beside(request.server) if request.server is not None else None,
        max_lock_ms=request.max_lock_ms,
        fail_on_rewrite=request.fail_on_rewrite,
        jobs=request.jobs,
        proved_plan=request.proved_plan,
        proved_ms=request.proved_ms,
    )


def _beside(request: api.RehearsalServerRequest) -> "ServerBeside":
    from dbmigration.run.rehearsal_server import ServerBeside

    return ServerBeside(Path(api.REHEARSAL_SERVER_DIR), request.image, request.storage, request.parameters)


def bucket_of(request: api.S3Request) -> "Bucket":
    """Raises Transient BACKUP_FAILED where the Secret was named and is not there, or lacks a key."""
    from dbmigration.backup.s3 import Bucket, read_secrets

    secrets: dict[str, str] = {}
    if request.secret_name is not None:
        folder = Path(api.S3_SECRET_DIR)
        files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        secrets = read_secrets({path.name: path.read_text(encoding="utf-8", errors="replace").strip() for path in files})
        if not {"access_key_id", "secret_access_key"} <= secrets.keys():
            found = ", ".join(sorted(path.name for path in files)) or "nothing"
            raise Transient(
                Reason.BACKUP_FAILED,
                f"Secret {request.secret_name} of backup.destination.s3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and has {found}",
            )
    return Bucket(request.bucket, request.prefix, request.endpoint, request.region, request.encryption, request.kms_key_id, secrets=secrets)


def _drift_policy(request: api.RunRequest) -> DriftPolicy | None:
    """Who asks for a look wants to know, whatever runs do about it."""
    if request.look_only:
        return DriftPolicy.REPORT
    return DriftPolicy(request.drift_policy) if request.drift_policy else None


def _publish(report: Report, log: ProgressLog) -> None:
    log.write(
        "info" if report.outcome is Outcome.SUCCEEDED else "error",
        "finished",
        message=_sentence(report),
        reason=report.reason.value,
        traceId=report.trace_id,
        **(report.failure.model_dump(include={"file", "line", "sqlstate", "statement"}) if report.failure else {}),
    )
    sys.stdout.write(f'{{"{REPORT_KEY}": {report.to_json()}}}\n')
    sys.stdout.flush()
    # Outside of a pod there is no such file, and nobody who would read it.
    with suppress(OSError):
        Path(api.TERMINATION_LOG).write_text(report.summary().to_json(), encoding="utf-8")


def _sentence(report: Report) -> str:
    """The outcome for a person who reads the log, with file and line first."""
    failure = report.failure
    if failure is None or failure.file is None:
        return report.message
    place = failure.file if failure.line is None else f"{failure.file}:{failure.line}"
    return f"{place}: {report.message}"


def frames(error: BaseException) -> list[str]:
    """Where it happened, without the error's text: that may hold a value."""
    return [
        f"{frame.filename.rsplit('/dbmigration/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
