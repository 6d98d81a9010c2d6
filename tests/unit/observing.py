"""Short ways to say what the operator sees: a resource, its files, its Jobs, a report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dbmigration.api.backup_record import BackupRecord, DeclaredBackup
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Database, Failure, MigrationReport, Outcome, Report
from dbmigration.api.spec import Spec
from dbmigration.api.states import State
from dbmigration.api.status import RunStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.observed import AllowLists, FoundSource, JobSeen, Observed, PodSeen, PodState, Runner, Source

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = "sha256:aaaa"
RUNNER = Runner("image:1", "IfNotPresent", allowed=AllowLists(service_accounts=("runner",)))


def spec(**changes: Any) -> Spec:
    """A valid spec as JSON would give it, top-level fields replaced."""
    base: dict[str, Any] = {
        "database": {"secretRef": {"name": "db"}},
        "source": {"configMaps": [{"name": "files"}]},
        "environment": "production",
        "backup": {"destination": {"persistentVolumeClaim": {"claimName": "backups"}}},
    }
    return Spec.model_validate(base | changes)


SPEC = spec()


def seen(**changes: Any) -> Observed:
    """A new resource whose files are there and which has never run."""
    base = Observed(
        namespace="studio",
        name="studio",
        uid="uid-1",
        generation=1,
        retry=None,
        spec=SPEC,
        spec_error=None,
        status=Status(),
        source=FoundSource(DIGEST, 4),
        jobs=(),
        runner=RUNNER,
    )
    return replace(base, **changes)


def key_of(given: Spec = SPEC, digest: str = DIGEST, retry: str | None = None) -> str:
    return keys.run_key(given, digest, retry)


def run(**changes: Any) -> RunStatus:
    """A run of SPEC and DIGEST that is under way in Job `job-1`."""
    base = RunStatus(key=key_of(), spec_hash=keys.spec_hash(SPEC), job_name="job-1", started_at=NOW - timedelta(minutes=1))
    return base.model_copy(update=changes)


def succeeded(**changes: Any) -> RunStatus:
    return run(finished_at=NOW, outcome=Outcome.SUCCEEDED, reason=Reason.UP_TO_DATE, message="version 004", **changes)


def failed(reason: Reason = Reason.SQL_FAILED, **changes: Any) -> RunStatus:
    given = {"finished_at": NOW, "outcome": Outcome.FAILED, "reason": reason, "message": "it failed", "failures": 1}
    return run(**(given | changes))


def waiting(seconds: float = 60, **changes: Any) -> RunStatus:
    """A transient failure whose next attempt is `seconds` away."""
    return failed(Reason.DATABASE_UNAVAILABLE, next_retry_at=NOW + timedelta(seconds=seconds), **changes)


def job(**changes: Any) -> JobSeen:
    """The Job of `run()`, its pod running."""
    base = JobSeen(
        name="job-1",
        run_key=key_of(),
        spec_hash=keys.spec_hash(SPEC),
        pod_hash=keys.pod_hash(SPEC, key_of(), RUNNER),
        attempt=1,
        retry_value=None,
        created_at=NOW - timedelta(minutes=1),
        pod=PodSeen(PodState.RUNNING),
    )
    return replace(base, **changes)


def ended(report: Report | None = None, **changes: Any) -> JobSeen:
    """The Job of `run()` after its runner ended."""
    code = 0 if report is not None and report.outcome is Outcome.SUCCEEDED else 1
    given = {"pod": PodSeen(PodState.TERMINATED, exit_code=code, exit_reason="Error" if code else "Completed"), "report": report}
    return job(**(given | changes))


BACKUP = BackupRecord(
    uri="pvc://backups/studio/1.dump",
    bytes=1234,
    sha256="ab" * 32,
    server_version="15.18",
    dump_version="15.18",
    database="studio",
    started_at=NOW,
    completed_at=NOW,
    verified=True,
)

DECLARED = DeclaredBackup(provider="pgBackRest, stanza studio", recovery_point="5m", lsn="0/16B3748", at=NOW)


def report(**changes: Any) -> Report:
    """001-004 applied after a backup, verified."""
    base = Report(
        run_id="job-1",
        outcome=Outcome.SUCCEEDED,
        reason=Reason.UP_TO_DATE,
        message="applied 4 files; version 004",
        executed_sql=True,
        started_at=NOW,
        finished_at=NOW,
        database=Database(identity="7/16384", name="studio", server_version="15.18"),
        plan_hash="sha256:plan",
        environment="production",
        version="004",
        applied=4,
        applied_now=("001_a.sql", "002_b.sql", "003_c.sql", "004_d.sql"),
        backup=BACKUP,
        backup_reason=Reason.BACKUP_VERIFIED,
        verified_file="004_d.sql",
        verify_reason=Reason.VERIFY_PASSED,
        migrations=tuple(MigrationReport(name=name, state=State.APPLIED) for name in ("001_a.sql", "002_b.sql", "003_c.sql", "004_d.sql")),
    )
    return base.model_copy(update=changes)


def failure_report(reason: Reason, *, transient: bool, executed_sql: bool = False, **changes: Any) -> Report:
    given: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "reason": reason,
        "message": "it failed",
        "executed_sql": executed_sql,
        "failure": Failure(reason=reason, message="it failed", transient=transient),
        "applied_now": (),
        "backup": None,
        "backup_reason": None,
        "verified_file": None,
        "verify_reason": None,
    }
    return report(**(given | changes))


def files(digest: str) -> Source:
    return FoundSource(digest, 4)
