"""The rules of decide/, one row each and more, as promises: what is observed, which rule decides, what Ready then says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, RehearsalReport, RehearsedFile
from dbmigration.api.spec import Spec
from dbmigration.api.status import PlanStatus, ProgressStatus, RunStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.leftovers import JOBS_KEPT
from dbmigration.decide.observed import (
    Blocked,
    InvalidSource,
    JobSeen,
    Limits,
    Line,
    MissingSource,
    Observed,
    Place,
    PodSeen,
    PodState,
    Progress,
    RestoreJob,
    RestoreTest,
)
from dbmigration.decide.progress import summary_of
from dbmigration.decide.rules import RULES, decide, start_refused
from tests.unit.observing import (
    BACKUP,
    DECLARED,
    DIGEST,
    NOW,
    RUNNER,
    SPEC,
    ended,
    failed,
    failure_report,
    files,
    job,
    key_of,
    report,
    run,
    seen,
    spec,
    succeeded,
    waiting,
)

SUSPENDED = spec(suspend=True)
OTHER_TARGET = spec(target="003")
BACK = spec(rollback={"to": "003"})
CLOSED = spec(window={"schedule": "0 2 * * 6", "duration": "4h"})
SHORT = spec(window={"schedule": "0 11 * * *", "duration": "2h"}, rehearsal={})
REHEARSED = RehearsalReport(
    passed=True,
    plan_hash="sha256:plan",
    started_at=NOW,
    completed_at=NOW,
    duration_ms=3_000_000,
    files=(RehearsedFile(name="005_x.sql", statements=1, duration_ms=3_000_000),),
)
LATER = spec(promotion={"after": {"name": "studio", "namespace": "staging"}})
ASKED = spec(approval={"required": True})
MORE_MEMORY = spec(job={"resources": {"limits": {"memory": "1Gi"}}})
CLOUD_ADMIN = spec(job={"serviceAccountName": "cloud-admin"})
MISSING = MissingSource("files is missing")
UNSCHEDULABLE = PodSeen(PodState.WAITING, blocked=Blocked(Reason.UNSCHEDULABLE, "0/1 nodes are available"))
WAITING_POD = PodSeen(PodState.WAITING)


def status(the_run: RunStatus | None, **changes: object) -> Status:
    return Status(run=the_run).model_copy(update=changes)


def ready(decision: Decision) -> tuple[str, str, str]:
    """Status and reason of Ready, and which of Reconciling and Stalled is there."""
    conditions = decision.status.conditions
    found = find(conditions, ConditionType.READY)
    assert found is not None
    work = [c.type for c in conditions if c.type in (ConditionType.RECONCILING, ConditionType.STALLED)]
    return found.status, found.reason, "".join(work)


UNDER_WAY = decide(seen(status=status(run()), jobs=(job(),)), NOW).status
FULL = Line(Limits(runs=1), under_way=(Place("other/other", None, NOW),))
RECONCILING, STALLED, NEITHER = "Reconciling", "Stalled", ""

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
SWAPPED = RestoreJob("back-swap-1", "back", "swap", NOW, over=True, swapped=True)
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


@pytest.mark.parametrize(("observed", "rule", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_rule_and_reason(observed: Observed, rule: str, says: tuple[str, str, str] | None) -> None:
    decision = decide(observed, NOW)
    assert decision.rule == rule
    if says is not None:
        assert ready(decision) == says
        assert decision.status.observed_generation == observed.generation


def test_every_rule_has_a_row() -> None:
    assert {row[2] for row in TABLE} | {"being_deleted"} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("observed", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_only_run_due_starts_a_run(observed: Observed) -> None:
    decision = decide(observed, NOW)
    assert (decision.start is not None) == (decision.rule == "run_due")


@pytest.mark.parametrize("observed", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_deciding_again_on_the_same_facts_changes_nothing(observed: Observed) -> None:
    """An idle operator writes nothing: what was decided is stable once it is written, and is announced once."""
    first = decide(observed, NOW)
    if first.start is not None or first.rule in (
        "run_finished",
        "run_unstarted_outdated",
        "run_vanished",
        "database_replaced",
        "backup_tested",
    ):
        return
    again = decide(Observed(**{f: getattr(observed, f) for f in Observed.__slots__} | {"status": first.status}), NOW + timedelta(seconds=5))
    assert again.status == first.status
    assert again.announcements == ()


def test_a_resource_that_is_being_deleted_is_left_alone() -> None:
    decision = decide(seen(deleting=True, jobs=(job(),)), NOW)
    assert decision == Decision("being_deleted", Status())


def started(observed: Observed) -> Decision:
    decision = decide(observed, NOW)
    assert decision.start is not None
    assert decision.status.run is not None
    assert decision.status.run.job_name == decision.start.job_name
    return decision


def test_attempts_of_one_key_are_counted_on_and_a_new_key_begins_at_one() -> None:
    retried = started(seen(status=status(waiting(seconds=0, attempt=3, failures=3, counted=2))))
    assert retried.status.run
    assert (retried.status.run.attempt, retried.status.run.failures, retried.status.run.counted) == (4, 3, 2)
    renewed = started(seen(source=files("new"), status=status(waiting(seconds=0, attempt=3, failures=3, counted=2))))
    assert renewed.status.run
    assert (renewed.status.run.attempt, renewed.status.run.failures, renewed.status.run.counted) == (1, 0, 0)


def test_a_job_that_was_replaced_before_it_started_was_no_attempt() -> None:
    replaced = decide(seen(spec=MORE_MEMORY, status=status(run()), jobs=(job(pod=UNSCHEDULABLE),)), NOW)
    assert replaced.remove_jobs == ("job-1",)
    again = started(seen(spec=MORE_MEMORY, status=replaced.status))
    assert again.status.run
    assert (again.status.run.attempt, again.status.run.failures, again.status.run.counted) == (1, 0, 0)
    assert again.status.run.job_name != "job-1"


def test_retry_limit_raised_after_the_budget_gives_a_new_budget() -> None:
    spent = failed(Reason.RETRY_LIMIT_REACHED, counted=5, failures=5, attempt=5)
    decision = started(seen(spec=spec(retry={"limit": 9}), status=status(spent)))
    assert decision.status.run
    assert (decision.status.run.attempt, decision.status.run.counted) == (6, 0)


def test_what_fails_before_sql_is_retried_for_ever_and_at_most_five_minutes_apart() -> None:
    pauses = []
    the_run = run()
    for _ in range(12):
        observed = seen(status=status(the_run), jobs=(ended(failure_report(Reason.DATABASE_UNAVAILABLE, transient=True)),))
        after = decide(observed, NOW).status.run
        assert after
        assert after.next_retry_at
        assert after.counted == 0
        pauses.append((after.next_retry_at - NOW).total_seconds())
        the_run = run(failures=after.failures, counted=after.counted)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300, 300]


@pytest.mark.parametrize(
    ("the_job", "reason", "counted"),
    [
        (ended(failure_report(Reason.LOCK_TIMEOUT, transient=True, executed_sql=True)), Reason.LOCK_TIMEOUT, 1),
        (ended(failure_report(Reason.LOCK_HELD, transient=True)), Reason.LOCK_HELD, 0),
        (ended(report(outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED)), Reason.INTERRUPTED, 0),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=137, exit_reason="OOMKilled")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=1, exit_reason="Error")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=0, exit_reason="Completed")), Reason.RUNNER_LOST, 1),
        (ended(None, pod=PodSeen(PodState.TERMINATED, exit_code=137, disrupted=True)), Reason.RUNNER_LOST, 0),
        (job(failed="BackoffLimitExceeded", pod=PodSeen(PodState.ABSENT)), Reason.RUNNER_LOST, 0),
        (job(failed="DeadlineExceeded", pod=PodSeen(PodState.ABSENT)), Reason.DEADLINE_EXCEEDED, 1),
        (
            ended(report(outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED, executed_sql=False), failed="DeadlineExceeded"),
            Reason.DEADLINE_EXCEEDED,
            0,
        ),
    ],
)
def test_only_attempts_that_may_have_executed_sql_by_their_own_doing_count(the_job: JobSeen, reason: Reason, counted: int) -> None:
    after = decide(seen(status=status(run()), jobs=(the_job,)), NOW).status.run
    assert after
    assert after.next_retry_at
    assert (after.reason, after.counted) == (reason, counted)


@pytest.mark.parametrize("reason", [Reason.SECRET_MISSING, Reason.SECRET_INVALID, Reason.AUTHENTICATION_FAILED])
def test_trouble_with_the_secret_names_it(reason: Reason) -> None:
    after = decide(seen(status=status(run()), jobs=(ended(failure_report(reason, transient=True)),)), NOW).status
    assert "Secret db" in after.conditions[0].message


@pytest.mark.parametrize(
    "said", ["absent", "absent; nothing of 005_a.sql took effect", "005_a.sql:17: absent", "005_a.sql:17: absent, 42703"]
)
def test_failure_names_file_line_and_sqlstate_once(said: str) -> None:
    told = failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True)
    assert told.failure
    failure = told.failure.model_copy(update={"file": "005_a.sql", "line": 17, "sqlstate": "42703", "message": said})
    told = told.model_copy(update={"failure": failure, "message": said})
    after = decide(seen(status=status(run()), jobs=(ended(told),)), NOW).status
    message = after.conditions[0].message
    assert message.startswith("005_a.sql:17: absent")
    assert (message.count("005_a.sql:17"), message.count("42703")) == (1, 1)
    assert after.run
    assert (after.run.file, after.run.line, after.run.sqlstate) == ("005_a.sql", 17, "42703")


def test_report_is_believed_before_the_jobs_condition() -> None:
    """job-failed-once-then-succeeded: a sidecar's exit status fails the Job, the runner's report says success."""
    decision = decide(seen(status=status(run()), jobs=(ended(report(), failed="BackoffLimitExceeded"),)), NOW)
    assert ready(decision) == ("True", "UpToDate", NEITHER)


def test_success_is_recorded_with_everything_the_report_proves() -> None:
    after = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW).status
    assert (after.version, after.applied, after.pending, after.skipped) == ("004", 4, 0, 0)
    assert after.backup
    assert after.backup.sha256 == "ab" * 32
    assert after.database
    assert after.database.identity == "7/16384"
    assert [m.name for m in after.migrations] == ["001_a.sql", "002_b.sql", "003_c.sql", "004_d.sql"]
    assert [(r.outcome, r.from_, r.to) for r in after.runs] == [("Succeeded", None, "004")]
    assert {c.type: (c.status, c.reason) for c in after.conditions} == {
        "Ready": ("True", "UpToDate"),
        "BackedUp": ("True", "BackupVerified"),
        "Verified": ("True", "VerifyPassed"),
    }


def test_failure_before_the_database_was_seen_keeps_what_was_known() -> None:
    known = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW).status
    blind = failure_report(Reason.SECRET_MISSING, transient=True, database=None, plan_hash=None, version=None, applied=0, migrations=())
    after = decide(seen(source=files("b"), status=known.model_copy(update={"run": run()}), jobs=(ended(blind),)), NOW).status
    assert (after.version, after.applied, len(after.migrations)) == ("004", 4, 4)
    assert after.backup
    assert find(after.conditions, "BackedUp")


@pytest.mark.parametrize(
    ("reported", "before", "says"),
    [
        ({"backup": None, "backup_reason": Reason.BACKUP_SKIPPED}, Status(), ("False", "BackupSkipped")),
        ({"backup": None, "backup_reason": Reason.NOTHING_PENDING}, Status(), ("False", "NothingPending")),
        ({"backup": None, "backup_reason": Reason.BACKUP_FAILED}, Status(), ("False", "BackupFailed")),
        ({"backup": None, "backup_reason": Reason.BACKUP_DECLARED, "declared_backup": DECLARED}, Status(), ("Unknown", "BackupDeclared")),
        ({"backup": None, "backup_reason": Reason.BACKUP_DECLARED}, Status(), ("Unknown", "BackupDeclared")),
    ],
)
def test_no_backup_always_has_an_explicit_reason(reported: dict[str, object], before: Status, says: tuple[str, str]) -> None:
    """backup-silently-skipped"""
    after = decide(seen(status=before.model_copy(update={"run": run()}), jobs=(ended(report(**reported)),)), NOW).status
    found = find(after.conditions, "BackedUp")
    assert found
    assert (found.status, found.reason) == says


def test_what_is_declared_stays_until_the_next_change_says_otherwise() -> None:
    declared = report(backup=None, backup_reason=Reason.BACKUP_DECLARED, declared_backup=DECLARED)
    first = decide(seen(status=status(run()), jobs=(ended(declared),)), NOW).status
    assert first.declared_backup == DECLARED
    found = find(first.conditions, "BackedUp")
    assert found
    assert "pgBackRest" in found.message
    assert "0/16B3748" in found.message
    nothing = report(backup=None, backup_reason=Reason.NOTHING_PENDING, applied_now=())
    second = decide(seen(status=first.model_copy(update={"run": run()}), jobs=(ended(nothing),)), NOW).status
    assert second.declared_backup == DECLARED
    third = decide(seen(status=second.model_copy(update={"run": run()}), jobs=(ended(report()),)), NOW).status
    assert third.declared_backup is None


def test_what_an_external_backup_is_called_starts_no_run() -> None:
    before, after = (spec(backup={"policy": "External", "external": {"provider": name}}) for name in ("barman", "pgBackRest"))
    assert key_of(before) == key_of(after)
    assert key_of(before) != key_of(spec(backup={"policy": "Skip"}))


def test_nothing_pending_after_a_backed_up_change_keeps_backed_up_true() -> None:
    first = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW).status
    nothing = report(backup=None, backup_reason=Reason.NOTHING_PENDING, applied_now=())
    after = decide(seen(status=first.model_copy(update={"run": run()}), jobs=(ended(nothing),)), NOW).status
    found = find(after.conditions, "BackedUp")
    assert found
    assert (found.status, found.reason) == ("True", "BackupVerified")


def test_progress_is_written_at_most_every_ten_seconds() -> None:
    moving = job(pod=PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=2, total=9, blocked_by="p" * 2000)))
    first = decide(seen(status=status(run()), jobs=(moving,)), NOW).status
    blocked = ProgressStatus(step="apply", file="002_b.sql", done=2, total=9, summary="apply 2/9 blocked", blocked_by="p" * 1024, at=NOW)
    assert first.progress == blocked
    moved = job(pod=PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=3, total=9)))
    soon = decide(seen(status=first, jobs=(moved,)), NOW + timedelta(seconds=9)).status
    assert soon == first
    later = decide(seen(status=first, jobs=(moved,)), NOW + timedelta(seconds=10)).status
    assert later.progress
    assert later.progress.done == 3
    assert later.progress.blocked_by is None
    done = decide(seen(status=later, jobs=(ended(report()),)), NOW + timedelta(seconds=11)).status
    assert done.progress is None


def test_a_run_of_less_than_ten_seconds_writes_no_progress() -> None:
    moving = PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=2, total=9))
    started = status(run())
    assert decide(seen(status=started, jobs=(job(pod=moving, created_at=NOW - timedelta(seconds=9)),)), NOW).status.progress is None
    assert decide(seen(status=started, jobs=(job(pod=moving, created_at=NOW - timedelta(seconds=10)),)), NOW).status.progress is not None


@pytest.mark.parametrize(
    ("progress", "says"),
    [
        (Progress("connect"), "connect"),
        (Progress("backup", done=12_345_678), "backup 12.3 MB"),
        (Progress("apply", file="004_x.sql", done=3, total=7), "apply 3/7"),
        (Progress("apply", file="004_x.sql", done=3, total=7, percent=40), "apply 3/7 40%"),
        (Progress("apply", file="004_x.sql", done=4, total=7, percent=100, finished=True), "apply 4/7"),
        (Progress("apply", file="004_x.sql", done=3, total=7, percent=40, blocked_by="1234 app"), "apply 3/7 blocked"),
        (Progress("x" * 2000, done=2**62, total=2**62, percent=100), f"{'x' * 64} {2**62}/{2**62} 100%"),
    ],
)
def test_a_column_says_where_a_run_is(progress: Progress, says: str) -> None:
    said = summary_of(progress)
    assert said == says
    assert len(said) <= 128


def test_request_says_what_the_spec_says() -> None:
    asked = spec(
        database={
            "secretRef": {"name": "db", "key": "dsn"},
            "tls": {"mode": "verify-ca", "caRef": {"configMap": {"name": "ca", "key": "root.pem"}}},
        },
        target="003",
        history={"schema": "platform", "table": "schema_migrations"},
        execution={"lockTimeout": "500ms", "statementTimeout": "1h30m", "lockRetries": 3, "outOfOrder": True},
        backup={"policy": "Skip"},
    )
    decision = started(seen(spec=asked))
    assert decision.start
    request = decision.start.request
    assert (request.run_id, request.attempt, request.source_digest) == (decision.start.job_name, 1, DIGEST)
    assert (request.secret_keys.uri, request.tls_mode, request.ca_key) == ("dsn", "verify-ca", "root.pem")
    assert (request.target, request.history_schema, request.history_table) == ("003", "platform", "schema_migrations")
    assert (request.execution.lock_timeout_ms, request.execution.statement_timeout_ms) == (500, 5_400_000)
    assert (request.execution.lock_retries, request.execution.out_of_order) == (3, True)
    assert request.backup.required is False


@pytest.mark.parametrize(
    ("observed", "asks"),
    [
        (seen(retry="1"), False),
        (seen(retry="1", status=status(failed(Reason.ROLLED_BACK))), True),
        (seen(retry="1", source=files("b"), status=status(succeeded(), last_handled_retry="1")), False),
        (seen(retry="2", status=status(succeeded(), last_handled_retry="1")), True),
    ],
)
def test_a_new_retry_annotation_lifts_rolled_back_once(observed: Observed, asks: bool) -> None:
    decision = started(observed)
    assert decision.start
    assert decision.start.request.reapply_rolled_back is asks


def test_a_rollback_is_asked_of_the_run_with_its_hash() -> None:
    decision = started(seen(spec=spec(rollback={"to": "0", "planHash": "ab" * 32})))
    assert decision.start
    request = decision.start.request
    assert request.rollback is not None
    assert (request.rollback.to, request.rollback.plan_hash) == ("0", "ab" * 32)


def test_a_finished_rollback_is_ready_says_what_was_lost_and_runs_nothing_more() -> None:
    down = report(
        reason=Reason.ROLLED_BACK,
        version="003",
        applied_now=(),
        rolled_back_now=("004_d.sql",),
        losses=("table d: 4 rows, 8.2 kB (rollback-004.sql:1)",),
        verified_file=None,
        verify_reason=Reason.ROLLED_BACK,
    )
    key = key_of(BACK)
    observed = seen(spec=BACK, status=status(run(key=key)), jobs=(ended(down, run_key=key),))
    decision = decide(observed, NOW)
    after = decision.status
    ready, verified = find(after.conditions, ConditionType.READY), find(after.conditions, ConditionType.VERIFIED)
    assert ready is not None
    assert verified is not None
    assert (ready.status, ready.reason, after.version) == ("True", Reason.ROLLED_BACK, "003")
    assert (verified.status, verified.reason) == ("False", Reason.ROLLED_BACK)
    (told,) = [each for each in decision.announcements if each.reason == Reason.ROLLED_BACK]
    assert "004_d.sql" in told.message
    assert "4 rows" in told.message
    assert decide(replace(observed, status=after), NOW).rule == "settled"


def test_final_result_marks_the_retry_annotation_as_handled_and_a_transient_one_does_not() -> None:
    good = decide(seen(retry="1", status=status(run()), jobs=(ended(report(), retry_value="1"),)), NOW).status
    assert good.last_handled_retry == "1"
    bad = failure_report(Reason.DATABASE_UNAVAILABLE, transient=True)
    assert decide(seen(retry="1", status=status(run()), jobs=(ended(bad, retry_value="1"),)), NOW).status.last_handled_retry is None


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (Blocked(Reason.JOB_CONFLICT, "not ours"), ("False", "JobConflict", RECONCILING)),
        (Blocked(Reason.ADMISSION_DENIED, "exceeded quota: jobs"), ("False", "AdmissionDenied", RECONCILING)),
    ],
)
def test_refused_job_is_said_in_the_servers_words_and_leaves_no_run_behind(refused: Blocked, says: tuple[str, str, str]) -> None:
    before = status(succeeded())
    decision = start_refused(seen(source=files("new"), status=before), refused, NOW, "job-2")
    assert ready(decision) == says
    assert decision.status.run == before.run
    assert decision.again_after
    found = find(decision.status.conditions, ConditionType.READY)
    assert found
    assert found.message == refused.message
    steps = decision.status.next_steps
    assert steps[-1] == f"read docs/runbook/{refused.reason}.md"
    assert refused.reason is not Reason.JOB_CONFLICT or "job-2" in steps[0], "the Job that is in the way, not the last run's"


def test_old_finished_jobs_are_removed_only_after_their_result_is_stored() -> None:
    jobs = tuple(
        job(name=f"job-{number}", complete=True, created_at=NOW - timedelta(hours=9 - number), pod=PodSeen(PodState.ABSENT))
        for number in range(6)
    )
    stored = decide(seen(status=status(succeeded(job_name="job-5")), jobs=jobs), NOW)
    assert stored.remove_jobs == tuple(f"job-{number}" for number in range(6 - JOBS_KEPT))
    not_stored = decide(seen(status=status(run(job_name="job-5")), jobs=jobs), NOW)
    assert not_stored.rule == "run_finished"
    assert not_stored.remove_jobs == ()


def test_a_job_that_a_sidecar_keeps_alive_ends_with_its_runner() -> None:
    """sidecar-injected: the result is stored at once, the Job is removed a minute later."""
    kept_alive = ended(report())
    first = decide(seen(status=status(run()), jobs=(kept_alive,)), NOW)
    assert ready(first) == ("True", "UpToDate", NEITHER)
    young = decide(seen(status=first.status, jobs=(kept_alive,)), NOW + timedelta(seconds=30))
    assert young.remove_jobs == ()
    assert young.again_after
    assert young.again_after <= timedelta(minutes=1)
    assert decide(seen(status=first.status, jobs=(kept_alive,)), NOW + timedelta(minutes=1)).remove_jobs == ("job-1",)


def test_a_job_that_a_newer_one_has_followed_is_given_the_same_minute() -> None:
    """Its pod has ended and the Job controller has not said so yet: its log is still worth having."""
    first = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW)
    jobs = (ended(report()), ended(name="job-2", created_at=NOW, complete=True))
    after = first.status.model_copy(update={"run": succeeded(job_name="job-2")})
    assert decide(seen(status=after, jobs=jobs), NOW + timedelta(seconds=30)).remove_jobs == ()
    assert decide(seen(status=after, jobs=jobs), NOW + timedelta(minutes=1)).remove_jobs == ("job-1",)


def test_going_back_to_an_earlier_source_is_a_new_job_although_its_key_is_old() -> None:
    first = started(seen())
    assert first.start
    done = succeeded(job_name="job-b", key=key_of(digest="b"))
    back = started(seen(status=status(done)))
    assert back.start
    assert back.start.run_key == first.start.run_key
    assert back.start.job_name != first.start.job_name


def test_the_same_facts_name_the_same_job_after_a_crash() -> None:
    """operator-killed-anywhere, between "Job made" and "status written"."""
    assert started(seen()).start == started(seen()).start


@pytest.mark.parametrize("name", ["a", "x" * 253, "with.dots.in.it", f"{'a' * 39}.b"])
def test_job_names_fit_labels(name: str) -> None:
    decision = started(seen(name=name))
    assert decision.start
    assert len(decision.start.job_name) <= 57
    assert decision.start.job_name.replace("-", "").isalnum()


def test_hashes_do_not_change_when_a_default_is_written_out() -> None:
    """A later version that adds a field, or an API server that fills defaults in, must not run 5,000 finished resources again."""
    written = spec(execution={"lockTimeout": "2s", "lockRetries": 10}, suspend=False, retry={"limit": 5})
    assert key_of(written) == key_of()
    assert keys.spec_hash(written) == keys.spec_hash(SPEC)
    assert keys.pod_hash(written, key_of(), RUNNER) == keys.pod_hash(SPEC, key_of(), RUNNER)


@pytest.mark.parametrize(
    ("changed", "new_key"),
    [
        (spec(target="003"), True),
        (spec(environment="staging"), True),
        (spec(execution={"lockTimeout": "9s"}), True),
        (spec(backup={"policy": "Skip"}), True),
        (spec(suspend=True), False),
        (spec(job={"labels": {"team": "a"}}), False),
        (spec(source={"configMaps": [{"name": "files-5f7d"}]}), False),
    ],
)
def test_only_what_matters_for_a_result_makes_a_new_run(changed: Spec, new_key: bool) -> None:
    assert (key_of(changed) != key_of()) is new_key


def test_a_pod_that_may_have_started_is_looked_at_again_as_soon_as_that_is_known() -> None:
    young = job(pod=PodSeen(PodState.WAITING, scheduled_at=NOW - timedelta(seconds=3)))
    observed = seen(spec=OTHER_TARGET, status=status(run()), jobs=(young,))
    decision = decide(observed, NOW)
    assert (decision.remove_jobs, decision.again_after) == ((), timedelta(seconds=7))
    assert decide(observed, NOW + timedelta(seconds=7)).rule == "run_unstarted_outdated"


def test_what_was_known_of_a_replaced_database_answers_for_nothing() -> None:
    """Without that, the stored success of the old database would make the restored one Ready, with nothing run and nothing looked at."""
    before = decide(seen(jobs=(ended(report()),)), NOW).status
    assert (before.version, before.database is not None) == ("004", True)
    replaced = decide(seen(status=before, restores=(SWAPPED,)), NOW)
    after = replaced.status
    assert (after.version, after.applied, after.database, after.plan, after.migrations) == (None, None, None, None, ())
    assert (after.source, after.rehearsal) == (None, None)
    assert after.backup == before.backup
    assert after.runs == before.runs
    assert after.replaced is not None
    assert (after.replaced.by, after.replaced.job_name) == ("back", "back-swap-1")
    assert [a.reason for a in replaced.announcements] == ["DatabaseReplaced"]
    waits = decide(seen(spec=SUSPENDED, status=after, restores=(SWAPPED,)), NOW)
    assert ready(waits) == ("False", "Suspended", NEITHER)
    assert "back replaced the database" in waits.status.conditions[0].message
    assert decide(seen(status=after, restores=(SWAPPED,)), NOW).rule == "run_due"


def test_a_replacement_is_noticed_once() -> None:
    after = decide(seen(status=status(succeeded()), restores=(SWAPPED,)), NOW).status
    older = replace(SWAPPED, name="back-swap-0", created_at=NOW - timedelta(days=1))
    assert decide(seen(status=after, restores=(older,)), NOW).rule == "run_due"
    newer = replace(SWAPPED, name="again-swap-1", created_at=NOW + timedelta(days=1))
    assert decide(seen(status=after, restores=(SWAPPED, newer)), NOW + timedelta(days=1)).rule == "database_replaced"


def test_a_file_that_was_set_aside_runs_again_when_a_person_asks() -> None:
    after = decide(seen(status=status(succeeded()), restores=(SWAPPED,)), NOW).status
    asked = decide(seen(status=after, retry="as it is"), NOW).start
    unasked = decide(seen(status=after), NOW).start
    assert asked is not None
    assert unasked is not None
    assert (asked.request.reapply_rolled_back, unasked.request.reapply_rolled_back) == (True, False)
