"""What the Jobs of a DatabaseRestore leave on it, and what is announced of them."""

from dataclasses import replace

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.restore_request import RestoreStep
from dbmigration.decide.observed import PodSeen, PodState, Progress
from dbmigration.decide.restoring.record import MOST_ATTEMPTS
from dbmigration.decide.restoring.rules import decide
from tests.unit.observing import BACKUP, NOW
from tests.unit.restoring import RESTORE, SWAP, SWAPPED, WITH_SWAP, chosen, ended, failure, job, observed, report, restored, run


def test_what_a_restore_did_is_stored() -> None:
    status = decide(observed(status=chosen(run=run()), jobs=(ended(report=report()),)), NOW).status
    assert (status.restored, status.backup) == (report().restored, BACKUP)
    assert status.database is not None
    assert status.database.name == "studio"
    told = find(status.conditions, ConditionType.RESTORED)
    assert told is not None
    assert (told.status, "1,000 rows" in told.message) == ("True", True)
    assert find(status.conditions, ConditionType.SWAPPED) is None
    assert any("swap" in step for step in status.next_steps)


def test_what_a_swap_did_is_stored_and_the_restore_is_still_said() -> None:
    before = decide(observed(status=chosen(run=run()), jobs=(ended(report=report()),)), NOW).status
    swapped = report(reason=Reason.SWAPPED, restored=None, backup=None, swapped=SWAPPED)
    given = observed(spec=WITH_SWAP, status=before.model_copy(update={"run": run(SWAP)}), jobs=(ended(SWAP, swapped),))
    status = decide(given, NOW).status
    assert (status.swapped, status.restored, status.backup) == (SWAPPED, report().restored, BACKUP)
    assert {c.type: c.status for c in status.conditions} == {"Ready": "True", "Restored": "True", "Swapped": "True"}
    assert "studio_before_20261123T120000Z" in " ".join(status.next_steps)


def test_a_failed_swap_takes_nothing_back_that_was_said_of_the_restore() -> None:
    before = decide(observed(status=chosen(run=run()), jobs=(ended(report=report()),)), NOW).status
    refused = ended(SWAP, failure(Reason.SWAP_FAILED, transient=False))
    status = decide(observed(spec=WITH_SWAP, status=before.model_copy(update={"run": run(SWAP)}), jobs=(refused,)), NOW).status
    assert {c.type: c.status for c in status.conditions} == {"Ready": "False", "Stalled": "True", "Restored": "True", "Swapped": "False"}


@pytest.mark.parametrize(("step", "reason", "limited"), [(SWAP, Reason.LOCK_HELD, True), (RESTORE, Reason.DATABASE_UNAVAILABLE, False)])
def test_only_a_swap_gives_up_on_what_time_may_mend(step: RestoreStep, reason: Reason, limited: bool) -> None:
    """A swap that was asked for at night must not succeed in the morning, when nobody thinks of it."""
    tried = run(step, counted=MOST_ATTEMPTS - 1 if step is SWAP else 0, failures=MOST_ATTEMPTS - 1)
    status = restored(run=tried) if step is SWAP else chosen(run=tried)
    after = decide(observed(spec=WITH_SWAP, status=status, jobs=(ended(step, failure(reason, transient=True)),)), NOW).status
    assert after.run is not None
    assert (after.run.next_retry_at is None) == limited
    assert (after.run.reason == Reason.RETRY_LIMIT_REACHED) == limited


def test_a_restore_that_dies_without_a_word_is_not_tried_for_ever() -> None:
    given = observed(
        status=chosen(run=run(counted=MOST_ATTEMPTS - 1)), jobs=(ended(pod=PodSeen(PodState.TERMINATED, exit_reason="OOMKilled")),)
    )
    after = decide(given, NOW).status
    assert after.run is not None
    assert (after.run.reason, "limits.memory" in str(after.run.message)) == (Reason.RETRY_LIMIT_REACHED, True)


def test_a_report_that_fits_no_status_is_not_believed() -> None:
    big = report(backup=BACKUP.model_copy(update={"uri": "x" * 40_000}))
    after = decide(observed(status=chosen(run=run()), jobs=(ended(report=big),)), NOW).status
    assert (after.restored, after.backup) == (None, BACKUP)
    assert after.run is not None
    assert after.run.reason == Reason.INTERNAL_ERROR


def test_progress_is_shown() -> None:
    seen = PodSeen(PodState.RUNNING, progress=Progress("restore", message="restoring: 20 MB so far"))
    status = decide(observed(status=chosen(run=run()), jobs=(job(pod=seen),)), NOW).status
    assert status.progress is not None
    assert status.progress.message == "restoring: 20 MB so far"


def test_what_happened_is_announced_once() -> None:
    given = observed(status=chosen(run=run()), jobs=(ended(report=report()),))
    first = decide(given, NOW)
    assert [a.reason for a in first.announcements] == [Reason.RESTORED]
    assert decide(replace(given, status=first.status), NOW).announcements == ()
    failing = decide(observed(status=chosen(run=run()), jobs=(ended(report=failure(Reason.RESTORE_FAILED, transient=False)),)), NOW)
    assert [(a.reason, a.warning) for a in failing.announcements] == [(Reason.RESTORE_FAILED, True)]
    started = decide(observed(status=chosen()), NOW)
    assert [a.reason for a in started.announcements] == ["RestoreStarted"]
