"""What is observed, which rule of decide/ decides then, and what Ready says: a row each."""

from dataclasses import replace
from datetime import timedelta

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.status import PlanStatus
from dbmigration.decide import keys
from dbmigration.decide.observed import Blocked, InvalidSource, Limits, Line, Place, PodSeen, PodState, RestoreJob, RestoreTest
from dbmigration.decide.rules import decide
from tests.unit.deciding import (
    BACK,
    MISSING,
    MORE_MEMORY,
    NEITHER,
    OTHER_TARGET,
    RECONCILING,
    REHEARSED,
    SHORT,
    STALLED,
    SUSPENDED,
    SWAPPED,
    UNSCHEDULABLE,
    status,
)
from tests.unit.observing import BACKUP, NOW, ended, failed, failure_report, files, job, key_of, report, run, seen, spec, succeeded, waiting

CLOSED = spec(window={"schedule": "0 2 * * 6", "duration": "4h"})
LATER = spec(promotion={"after": {"name": "studio", "namespace": "staging"}})
ASKED = spec(approval={"required": True})
CLOUD_ADMIN = spec(job={"serviceAccountName": "cloud-admin"})
WAITING_POD = PodSeen(PodState.WAITING)
UNDER_WAY = decide(seen(status=status(run()), jobs=(job(),)), NOW).status
FULL = Line(Limits(runs=1), under_way=(Place("other/other", None, NOW),))

