"""The rules about a DatabaseRestore, one row each and more: what is observed, which rule decides, what Ready then says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.status import Status
from dbmigration.decide.leftovers import JOBS_KEPT, LINGERING
from dbmigration.decide.observed import AllowLists, Blocked, PodSeen, PodState
from dbmigration.decide.restoring.observed import RestoreObserved
from dbmigration.decide.restoring.rules import RULES, decide, start_refused
from tests.unit.deciding import NEITHER, RECONCILING, STALLED, ready
from tests.unit.observing import BACKUP, NOW, RUNNER
from tests.unit.observing import spec as migration_spec
from tests.unit.restoring import (
    S3,
    SUSPENDED,
    SWAP,
    SWAPPED,
    WITH_SWAP,
    chosen,
    ended,
    failed,
    failure,
    job,
    migration,
    observed,
    report,
    restore_spec,
    restored,
    run,
)
from tests.unit.test_conditions import broken_invariants

IN_BUCKET = restore_spec(backup={"uri": "s3://backups/prod/1.dump"})
ON_VOLUME = restore_spec(backup={"uri": "pvc://other/studio/1.dump"})
BLOCKED = PodSeen(PodState.WAITING, blocked=Blocked(Reason.UNSCHEDULABLE, "0/1 nodes are available"))


TABLE = [
    # A result comes before everything else.
    ("restored", observed(status=chosen(run=run()), jobs=(ended(report=report()),)), "step_finished", ("True", "Restored", NEITHER)),
    (
        "restored, and a swap was asked for meanwhile",
        observed(spec=WITH_SWAP, status=chosen(run=run()), jobs=(ended(report=report()),)),
        "step_finished",
        ("False", "Running", RECONCILING),
    ),
    (
        "restored while its migration went away",
        observed(migration=None, status=chosen(run=run()), jobs=(ended(report=report()),)),
        "step_finished",
        ("True", "Restored", NEITHER),
    ),
    (
        "damaged backup",
        observed(status=chosen(run=run()), jobs=(ended(report=failure(Reason.RESTORE_FAILED, transient=False)),)),
        "step_finished",
        ("False", "RestoreFailed", STALLED),
    ),
    (
        "database down",
        observed(status=chosen(run=run()), jobs=(ended(report=failure(Reason.DATABASE_UNAVAILABLE, transient=True)),)),
        "step_finished",
        ("False", "DatabaseUnavailable", RECONCILING),
    ),
    ("no report", observed(status=chosen(run=run()), jobs=(ended(),)), "step_finished", ("False", "RunnerLost", RECONCILING)),
    (
        "success without what was done",
        observed(status=chosen(run=run()), jobs=(ended(report=report(restored=None)),)),
        "step_finished",
        ("False", "InternalError", STALLED),
    ),
    (
        "swapped",
        observed(
            spec=WITH_SWAP,
            status=restored(run=run(SWAP)),
            jobs=(ended(SWAP, report(reason=Reason.SWAPPED, restored=None, swapped=SWAPPED)),),
        ),
        "step_finished",
        ("True", "Swapped", NEITHER),
    ),
    (
        "swap refused for a slot",
        observed(spec=WITH_SWAP, status=restored(run=run(SWAP)), jobs=(ended(SWAP, failure(Reason.SWAP_FAILED, transient=False)),)),
        "step_finished",
        ("False", "SwapFailed", STALLED),
    ),
    # A Job at work.
    ("running", observed(status=chosen(run=run()), jobs=(job(),)), "step_active", ("False", "Running", RECONCILING)),
    ("running, status unwritten", observed(status=chosen(), jobs=(job(),)), "step_active", ("False", "Running", RECONCILING)),
    ("pod stuck", observed(status=chosen(run=run()), jobs=(job(pod=BLOCKED),)), "step_active", ("False", "Unschedulable", RECONCILING)),
    ("Job gone", observed(status=chosen(run=run())), "step_vanished", ("False", "RunnerLost", RECONCILING)),
    # Nothing at work.
    ("spec unreadable", observed(spec=None, spec_error="spec.into: no"), "spec_invalid", ("False", "SpecInvalid", STALLED)),
    ("done", observed(status=restored()), "all_done", ("True", "Restored", NEITHER)),
    (
        "done, and the migration runs",
        observed(status=restored(), migration=migration(at_work="x")),
        "all_done",
        ("True", "Restored", NEITHER),
    ),
    ("swap done", observed(spec=WITH_SWAP, status=restored(swapped=SWAPPED), retry="new"), "all_done", ("True", "Swapped", NEITHER)),
    (
        "failed for good",
        observed(status=chosen(run=failed(Reason.RESTORE_FAILED))),
        "failed_for_good",
        ("False", "RestoreFailed", STALLED),
    ),
    (
        "failed for good, and a swap is asked for",
        observed(spec=WITH_SWAP, status=chosen(run=failed(Reason.RESTORE_FAILED)), migration=migration(spec=SUSPENDED)),
        "failed_for_good",
        ("False", "RestoreFailed", STALLED),
    ),
    (
        "failed for good, asked again",
        observed(status=chosen(run=failed(Reason.RESTORE_FAILED)), retry="again"),
        "step_due",
        ("False", "Running", RECONCILING),
    ),
    ("no migration", observed(migration=None), "migration_missing", ("False", "MigrationMissing", RECONCILING)),
    ("migration unreadable", observed(migration=migration(spec=None)), "migration_invalid", ("False", "SpecInvalid", STALLED)),
    ("a bucket and no keys", observed(spec=IN_BUCKET), "migration_invalid", ("False", "SpecInvalid", STALLED)),
    (
        "a bucket that the operator does not allow",
        observed(spec=IN_BUCKET, migration=migration(spec=S3), runner=replace(RUNNER, allowed=AllowLists(s3_hosts=("*/own",)))),
        "migration_not_allowed",
        ("False", "NotAllowed", STALLED),
    ),
    ("no backup", observed(migration=migration(status=Status())), "backup_missing", ("False", "BackupMissing", STALLED)),
    ("the latest is looked up", observed(), "backup_chosen", ("False", "Pending", RECONCILING)),
    ("a named one is written down", observed(spec=ON_VOLUME), "backup_chosen", ("False", "Pending", RECONCILING)),
    ("due", observed(status=chosen()), "step_due", ("False", "Running", RECONCILING)),
    (
        "backoff",
        observed(status=chosen(run=failed(Reason.DATABASE_UNAVAILABLE, next_retry_at=NOW + timedelta(seconds=9)))),
        "retry_not_due",
        ("False", "DatabaseUnavailable", RECONCILING),
    ),
    (
        "backoff over",
        observed(status=chosen(run=failed(Reason.DATABASE_UNAVAILABLE, next_retry_at=NOW))),
        "step_due",
        ("False", "Running", RECONCILING),
    ),
    (
        "a migration runs",
        observed(status=chosen(), migration=migration(at_work="job/x")),
        "migration_running",
        ("False", "MigrationRunning", RECONCILING),
    ),
    (
        "a restore needs no suspended migration",
        observed(status=chosen(), migration=migration(spec=SUSPENDED)),
        "step_due",
        ("False", "Running", RECONCILING),
    ),
    (
        "a swap needs it",
        observed(spec=WITH_SWAP, status=restored()),
        "migration_not_suspended",
        ("False", "MigrationNotSuspended", NEITHER),
    ),
    (
        "a swap waits for a run that was there before",
        observed(spec=WITH_SWAP, status=restored(), migration=migration(spec=SUSPENDED, at_work="job/x")),
        "migration_running",
        ("False", "MigrationRunning", RECONCILING),
    ),
    (
        "a swap is due",
        observed(spec=WITH_SWAP, status=restored(), migration=migration(spec=SUSPENDED)),
        "step_due",
        ("False", "Running", RECONCILING),
    ),
    (
        "a swap failed for good",
        observed(spec=WITH_SWAP, status=restored(run=failed(Reason.SWAP_FAILED, SWAP)), migration=migration(spec=SUSPENDED)),
        "failed_for_good",
        ("False", "SwapFailed", STALLED),
    ),
]


@pytest.mark.parametrize(("given", "rule", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_rule_decides(given: RestoreObserved, rule: str, says: tuple[str, str, str]) -> None:
    decision = decide(given, NOW)
    assert (decision.rule, ready(decision)) == (rule, says)
    assert (decision.start is not None) == (rule == "step_due")
    assert decision.status.observed_generation == given.generation


@pytest.mark.parametrize("given", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_kstatus_can_rely_on_the_conditions(given: RestoreObserved) -> None:
    status = decide(replace(given, generation=2), NOW).status
    assert broken_invariants(status.conditions, status.observed_generation, 2) == []


def test_every_rule_has_a_row() -> None:
    beside = {"being_deleted", "step_unstarted_outdated"}
    assert {row[2] for row in TABLE} | beside == {rule.__name__ for rule in RULES}


def test_nothing_is_done_about_one_that_is_deleted() -> None:
    given = observed(deleting=True, status=chosen(run=run()))
    decision = decide(given, NOW)
    assert (decision.rule, decision.start, decision.status.conditions) == ("being_deleted", None, ())


def test_which_backup_it_is_is_stored_before_anything_begins_and_then_stays() -> None:
    first = decide(observed(), NOW)
    assert (first.status.backup_uri, first.status.backup, first.start) == (BACKUP.uri, BACKUP, None)
    newer = BACKUP.model_copy(update={"uri": "pvc://backups/studio/2.dump"})
    later = decide(observed(status=first.status, migration=migration(status=Status(backup=newer))), NOW)
    assert later.start is not None
    assert later.start.request.uri == BACKUP.uri


def test_a_backup_that_appears_later_starts_nothing_that_was_forgotten() -> None:
    missing = decide(observed(migration=migration(status=Status())), NOW).status
    assert decide(observed(status=missing), NOW).rule == "backup_missing"
    assert decide(observed(status=missing, retry="I mean it"), NOW).rule == "backup_chosen"


def test_a_pod_that_cannot_start_is_replaced_when_the_migration_changes() -> None:
    changed = migration(spec=migration_spec(job={"nodeSelector": {"disk": "fast"}}))
    stuck = observed(status=chosen(run=run()), jobs=(job(pod=BLOCKED),), migration=changed)
    decision = decide(stuck, NOW)
    assert (decision.rule, decision.remove_jobs) == ("step_unstarted_outdated", ("job-1",))
    gone = decide(replace(stuck, status=decision.status, jobs=()), NOW)
    assert gone.start is not None
    assert gone.start.job_name != "job-1"
    young = PodSeen(PodState.WAITING, scheduled_at=NOW - timedelta(seconds=1))
    assert decide(replace(stuck, jobs=(job(pod=young),)), NOW).rule == "step_active"


def test_a_refused_job_is_told_in_the_api_servers_words_and_tried_again() -> None:
    decision = start_refused(observed(status=chosen()), Blocked(Reason.ADMISSION_DENIED, "quota"), NOW)
    assert ready(decision) == ("False", "AdmissionDenied", RECONCILING)
    assert decision.again_after is not None


def test_old_jobs_go_and_so_does_one_that_a_sidecar_keeps_alive() -> None:
    done = [ended(name=f"job-{n}", complete=True) for n in range(JOBS_KEPT + 2)]
    assert decide(observed(status=restored(), jobs=tuple(done)), NOW).rule == "step_finished"
    stored = restored(run=run(job_name=done[-1].job.name, finished_at=NOW, outcome=Outcome.SUCCEEDED))
    assert decide(observed(status=stored, jobs=tuple(done)), NOW).remove_jobs == ("job-0", "job-1")
    lingering = observed(status=restored(), jobs=(ended(report=report()),))
    assert decide(lingering, NOW).remove_jobs == ()
    assert decide(lingering, NOW).again_after == LINGERING
    assert decide(lingering, NOW + LINGERING).remove_jobs == ("job-1",)


def test_an_idle_one_writes_nothing() -> None:
    for given in (observed(status=restored()), observed(status=chosen(run=failed(Reason.RESTORE_FAILED)))):
        status = decide(given, NOW).status
        assert decide(replace(given, status=status), NOW + timedelta(hours=2)).status == status


def test_a_new_one_is_not_taken_for_finished() -> None:
    assert RestoreStatus().observed_generation == -1
