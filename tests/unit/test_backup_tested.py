"""A DatabaseRestore that brought a backup back is a test of that backup, on the resource that made it."""

from datetime import timedelta

from dbmigration.api.checklist import Check, CheckState, Item
from dbmigration.api.conditions import Condition, ConditionType, find
from dbmigration.api.names import BACKUP_ANNOTATION
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.decide.observed import Limits, Line, Place, RestoreJob, RestoreTest
from dbmigration.decide.rules import decide
from tests.unit.checking import CHECKED
from tests.unit.observing import BACKUP, NOW, ended, report, run, seen
from tests.unit.test_restore_jobs import RESTORES, SWAPS, manifest

LATER = NOW + timedelta(hours=1)
APPLIED = decide(seen(status=Status(run=run()), jobs=(ended(report(checked=CHECKED)),)), NOW).status


def restored(uri: str = BACKUP.uri) -> RestoreJob:
    return RestoreJob("back-restore-1", "back", "restore", NOW, over=True, tested=RestoreTest(uri, BACKUP.sha256, LATER))


def backed_up(status: Status) -> tuple[Condition, Check]:
    condition = find(status.conditions, ConditionType.BACKED_UP)
    assert condition is not None
    return condition, next(check for check in status.checklist if check.item is Item.BACKUP_CREATED)


def test_record_condition_and_box_say_so_as_after_a_rehearsal() -> None:
    by_restore = decide(seen(status=APPLIED, restores=(restored(),)), LATER).status
    assert by_restore.backup is not None
    assert by_restore.backup.restored_at == LATER
    tested = BACKUP.model_copy(update={"restored_at": LATER})
    by_rehearsal = decide(seen(status=Status(run=run()), jobs=(ended(report(checked=CHECKED, backup=tested)),)), NOW).status
    condition, box = backed_up(by_restore)
    assert (condition, box) == backed_up(by_rehearsal)
    assert (condition.status, condition.reason, box.state) == ("True", Reason.BACKUP_VERIFIED, CheckState.PROVED)
    assert (by_restore.run, by_restore.runs) == (APPLIED.run, APPLIED.runs)


def test_what_was_said_of_a_later_change_without_a_backup_stays() -> None:
    skipped = report(checked=CHECKED, backup=None, backup_reason=Reason.BACKUP_SKIPPED)
    before = decide(seen(status=APPLIED.model_copy(update={"run": run()}), jobs=(ended(skipped),)), NOW).status
    assert before.backup == BACKUP
    after = decide(seen(status=before, restores=(restored(),)), LATER).status
    assert after.backup is not None
    assert after.backup.restored_at == LATER
    assert backed_up(after) == backed_up(before)


def test_a_restore_of_an_older_backup_says_nothing_of_the_newest() -> None:
    assert decide(seen(status=APPLIED, restores=(restored("pvc://backups/studio/0.dump"),)), LATER).rule != "backup_tested"


def test_its_turn_is_not_lost() -> None:
    since = NOW - timedelta(minutes=5)
    line = Line(Limits(runs=1), under_way=(Place("a/b", None, NOW),))
    waits = Status(backup=BACKUP, queued_since=since)
    decision = decide(seen(status=waits, restores=(restored(),), line=line), NOW)
    assert decision.rule == "backup_tested"
    assert decision.status.queued_since == since


def test_the_job_of_a_restore_names_the_backup_and_that_of_a_swap_none() -> None:
    assert manifest(RESTORES)["metadata"]["annotations"][BACKUP_ANNOTATION] == BACKUP.uri
    assert BACKUP_ANNOTATION not in manifest(SWAPS)["metadata"]["annotations"]
