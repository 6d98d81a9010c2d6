"""What a run's result leaves on the resource."""

from dataclasses import replace

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.decide.rules import decide
from tests.unit.deciding import BACK, NEITHER, ready, status
from tests.unit.observing import DECLARED, NOW, ended, failure_report, files, key_of, report, run, seen


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


@pytest.mark.parametrize(
    ("reason", "sqlstate", "remedy"),
    [
        (Reason.SQL_FAILED, "42703", "Mend the file"),
        (Reason.SQL_FAILED, "42501", "Once that is granted, ask for another try"),
        (Reason.REHEARSAL_FAILED, "42501", "Mend the file"),
    ],
)
def test_what_starts_the_next_run_is_said(reason: Reason, sqlstate: str, remedy: str) -> None:
    told = failure_report(reason, transient=False)
    assert told.failure
    told = told.model_copy(update={"failure": told.failure.model_copy(update={"sqlstate": sqlstate})})
    after = decide(seen(status=status(run()), jobs=(ended(told),)), NOW).status
    assert remedy in after.conditions[0].message


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


def test_nothing_pending_after_a_backed_up_change_keeps_backed_up_true() -> None:
    first = decide(seen(status=status(run()), jobs=(ended(report()),)), NOW).status
    nothing = report(backup=None, backup_reason=Reason.NOTHING_PENDING, applied_now=())
    after = decide(seen(status=first.model_copy(update={"run": run()}), jobs=(ended(nothing),)), NOW).status
    found = find(after.conditions, "BackedUp")
    assert found
    assert (found.status, found.reason) == ("True", "BackupVerified")


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