TABLE = [
    # A result comes before everything else.
    ("success", seen(status=status(run()), jobs=(ended(report()),)), "run_finished", ("True", "UpToDate", NEITHER)),
    (
        "success while suspended",
        seen(spec=SUSPENDED, status=status(run()), jobs=(ended(report()),)),
        "run_finished",
        ("True", "UpToDate", NEITHER),
    ),
    (
        "success and the source is gone",
        seen(source=MISSING, status=status(run()), jobs=(ended(report()),)),
        "run_finished",
        ("True", "UpToDate", NEITHER),
    ),
    ("success before status said Running", seen(jobs=(ended(report()),)), "run_finished", ("True", "UpToDate", NEITHER)),
    (
        "sql error",
        seen(status=status(run()), jobs=(ended(failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True)),)),
        "run_finished",
        ("False", "SqlFailed", STALLED),
    ),
    (
        "edited file",
        seen(status=status(run()), jobs=(ended(failure_report(Reason.CHECKSUM_MISMATCH, transient=False)),)),
        "run_finished",
        ("False", "ChecksumMismatch", STALLED),
    ),
    (
        "secret missing",
        seen(status=status(run()), jobs=(ended(failure_report(Reason.SECRET_MISSING, transient=True)),)),
        "run_finished",
        ("False", "SecretMissing", RECONCILING),
    ),
    (
        "last counted attempt",
        seen(
            status=status(run(counted=4, failures=4)),
            jobs=(ended(failure_report(Reason.LOCK_TIMEOUT, transient=True, executed_sql=True)),),
        ),
        "run_finished",
        ("False", "RetryLimitReached", STALLED),
    ),
    (
        "pod deleted",
        seen(status=status(run()), jobs=(job(failed="BackoffLimitExceeded", pod=PodSeen(PodState.ABSENT)),)),
        "run_finished",
        ("False", "RunnerLost", RECONCILING),
    ),
    # What a look found is stored, whatever the run does.
    (
        "look over, run under way",
        seen(status=UNDER_WAY, jobs=(job(),), looks=(ended(report(), name="look-1", look=True),)),
        "look_finished",
        ("False", "Running", RECONCILING),
    ),
    # A pod that cannot start is replaced when what it waits for has changed.
    (
        "unstarted, target changed",
        seen(spec=OTHER_TARGET, status=status(run()), jobs=(job(pod=UNSCHEDULABLE),)),
        "run_unstarted_outdated",
        None,
    ),
    (
        "unstarted, memory changed",
        seen(spec=MORE_MEMORY, status=status(run()), jobs=(job(pod=UNSCHEDULABLE),)),
        "run_unstarted_outdated",
        None,
    ),
    ("unstarted, suspended", seen(spec=SUSPENDED, status=status(run()), jobs=(job(pod=WAITING_POD),)), "run_unstarted_outdated", None),
    (
        "unstarted, nothing changed",
        seen(status=status(run()), jobs=(job(pod=WAITING_POD),)),
        "run_active",
        ("False", "Running", RECONCILING),
    ),
    (
        "got its node a moment ago, target changed",
        seen(
            spec=OTHER_TARGET,
            status=status(run()),
            jobs=(job(pod=PodSeen(PodState.WAITING, scheduled_at=NOW - timedelta(seconds=3))),),
        ),
        "run_active",
        ("False", "Running", RECONCILING),
    ),
    (
        "got its node long ago, target changed",
        seen(
            spec=OTHER_TARGET,
            status=status(run()),
            jobs=(job(pod=PodSeen(PodState.WAITING, scheduled_at=NOW - timedelta(seconds=10))),),
        ),
        "run_unstarted_outdated",
        None,
    ),
    (
        "got its node a moment ago and is stuck, target changed",
        seen(
            spec=OTHER_TARGET,
            status=status(run()),
            jobs=(
                job(
                    pod=PodSeen(
                        PodState.WAITING,
                        blocked=Blocked(Reason.IMAGE_PULL_FAILED, "ErrImagePull"),
                        scheduled_at=NOW - timedelta(seconds=3),
                    )
                ),
            ),
        ),
        "run_unstarted_outdated",
        None,
    ),
    # A running Job comes before whatever the spec says now.
    ("running", seen(status=status(run()), jobs=(job(),)), "run_active", ("False", "Running", RECONCILING)),
    ("running, found after a restart", seen(jobs=(job(),)), "run_active", ("False", "Running", RECONCILING)),
    (
        "running, spec changed",
        seen(spec=OTHER_TARGET, generation=2, status=status(run()), jobs=(job(),)),
        "run_active",
        ("False", "Running", RECONCILING),
    ),
    ("running, suspended", seen(spec=SUSPENDED, status=status(run()), jobs=(job(),)), "run_active", ("False", "Running", RECONCILING)),
    ("running, source gone", seen(source=MISSING, status=status(run()), jobs=(job(),)), "run_active", ("False", "Running", RECONCILING)),
    ("unschedulable", seen(status=status(run()), jobs=(job(pod=UNSCHEDULABLE),)), "run_active", ("False", "Unschedulable", RECONCILING)),
    (
        "image pull",
        seen(status=status(run()), jobs=(job(pod=PodSeen(PodState.WAITING, blocked=Blocked(Reason.IMAGE_PULL_FAILED, "not found"))),)),
        "run_active",
        ("False", "ImagePullFailed", RECONCILING),
    ),
    (
        "no pod is admitted",
        seen(status=status(run()), jobs=(job(pod=PodSeen(PodState.ABSENT, blocked=Blocked(Reason.ADMISSION_DENIED, "quota"))),)),
        "run_active",
        ("False", "AdmissionDenied", RECONCILING),
    ),
    ("job gone before its result", seen(status=status(run())), "run_vanished", ("False", "RunnerLost", RECONCILING)),
    # The same question has its answer.
    ("settled", seen(status=status(succeeded())), "settled", ("True", "UpToDate", NEITHER)),
    (
        "settled, job still there",
        seen(status=status(succeeded()), jobs=(ended(report(), complete=True),)),
        "settled",
        ("True", "UpToDate", NEITHER),
    ),
    ("settled, suspended", seen(spec=SUSPENDED, generation=2, status=status(succeeded())), "settled", ("True", "UpToDate", NEITHER)),
    ("settled, memory changed", seen(spec=MORE_MEMORY, generation=2, status=status(succeeded())), "settled", ("True", "UpToDate", NEITHER)),
    ("failed for good", seen(status=status(failed())), "settled", ("False", "SqlFailed", STALLED)),
    ("failed for good, suspended", seen(spec=SUSPENDED, status=status(failed())), "settled", ("False", "SqlFailed", STALLED)),
    (
        "budget exhausted",
        seen(status=status(failed(Reason.RETRY_LIMIT_REACHED, counted=5))),
        "settled",
        ("False", "RetryLimitReached", STALLED),
    ),
    # What stands in the way of a run.
    (
        "spec invalid",
        seen(spec=None, spec_error="spec.target: no", source=InvalidSource("")),
        "spec_invalid",
        ("False", "SpecInvalid", STALLED),
    ),
    ("service account not allowed", seen(spec=CLOUD_ADMIN), "spec_not_allowed", ("False", "NotAllowed", STALLED)),
    (
        "not allowed any more, applied before",
        seen(spec=CLOUD_ADMIN, status=status(succeeded())),
        "spec_not_allowed",
        ("False", "NotAllowed", STALLED),
    ),
    (
        "not allowed any more, a run under way",
        seen(spec=CLOUD_ADMIN, status=status(run()), jobs=(ended(report()),)),
        "run_finished",
        ("True", "UpToDate", NEITHER),
    ),
    ("suspended, never run", seen(spec=SUSPENDED), "suspended", ("False", "Suspended", NEITHER)),
    ("suspended, source missing", seen(spec=SUSPENDED, source=MISSING), "suspended", ("False", "Suspended", NEITHER)),
    (
        "suspended, new file",
        seen(spec=SUSPENDED, source=files("new"), status=status(succeeded())),
        "suspended",
        ("False", "Suspended", NEITHER),
    ),
    ("suspended between attempts", seen(spec=SUSPENDED, status=status(waiting())), "suspended", ("False", "Suspended", NEITHER)),
    ("source missing", seen(source=MISSING), "source_missing", ("False", "SourceMissing", RECONCILING)),
    (
        "source missing after success",
        seen(source=MISSING, status=status(succeeded())),
        "source_missing",
        ("False", "SourceMissing", RECONCILING),
    ),
    ("source invalid", seen(source=InvalidSource("001 twice")), "source_invalid", ("False", "SourceInvalid", STALLED)),
    (
        "prepared, staging has not seen it",
        seen(spec=LATER, status=status(failed(Reason.PREPARED, outcome=Outcome.SUCCEEDED, spec_hash=keys.spec_hash(LATER)))),
        "promotion_pending",
        ("False", "PromotionPending", NEITHER),
    ),
    (
        "prepared, nobody has approved it",
        seen(spec=ASKED, status=status(failed(Reason.PREPARED, outcome=Outcome.SUCCEEDED, spec_hash=keys.spec_hash(ASKED)))),
        "approval_pending",
        ("False", "ApprovalPending", NEITHER),
    ),
    (
        "prepared, the window is closed",
        seen(spec=CLOSED, status=status(failed(Reason.PREPARED, outcome=Outcome.SUCCEEDED, spec_hash=keys.spec_hash(CLOSED)))),
        "window_closed",
        ("False", "WindowClosed", NEITHER),
    ),
    (
        "prepared, rehearsed, and what is left of the window is too short",
        seen(
            spec=SHORT,
            status=status(
                failed(Reason.PREPARED, outcome=Outcome.SUCCEEDED, spec_hash=keys.spec_hash(SHORT)),
                rehearsal=REHEARSED,
                plan=PlanStatus(hash=REHEARSED.plan_hash, pending=1, names=("005_x.sql",)),
            ),
        ),
        "window_too_short",
        ("False", "WindowClosed", NEITHER),
    ),
    ("retry is not due", seen(status=status(waiting())), "retry_not_due", ("False", "DatabaseUnavailable", RECONCILING)),
    # Nothing does.
    ("enough others run", seen(line=FULL), "queued", ("False", "Queued", RECONCILING)),
    ("retry is due, enough others run", seen(line=FULL, status=status(waiting(seconds=0))), "queued", ("False", "Queued", RECONCILING)),
    ("success, enough others run", seen(line=FULL, status=status(succeeded())), "settled", ("True", "UpToDate", NEITHER)),
    ("never run", seen(), "run_due", ("False", "Running", RECONCILING)),
    ("retry is due", seen(status=status(waiting(seconds=0))), "run_due", ("False", "Running", RECONCILING)),
    ("retry is not due, new file", seen(source=files("new"), status=status(waiting())), "run_due", ("False", "Running", RECONCILING)),
    (
        "retry is not due, new limit",
        seen(spec=spec(retry={"limit": 9}), status=status(waiting())),
        "run_due",
        ("False", "Running", RECONCILING),
    ),
    ("new file after success", seen(source=files("new"), status=status(succeeded())), "run_due", ("False", "Running", RECONCILING)),
    ("mended file after failure", seen(source=files("new"), status=status(failed())), "run_due", ("False", "Running", RECONCILING)),
    ("rollback asked for", seen(spec=BACK, status=status(succeeded())), "run_due", ("False", "Running", RECONCILING)),
    ("rollback taken out again", seen(status=status(succeeded(key=key_of(BACK)))), "run_due", ("False", "Running", RECONCILING)),
    ("target changed after success", seen(spec=OTHER_TARGET, status=status(succeeded())), "run_due", ("False", "Running", RECONCILING)),
    ("job knobs changed after failure", seen(spec=MORE_MEMORY, status=status(failed())), "run_due", ("False", "Running", RECONCILING)),
    ("retry annotation after failure", seen(retry="1", status=status(failed())), "run_due", ("False", "Running", RECONCILING)),
    (
        "retry annotation after the budget",
        seen(retry="1", status=status(failed(Reason.RETRY_LIMIT_REACHED, counted=5))),
        "run_due",
        ("False", "Running", RECONCILING),
    ),
]


