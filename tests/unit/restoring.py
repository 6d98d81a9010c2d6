"""Short ways to say what the operator sees of a DatabaseRestore: its migration, its Jobs, a report."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Database, Failure, Outcome
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_report import RestoredDatabase, RestoreReport, SwappedDatabase
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.status import DatabaseStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.observed import JobSeen, PodSeen, PodState
from dbmigration.decide.restoring.observed import MigrationSeen, RestoreObserved, StepJob
from dbmigration.decide.restoring.start import step_key
from tests.unit.observing import BACKUP, NOW, RUNNER, SPEC
from tests.unit.observing import spec as migration_spec

RESTORE, SWAP = RestoreStep.RESTORE, RestoreStep.SWAP
SUSPENDED = migration_spec(suspend=True)


def restore_spec(**changes: Any) -> RestoreSpec:
    base: dict[str, Any] = {"migrationRef": {"name": "studio"}, "backup": {"latest": True}, "into": "studio_restored"}
    return RestoreSpec.model_validate(base | changes)


WANTED = restore_spec()
WITH_SWAP = restore_spec(swap=True)
RESTORED = RestoredDatabase(
    name="studio_restored",
    identity="7/20000",
    tables=3,
    rows=1000,
    sequences=1,
    large_objects=0,
    objects=12,
    restore_seconds=1.5,
    compare_seconds=0.5,
    completed_at=NOW,
)
SWAPPED = SwappedDatabase(name="studio", old_database="studio_before_20261123T120000Z", completed_at=NOW, set_aside=("002_tidy.sql",))


def migration(**changes: Any) -> MigrationSeen:
    """A DatabaseMigration with a backup, at rest."""
    return replace(MigrationSeen("studio", "uid-m", SPEC, Status(backup=BACKUP)), **changes)


def chosen(**changes: Any) -> RestoreStatus:
    """The backup has been looked up."""
    return RestoreStatus(backup_uri=BACKUP.uri, backup=BACKUP).model_copy(update=changes)


def restored(**changes: Any) -> RestoreStatus:
    """The restore is done."""
    done = run(finished_at=NOW, outcome=Outcome.SUCCEEDED, reason=Reason.RESTORED)
    live = DatabaseStatus(identity="7/16384", name="studio", server_version="15.18")
    return chosen(restored=RESTORED, database=live, run=done).model_copy(update=changes)


def observed(**changes: Any) -> RestoreObserved:
    """A DatabaseRestore of the latest backup that was just made."""
    base = RestoreObserved(
        namespace="studio",
        name="back",
        uid="uid-r",
        generation=1,
        retry=None,
        spec=WANTED,
        spec_error=None,
        status=RestoreStatus(),
        migration=migration(),
        jobs=(),
        runner=RUNNER,
    )
    return replace(base, **changes)


def run(step: RestoreStep = RESTORE, *, of: RestoreSpec = WANTED, **changes: Any) -> RestoreRunStatus:
    """An attempt that is under way in Job `job-1`."""
    base = RestoreRunStatus(step=step, key=step_key(of, step, None), job_name="job-1", started_at=NOW - timedelta(minutes=1))
    return base.model_copy(update=changes)


def failed(reason: Reason, step: RestoreStep = RESTORE, **changes: Any) -> RestoreRunStatus:
    given: dict[str, Any] = {"finished_at": NOW, "outcome": Outcome.FAILED, "reason": reason, "message": "it failed", "failures": 1}
    return run(step, **(given | changes))


def job(step: RestoreStep = RESTORE, *, report: RestoreReport | None = None, **changes: Any) -> StepJob:
    """The Job of `run()`, its pod running."""
    key = step_key(WANTED, step, None)
    base = JobSeen("job-1", key, "", keys.pod_hash(SPEC, key, RUNNER), 1, None, NOW - timedelta(minutes=1), pod=PodSeen(PodState.RUNNING))
    return StepJob(step, replace(base, **changes), report)


def ended(step: RestoreStep = RESTORE, report: RestoreReport | None = None, **changes: Any) -> StepJob:
    """The Job of `run()` after its runner ended."""
    code = 0 if report is not None and report.outcome is Outcome.SUCCEEDED else 1
    return job(step, report=report, **({"pod": PodSeen(PodState.TERMINATED, exit_code=code)} | changes))


def report(**changes: Any) -> RestoreReport:
    """The backup was restored."""
    base = RestoreReport(
        run_id="job-1",
        outcome=Outcome.SUCCEEDED,
        reason=Reason.RESTORED,
        message="done",
        started_at=NOW,
        finished_at=NOW,
        database=Database(identity="7/16384", name="studio", server_version="15.18"),
        backup=BACKUP,
        restored=RESTORED,
    )
    return base.model_copy(update=changes)


def failure(reason: Reason, *, transient: bool) -> RestoreReport:
    told = Failure(reason=reason, message="it failed", transient=transient)
    return report(outcome=Outcome.FAILED, reason=reason, message="it failed", failure=told, restored=None)


S3 = migration_spec(backup={"destination": {"s3": {"bucket": "own", "prefix": "prod", "secretRef": {"name": "keys"}}}})
