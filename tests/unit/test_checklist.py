"""`status.checklist`: a box is Proved by what was seen, Declared by who says so, and never green for what nobody looked at."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.backup_record import DeclaredBackup
from dbmigration.api.checked import Checked
from dbmigration.api.checklist import EVIDENCE_LIMIT, CheckState, Item
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Failure, Outcome, RehearsalReport, Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import SourceStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.observed import Approved, Observed, Stage
from dbmigration.decide.rules import decide
from tests.unit.observing import BACKUP, DIGEST, NOW, ended, failure_report, report, run, seen, spec, succeeded

CHECKED = Checked(files=4, to="004", dependencies=3, parsed=True)
APPLIED = report(checked=CHECKED)
PLAN = "a" * 64
PREPARED = report(
    reason=Reason.PREPARED,
    plan_hash=PLAN,
    executed_sql=False,
    applied_now=(),
    pending=4,
    pending_names=("004_d.sql",),
    applied=0,
    version=None,
    backup=None,
    backup_reason=None,
    verify_reason=Reason.NOTHING_PENDING,
    checked=CHECKED,
)
NOTHING = report(applied_now=(), backup=None, backup_reason=Reason.NOTHING_PENDING, verify_reason=Reason.NOTHING_PENDING)
STAGING = Stage("DatabaseMigration staging/studio", environment="staging", digest=DIGEST, complete=True)
PROMOTION = {"after": {"name": "studio", "namespace": "staging"}}
APPROVAL = {"required": True}
WINDOW = {"schedule": "0 11 * * *", "duration": "2h"}
CLOSED = {"schedule": "0 13 * * *", "duration": "2h"}
APPROVED = Approved("studio-1", PLAN, "ann", NOW - timedelta(minutes=2))

Boxes = dict[Item, tuple[CheckState, str]]


def boxes(observed: Observed) -> Boxes:
    return {check.item: (check.state, check.evidence) for check in decide(observed, NOW).status.checklist}


def after(given: Report, asked: Spec | None = None, *, settle: bool = True, **changes: Any) -> Boxes:
    """What the list says once a run has ended so, and once that was looked at again."""
    asked = asked or spec()
    status = Status(run=run(key=keys.run_key(asked, DIGEST, None), spec_hash=keys.spec_hash(asked)), source=SourceStatus(digest=DIGEST))
    job = ended(given, run_key=keys.run_key(asked, DIGEST, None))
    first = decide(seen(spec=asked, status=changes.pop("status", status), jobs=(job,), **changes), NOW)
    if not settle:
        return {check.item: (check.state, check.evidence) for check in first.status.checklist}
    found = decide(seen(spec=asked, status=first.status, **changes), NOW)
    again = decide(seen(spec=asked, status=found.status, **changes), NOW)
    if found.start is None:
        assert again.status == found.status, "an idle operator writes nothing"
    return {check.item: (check.state, check.evidence) for check in found.status.checklist}


LOST = failure_report(Reason.BACKUP_FAILED, transient=True, checked=CHECKED, backup_reason=Reason.BACKUP_FAILED)
BAD_SYNTAX = failure_report(
    Reason.SQL_FAILED,
    transient=False,
    checked=CHECKED,
    failure=Failure(reason=Reason.SQL_FAILED, message="it failed", transient=False, sqlstate="42601"),
)
DECLARED = report(
    checked=CHECKED,
    backup=None,
    backup_reason=Reason.BACKUP_DECLARED,
    declared_backup=DeclaredBackup(provider="pgBackRest, stanza studio", at=NOW),
)
EXTERNAL = spec(backup={"policy": "External", "external": {"provider": "pgBackRest, stanza studio"}})
REHEARSING = spec(rehearsal={"mode": "OnBackup"})
REHEARSAL = RehearsalReport(passed=True, plan_hash="sha256:plan", backup_uri=BACKUP.uri, started_at=NOW, completed_at=NOW, duration_ms=1500)
PROVED, WAITING, FAILED, NOT_REQUIRED = CheckState.PROVED, CheckState.WAITING, CheckState.FAILED, CheckState.NOT_REQUIRED

TABLE: list[tuple[str, Report, Spec, dict[str, Any], Item, CheckState, str]] = [
    ("backup", APPLIED, spec(), {}, Item.BACKUP_CREATED, PROVED, BACKUP.sha256),
    ("backup to come", PREPARED, spec(approval=APPROVAL), {}, Item.BACKUP_CREATED, WAITING, "takes it first"),
    ("no backup wanted", PREPARED, spec(approval=APPROVAL, backup={"policy": "Skip"}), {}, Item.BACKUP_CREATED, NOT_REQUIRED, "Skip"),
    ("backup failed", LOST, spec(), {}, Item.BACKUP_CREATED, FAILED, "BackupFailed"),
    ("backup of others", DECLARED, EXTERNAL, {}, Item.BACKUP_CREATED, CheckState.DECLARED, "pgBackRest"),
    ("backup of others to come", PREPARED, EXTERNAL, {}, Item.BACKUP_CREATED, CheckState.DECLARED, "pgBackRest"),
    ("nothing to back up", NOTHING, spec(), {}, Item.BACKUP_CREATED, NOT_REQUIRED, "nothing was pending"),
    ("all scripts", APPLIED, spec(), {}, Item.ROLLBACK_PREPARED, PROVED, "4 files"),
    (
        "a script is missing",
        report(checked=Checked(files=4, no_rollback=("002_b.sql",), no_rollback_count=1)),
        spec(),
        {},
        Item.ROLLBACK_PREPARED,
        NOT_REQUIRED,
        "002_b.sql",
    ),
    (
        "a script that is needed is missing",
        report(checked=Checked(files=4, no_rollback=("002_b.sql",), no_rollback_count=1)),
        spec(onFailure="Rollback"),
        {},
        Item.ROLLBACK_PREPARED,
        FAILED,
        "002_b.sql",
    ),
    ("dependencies", APPLIED, spec(), {}, Item.DEPENDENCIES_VERIFIED, PROVED, "3 dependencies"),
    (
        "dependency missing",
        failure_report(Reason.DEPENDENCY_MISSING, transient=False),
        spec(),
        {},
        Item.DEPENDENCIES_VERIFIED,
        FAILED,
        "DependencyMissing",
    ),
    ("no plan", failure_report(Reason.SECRET_INVALID, transient=True), spec(), {}, Item.DEPENDENCIES_VERIFIED, WAITING, "SecretInvalid"),
    ("syntax executed", APPLIED, spec(), {}, Item.NO_SYNTAX_ERRORS, PROVED, "executed"),
    ("syntax parsed", PREPARED, spec(approval=APPROVAL), {}, Item.NO_SYNTAX_ERRORS, PROVED, "grammar"),
    (
        "syntax not looked at",
        PREPARED.model_copy(update={"checked": Checked(files=4)}),
        spec(approval=APPROVAL),
        {},
        Item.NO_SYNTAX_ERRORS,
        WAITING,
        "did not ask",
    ),
    (
        "syntax wrong",
        PREPARED.model_copy(update={"checked": Checked(files=4, syntax="004_d.sql:1: syntax error")}),
        spec(approval=APPROVAL),
        {},
        Item.NO_SYNTAX_ERRORS,
        FAILED,
        "004_d.sql:1",
    ),
    ("syntax wrong when run", BAD_SYNTAX, spec(), {}, Item.NO_SYNTAX_ERRORS, FAILED, "SqlFailed"),
    ("no review asked", APPLIED, spec(), {}, Item.REVIEWED, NOT_REQUIRED, "spec.approval"),
    ("review to come", PREPARED, spec(approval=APPROVAL), {}, Item.REVIEWED, WAITING, PLAN),
    ("reviewed", PREPARED, spec(approval=APPROVAL, window=CLOSED), {"approvals": (APPROVED,)}, Item.REVIEWED, PROVED, "studio-1"),
    ("window none", APPLIED, spec(), {}, Item.MAINTENANCE_WINDOW, NOT_REQUIRED, "spec.window"),
    ("window to come", PREPARED, spec(window=CLOSED), {}, Item.MAINTENANCE_WINDOW, WAITING, "2026-11-23T13:00:00Z"),
    (
        "window open, approval first",
        PREPARED,
        spec(window=WINDOW, approval=APPROVAL),
        {},
        Item.MAINTENANCE_WINDOW,
        WAITING,
        "before each file",
    ),
    ("window kept", APPLIED, spec(window=WINDOW), {}, Item.MAINTENANCE_WINDOW, PROVED, "2026-11-23T11:59:00Z"),
    ("window not needed", NOTHING, spec(window=WINDOW), {}, Item.MAINTENANCE_WINDOW, NOT_REQUIRED, "nothing was pending"),
    ("staging not asked", APPLIED, spec(), {}, Item.TESTED_IN_STAGING, NOT_REQUIRED, "spec.promotion"),
    (
        "staging behind",
        PREPARED,
        spec(promotion=PROMOTION),
        {"stage": replace(STAGING, digest="x")},
        Item.TESTED_IN_STAGING,
        WAITING,
        "not yet",
    ),
    (
        "staging absent",
        PREPARED,
        spec(promotion=PROMOTION),
        {"stage": Stage("x", problem="gone")},
        Item.TESTED_IN_STAGING,
        WAITING,
        "not yet",
    ),
    (
        "staging passed",
        PREPARED,
        spec(promotion=PROMOTION, approval=APPROVAL),
        {"stage": STAGING},
        Item.TESTED_IN_STAGING,
        PROVED,
        "staging/studio",
    ),
    (
        "staging is not development",
        APPLIED,
        spec(promotion=PROMOTION),
        {"stage": STAGING},
        Item.TESTED_IN_DEVELOPMENT,
        NOT_REQUIRED,
        "staging",
    ),
    (
        "development first",
        PREPARED,
        spec(promotion=PROMOTION, approval=APPROVAL),
        {"stage": replace(STAGING, environment="development")},
        Item.TESTED_IN_DEVELOPMENT,
        PROVED,
        "development",
    ),
    (
        "rehearsed",
        report(checked=CHECKED, rehearsal=REHEARSAL),
        REHEARSING,
        {},
        Item.TESTED_IN_STAGING,
        PROVED,
        "4 files ran there in 1.5 s",
    ),
    (
        "rehearsal of another plan",
        report(checked=CHECKED, plan_hash="x", rehearsal=REHEARSAL),
        REHEARSING,
        {},
        Item.TESTED_IN_STAGING,
        WAITING,
        "first",
    ),
    (
        "executed in a copy",
        PREPARED.model_copy(update={"rehearsal": REHEARSAL}),
        REHEARSING,
        {},
        Item.NO_SYNTAX_ERRORS,
        PROVED,
        "in a restored copy",
    ),
    (
        "a backup that was restored",
        report(checked=CHECKED, backup=BACKUP.model_copy(update={"restored_at": NOW})),
        REHEARSING,
        {},
        Item.BACKUP_CREATED,
        PROVED,
        "restored, row by row",
    ),
    ("rehearsal to come", PREPARED, REHEARSING, {}, Item.TESTED_IN_DEVELOPMENT, WAITING, "restored copy"),
    (
        "rehearsal failed",
        failure_report(Reason.REHEARSAL_FAILED, transient=False, checked=CHECKED, rehearsal=REHEARSAL.model_copy(update={"passed": False})),
        REHEARSING,
        {},
        Item.TESTED_IN_STAGING,
        FAILED,
        "it failed",
    ),
    ("alerts", APPLIED, spec(), {}, Item.MONITORING_ALERTS, NOT_REQUIRED, "spec.declared"),
    ("verified", APPLIED, spec(), {}, Item.VERIFIED_AFTERWARDS, PROVED, "004_d.sql passed"),
    (
        "nothing verifies",
        report(checked=CHECKED, verify_reason=Reason.NO_VERIFY_FILE),
        spec(),
        {},
        Item.VERIFIED_AFTERWARDS,
        NOT_REQUIRED,
        "verify-NNN",
    ),
    ("verify to come", PREPARED, spec(approval=APPROVAL), {}, Item.VERIFIED_AFTERWARDS, WAITING, "runs with it"),
    (
        "verify failed",
        failure_report(Reason.VERIFY_FAILED, transient=False, checked=CHECKED, verify_reason=Reason.VERIFY_FAILED),
        spec(),
        {},
        Item.VERIFIED_AFTERWARDS,
        FAILED,
        "VerifyFailed",
    ),
]


@pytest.mark.parametrize(
    ("given", "asked", "around", "item", "state", "evidence"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_box(given: Report, asked: Spec, around: dict[str, Any], item: Item, state: CheckState, evidence: str) -> None:
    found, said = after(given, asked, **around)[item]
    assert found is state
    assert evidence in said


def test_every_box_and_state_is_in_the_table_and_all_boxes_are_always_there() -> None:
    assert {row[4] for row in TABLE} == set(Item)
    assert {row[5] for row in TABLE} == set(CheckState)
    assert list(boxes(seen())) == list(Item)


def test_nothing_is_proved_or_declared_before_a_run_has_planned() -> None:
    assert {state for state, _ in boxes(seen()).values()} <= {WAITING, NOT_REQUIRED}


def declaring(*declared: dict[str, str], **changes: Any) -> Spec:
    return spec(declared=list(declared), **changes)


def test_a_declaration_is_shown_as_declared_with_where_it_is_looked_up() -> None:
    asked = declaring(
        {"item": "MonitoringAlerts", "where": "PrometheusRule studio/migrations"}, {"item": "Reviewed", "where": "PR 123", "upTo": "004"}
    )
    found = after(APPLIED, asked)
    assert found[Item.MONITORING_ALERTS] == (CheckState.DECLARED, "PrometheusRule studio/migrations")
    assert found[Item.REVIEWED] == (CheckState.DECLARED, "PR 123 (up to 004)")


def test_a_declaration_of_earlier_files_says_nothing_of_later_ones_and_can_be_renewed() -> None:
    asked = declaring({"item": "RollbackPrepared", "where": "PR 123", "upTo": "003"})
    given = report(checked=Checked(files=4, to="004", no_rollback=("004_d.sql",), no_rollback_count=1))
    old = after(given, asked)
    assert old[Item.ROLLBACK_PREPARED][0] is WAITING
    assert "003" in old[Item.ROLLBACK_PREPARED][1]
    status = Status(run=succeeded(), source=SourceStatus(digest=DIGEST))
    first = decide(seen(spec=asked, status=status.model_copy(update={"run": run()}), jobs=(ended(given),)), NOW).status
    renewed = declaring({"item": "RollbackPrepared", "where": "PR 124", "upTo": "004"})
    assert boxes(seen(spec=renewed, status=first))[Item.ROLLBACK_PREPARED] == (CheckState.DECLARED, "PR 124 (up to 004)")
    assert boxes(seen(status=first))[Item.ROLLBACK_PREPARED][0] is NOT_REQUIRED


def test_a_declaration_opens_no_gate_and_hides_no_failure() -> None:
    asked = declaring({"item": "Reviewed", "where": "PR 123"}, {"item": "VerifiedAfterwards", "where": "smoke test"}, approval=APPROVAL)
    assert after(PREPARED, asked)[Item.REVIEWED][0] is WAITING
    wrong = failure_report(Reason.VERIFY_FAILED, transient=False, checked=CHECKED, verify_reason=Reason.VERIFY_FAILED)
    assert after(wrong, asked)[Item.VERIFIED_AFTERWARDS][0] is FAILED


def test_a_change_of_what_is_declared_starts_no_run() -> None:
    asked = declaring({"item": "Reviewed", "where": "PR 123"})
    assert keys.spec_hash(asked) == keys.spec_hash(spec())
    assert keys.run_key(asked, DIGEST, None) == keys.run_key(spec(), DIGEST, None)


def test_what_was_proved_of_the_last_change_stays_after_a_run_with_nothing_to_do_and_not_after_one_that_made_no_plan() -> None:
    first = decide(seen(status=Status(run=run(), source=SourceStatus(digest=DIGEST)), jobs=(ended(APPLIED),)), NOW).status
    again = first.model_copy(update={"run": run()})
    quiet = decide(seen(status=again, jobs=(ended(NOTHING),)), NOW).status
    assert quiet.checklist == first.checklist
    lost = decide(seen(status=again, jobs=(ended(failure_report(Reason.DATABASE_UNAVAILABLE, transient=True)),)), NOW).status
    states = {check.item: check.state for check in lost.checklist}
    assert states[Item.BACKUP_CREATED] is states[Item.NO_SYNTAX_ERRORS] is WAITING


def test_a_resource_that_an_older_operator_finished_is_left_as_it_is() -> None:
    status = decide(seen(status=Status(run=succeeded())), NOW).status
    assert status.checklist == ()


def test_evidence_has_a_limit() -> None:
    long = report(checked=CHECKED, backup=BACKUP.model_copy(update={"uri": "s3://" + "x" * 2000}))
    assert max(len(said.encode()) for _, said in after(long).values()) <= EVIDENCE_LIMIT
    assert after(LOST.model_copy(update={"outcome": Outcome.FAILED}))[Item.BACKUP_CREATED][0] is FAILED