AT_WORK = RestoreJob("back-restore-1", "back", "restore", NOW, over=False)
TESTED = RestoreJob("back-restore-1", "back", "restore", NOW, over=True, tested=RestoreTest(BACKUP.uri, BACKUP.sha256, NOW))
TABLE += [
    ("a restore is at work", seen(restores=(AT_WORK,)), "restore_active", ("False", "RestoreRunning", RECONCILING)),
    ("a restore is over", seen(restores=(replace(AT_WORK, over=True),)), "run_due", ("False", "Running", RECONCILING)),
    (
        "a restore is at work and nothing is to do",
        seen(status=status(succeeded()), restores=(AT_WORK,)),
        "settled",
        ("True", "UpToDate", NEITHER),
    ),
    ("the backup was restored", seen(status=status(succeeded(), backup=BACKUP), restores=(TESTED,)), "backup_tested", None),
    (
        "another backup was restored",
        seen(status=status(succeeded(), backup=BACKUP.model_copy(update={"sha256": "cd" * 32})), restores=(TESTED,)),
        "settled",
        ("True", "UpToDate", NEITHER),
    ),
    (
        "the backup was known to be restored",
        seen(status=status(succeeded(), backup=BACKUP.model_copy(update={"restored_at": NOW})), restores=(TESTED,)),
        "settled",
        ("True", "UpToDate", NEITHER),
    ),
    ("the database was replaced", seen(status=status(succeeded()), restores=(SWAPPED,)), "database_replaced", None),
]
