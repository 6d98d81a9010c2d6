"""Boxes that a person declares."""

from typing import Any

from dbmigration.api.checked import Checked
from dbmigration.api.checklist import CheckState, Item
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.api.status import SourceStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.rules import decide
from tests.unit.checking import APPLIED, APPROVAL, CHECKED, FAILED, NOT_REQUIRED, PREPARED, WAITING, after, boxes
from tests.unit.observing import DIGEST, NOW, ended, failure_report, report, run, seen, spec, succeeded


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
