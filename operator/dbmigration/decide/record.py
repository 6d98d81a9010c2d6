"""The status after a run: what the report says of the database, what the result says of the next attempt."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.conditions import MESSAGE_LIMIT, ConditionType, Proof, Verdict, Work, clip, find, set_conditions, set_proof
from dbmigration.api.names import BACKUP_SECRET, REHEARSAL_SERVER
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Failure, Outcome, Report
from dbmigration.api.spec import Retry
from dbmigration.api.status import (
    MIGRATIONS_KEPT,
    PLAN_NAMES_KEPT,
    RUNS_KEPT,
    STATUS_LIMIT,
    DatabaseStatus,
    PlanStatus,
    ReplacedStatus,
    RunStatus,
    RunSummary,
    SourceStatus,
    Status,
)
from dbmigration.decide.attempts import backoff, failed_verdict
from dbmigration.decide.keys import files_digest
from dbmigration.decide.looks import compared, in_sync
from dbmigration.decide.observed import FoundSource, JobSeen, KnownSource, Observed
from dbmigration.decide.results import Result
from dbmigration.errors import lacks_right

_MENDED_IN_THE_FILE = (Reason.REHEARSAL_FAILED, Reason.SQL_FAILED, Reason.VERIFY_FAILED, Reason.SEED_FAILED)
_ABOUT_THE_SECRET = (Reason.SECRET_MISSING, Reason.SECRET_INVALID, Reason.AUTHENTICATION_FAILED)
_OF_A_CHANGE = (Reason.BACKUP_VERIFIED, Reason.BACKUP_SKIPPED, Reason.BACKUP_DECLARED)
_VERIFY_REASONS = (Reason.VERIFY_PASSED, Reason.NO_VERIFY_FILE, Reason.VERIFY_FAILED, Reason.ROLLED_BACK)


def run_started(observed: Observed, job: JobSeen) -> RunStatus:
    """The run that `job` is, with the counters of earlier attempts with the same key and spec."""
    before = observed.status.run
    same = before is not None and before.key == job.run_key and (not before.final or before.spec_hash == job.spec_hash)
    return RunStatus(
        key=job.run_key,
        spec_hash=job.spec_hash,
        attempt=job.attempt,
        failures=before.failures if before and same else 0,
        counted=before.counted if before and same else 0,
        job_name=job.name,
        started_at=job.created_at,
    )


def run_recorded(observed: Observed, run: RunStatus, result: Result, retry_value: str | None, now: datetime) -> Status:
    """Status with `result` of `run` in it. A report that does not fit into a status is not believed: the rest of the result is stored."""
    try:
        status = _recorded(observed, run, result, retry_value, now)
    except ValidationError:
        status = None
    if status is None or len(status.to_json().encode()) > STATUS_LIMIT:
        plain = Result(result.outcome, result.reason, clip(result.message), result.transient, result.counted)
        return _recorded(observed, run, plain, retry_value, now)
    return status


def _recorded(observed: Observed, run: RunStatus, result: Result, retry_value: str | None, now: datetime) -> Status:
    status, report = observed.status, result.report
    finished = _finished(observed, run, result, now)
    changes: dict[str, Any] = {"run": finished, "progress": None, "observed_generation": observed.generation}
    if finished.final:
        changes["last_handled_retry"] = retry_value
    if result.outcome is Outcome.SUCCEEDED and not finished.waits:
        changes["last_success_at"] = now
    if report is not None:
        changes |= _database_state(status, report)
        changes["source"] = _source(status, report, result)
        if report.schema_compared:
            changes["drift"] = compared(status.drift, report, now)
    after = status.model_copy(update=changes)
    summary = RunSummary(
        id=run.job_name,
        started_at=run.started_at,
        finished_at=now,
        outcome=result.outcome,
        reason=finished.reason or result.reason,
        to=after.version,
        backup_uri=report.backup.uri if report and report.backup else None,
        trace_id=report.trace_id if report else None,
    ).model_copy(update={"from_": status.version})
    conditions = set_conditions(
        status.conditions,
        verdict_of(finished),
        generation=observed.generation,
        now=now,
        backed_up=_backed_up(status, report) if report else None,
        verified=_verified(report) if report else None,
        in_sync=in_sync(report) if report else None,
    )
    return after.model_copy(
        update={"runs": _with_summary(status.runs, summary, repeats=result.transient and not result.counted), "conditions": conditions}
    ).fit()


def verdict_of(run: RunStatus) -> Verdict:
    """What a finished run says of Ready, until there is a newer one."""
    reason, message = run.reason or Reason.INTERNAL_ERROR, run.message or ""
    if run.waits:
        return Verdict(False, Work.IDLE, reason, message)
    if run.outcome == Outcome.SUCCEEDED:
        return Verdict(True, Work.IDLE, reason, message)
    return failed_verdict(run)


def _finished(observed: Observed, run: RunStatus, result: Result, now: datetime) -> RunStatus:
    failure = result.report.failure if result.report else None
    retry = observed.spec.retry if observed.spec else Retry()
    counted = run.counted + (1 if result.counted else 0)
    failures = run.failures + (0 if result.outcome is Outcome.SUCCEEDED or result.reason is Reason.WINDOW_CLOSED else 1)
    reason, message, next_retry = result.reason, result.message, None
    if result.transient and result.counted and counted >= retry.limit:
        reason = Reason.RETRY_LIMIT_REACHED
        message = f"{counted} attempts failed with SQL begun, the last with {result.reason}: {message}"
    elif result.transient:
        next_retry = now + backoff(retry, failures)
    elif result.reason in _MENDED_IN_THE_FILE:
        mended = "Mend the file: it is tried again when its text changes"
        if failure is not None and lacks_right(result.reason, failure.sqlstate):
            mended = "Once that is granted, ask for another try (dbmigration.dev/retry); a file whose text changes is tried by itself"
        message = f"{clip(message, 900)}. {mended}"
    return RunStatus(
        **run.model_dump(include={"key", "spec_hash", "attempt", "job_name", "started_at"}),
        failures=failures,
        counted=counted,
        finished_at=now,
        next_retry_at=next_retry,
        outcome=result.outcome,
        reason=reason,
        message=_placed(_with_secret(observed, result.reason, message), failure),
        file=failure.file if failure else None,
        line=failure.line if failure else None,
        sqlstate=failure.sqlstate if failure else None,
        steps_ms=result.report.steps_ms if result.report else {},
        lock_waits=result.report.lock_waits if result.report else 0,
        lock_wait_ms=result.report.lock_wait_ms if result.report else 0,
        trace_id=result.report.trace_id if result.report else None,
    )


def _with_secret(observed: Observed, reason: Reason, message: str) -> str:
    """The run only sees a mounted folder; a person wants to know which Secret that is."""
    if observed.spec is None or reason not in _ABOUT_THE_SECRET or REHEARSAL_SERVER in message or BACKUP_SECRET in message:
        return message
    return f"{clip(message, 700)} (Secret {observed.spec.database.secret_ref.name})"


def _placed(message: str, failure: Failure | None) -> str:
    """The message with file, line and SQLSTATE, where it does not name them itself."""
    if failure is None:
        return clip(message)
    # A message that names the file in passing still owes the line.
    place = f"{failure.file}:{failure.line}" if failure.file and failure.line else failure.file
    if place and place not in message:
        message = f"{place}: {message}"
    state = f" (SQLSTATE {failure.sqlstate})" if failure.sqlstate and failure.sqlstate not in message else ""
    return clip(message, MESSAGE_LIMIT - len(state.encode())) + state


def _database_state(status: Status, report: Report) -> dict[str, Any]:
    """What the report proves. One that ended before it saw the database says nothing of versions and counts: the old ones stay."""
    changes: dict[str, Any] = {}
    if report.database is not None:
        changes["database"] = DatabaseStatus(
            identity=report.database.identity,
            name=report.database.name,
            server_version=report.database.server_version,
            claim=report.database.claim or _known_claim(status, report.database.identity),
        )
    if report.plan_hash is not None or report.migrations:
        changes |= {
            "version": report.version,
            "applied": report.applied,
            "pending": report.pending,
            "skipped": report.skipped,
            "plan": PlanStatus(
                hash=report.plan_hash,
                pending=report.pending,
                to=report.checked.to if report.checked else status.plan.to if status.plan else None,
                names=report.pending_names[:PLAN_NAMES_KEPT],
                approved_hash=report.approved_hash,
                prefix_digest=report.prefix_digest,
            ),
            "migrations": report.migrations[-MIGRATIONS_KEPT:],
            "seeds": report.seeds[:MIGRATIONS_KEPT],
        }
    if report.backup is not None and report.backup.verified:
        changes["backup"] = report.backup
    if report.backup_reason in _OF_A_CHANGE:
        changes["declared_backup"] = report.declared_backup
    if report.rehearsal is not None:
        changes["rehearsal"] = report.rehearsal
    # model_copy does not validate: a version of 10,000 characters must be found out here, not by the API server.
    Status.model_validate(status.model_copy(update=changes).model_dump(by_alias=True))
    return changes


def _source(status: Status, report: Report, result: Result) -> SourceStatus | None:
    """What the run was given. Files that moved were refused, and so they do not become it."""
    given = status.source
    if report.source_digest is not None and report.reason is not Reason.SOURCE_MOVED:
        given = SourceStatus(digest=report.source_digest, revision=report.source_revision or result.source_image)
    return given.model_copy(update={"complete": report.complete}) if given is not None else None


def _known_claim(status: Status, identity: str) -> str | None:
    """A run that never got the lock did not read whose the database is, and claims do not vanish."""
    return status.database.claim if status.database is not None and status.database.identity == identity else None


def _backed_up(status: Status, report: Report) -> Proof | None:
    if report.backup is not None and report.backup.verified:
        return _proved(report.backup)
    if report.backup_reason is None:
        return None
    if report.backup_reason == Reason.NOTHING_PENDING:
        # Nothing was changed, so what was said of the last change is still true.
        if status.backup or status.declared_backup:
            return None
        return Proof(False, Reason.NOTHING_PENDING, "no file was pending, so no backup was needed")
    if report.backup_reason == Reason.BACKUP_SKIPPED:
        return Proof(False, Reason.BACKUP_SKIPPED, "spec.backup.policy is Skip: no backup was taken before the last change")
    if report.backup_reason == Reason.BACKUP_DECLARED:
        # Unknown: it is neither proved nor known to be missing.
        return Proof(None, Reason.BACKUP_DECLARED, str(report.declared_backup or "spec.backup.policy is External"))
    return Proof(False, report.backup_reason, report.message)


def _proved(record: BackupRecord) -> Proof:
    restored = ", restored and compared row by row" if record.restored_at else ""
    return Proof(True, Reason.BACKUP_VERIFIED, f"{record.uri}, {record.bytes} bytes, sha256 {record.sha256}{restored}")


def _verified(report: Report) -> Proof | None:
    if report.verify_reason not in _VERIFY_REASONS:
        return None
    if report.verify_reason is Reason.VERIFY_PASSED:
        return Proof(True, report.verify_reason, f"{report.verified_file} passed" if report.verified_file else "")
    if report.verify_reason is Reason.NO_VERIFY_FILE:
        return Proof(False, report.verify_reason, "the newest applied file has no verify-NNN.sql beside it")
    if report.verify_reason is Reason.ROLLED_BACK:
        return Proof(False, report.verify_reason, "the newest change was a rollback, which has no verify script")
    return Proof(False, report.verify_reason, report.message)


def _with_summary(runs: tuple[RunSummary, ...], summary: RunSummary, *, repeats: bool) -> tuple[RunSummary, ...]:
    """Newest first. A night of the same failure before any SQL (`repeats`) is one line, or it would push the history out."""
    if repeats and runs and (runs[0].outcome, runs[0].reason, runs[0].backup_uri) == (summary.outcome, summary.reason, None):
        summary = summary.model_copy(update={"started_at": runs[0].started_at})
        runs = runs[1:]
    return (summary, *runs)[:RUNS_KEPT]


def backup_restored(status: Status, at: datetime, generation: int, now: datetime) -> Status:
    """Status once its backup is known to have been restored. BackedUp may be about a later change, and stays then as it is."""
    if status.backup is None:
        return status
    restored = status.backup.model_copy(update={"restored_at": at})
    conditions, said = status.conditions, find(status.conditions, ConditionType.BACKED_UP)
    if said is not None and said.message == _proved(status.backup).message:
        conditions = set_proof(conditions, ConditionType.BACKED_UP, _proved(restored), generation=generation, now=now)
    return status.model_copy(update={"backup": restored, "conditions": conditions})


def source_given(status: Status, observed: Observed, source: KnownSource) -> Status:
    """When a run starts: files that its pod fetches are not known yet, unless it is another attempt at the same."""
    if isinstance(source, FoundSource):
        return status.model_copy(update={"source": SourceStatus(digest=source.digest)})
    known = observed.spec is not None and files_digest(observed, observed.spec) is not None
    return status if known else status.model_copy(update={"source": None})


def database_forgotten(status: Status, replaced: ReplacedStatus) -> Status:
    """Status after a swap: what was true of the database that is now called otherwise is not said of the new one.

    The run loses its key, so that no result of the old database answers for the new one, here or for a database that comes after it
    (spec.promotion); what the retry annotation said, and which approvals are spent, stays known.
    """
    gone = ("version", "applied", "pending", "skipped", "source", "database", "plan", "progress", "drift", "rehearsal")
    run = status.run.model_copy(update={"key": ""}) if status.run else None
    conditions = tuple(c for c in status.conditions if c.type not in (ConditionType.VERIFIED, ConditionType.SCHEMA_IN_SYNC))
    changes: dict[str, Any] = {"replaced": replaced, "run": run, "migrations": (), "seeds": (), "conditions": conditions}
    return status.model_copy(update=dict.fromkeys(gone) | changes)
