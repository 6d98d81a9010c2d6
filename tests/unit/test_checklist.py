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
from dbmigration.decide.observed import Approved, Stage
from dbmigration.decide.rules import decide
from tests.unit.checking import APPLIED, APPROVAL, CHECKED, FAILED, NOT_REQUIRED, PLAN, PREPARED, PROVED, WAITING, after, boxes
from tests.unit.observing import BACKUP, DIGEST, NOW, ended, failure_report, report, run, seen, spec, succeeded

NOTHING = report(applied_now=(), backup=None, backup_reason=Reason.NOTHING_PENDING, verify_reason=Reason.NOTHING_PENDING)
STAGING = Stage("DatabaseMigration staging/studio", environment="staging", digest=DIGEST, complete=True)
PROMOTION = {"after": {"name": "studio", "namespace": "staging"}}
WINDOW = {"schedule": "0 11 * * *", "duration": "2h"}
CLOSED = {"schedule": "0 13 * * *", "duration": "2h"}
APPROVED = Approved("studio-1", PLAN, "ann", NOW - timedelta(minutes=2))
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
