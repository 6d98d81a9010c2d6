"""`spec.approval`: a plan waits for a person who names its hash; an approval of another plan, or one that was used, is none."""

from datetime import datetime, timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Approved
from dbmigration.decide.rules import decide
from tests.unit.observing import NOW, ended, report, run, seen, spec

ASKED = spec(approval={"required": True})
PLAN, OTHER = "a" * 64, "b" * 64
PREPARED = report(
    reason=Reason.PREPARED,
    plan_hash=PLAN,
    executed_sql=False,
    applied_now=(),
    pending=2,
    backup=None,
    backup_reason=None,
    verify_reason=None,
)


def approval(plan_hash: str = PLAN, at: datetime = NOW + timedelta(minutes=1), name: str = "studio-1") -> Approved:
    return Approved(name, plan_hash, "ann", at)


def waits(**changes: object) -> Decision:
    """What is decided right after a run has planned."""
    given = spec(approval={"required": True}, **changes)
    first = decide(seen(spec=given, status=Status(run=run(spec_hash=keys.spec_hash(given))), jobs=(ended(PREPARED),)), NOW)
    return decide(seen(spec=given, status=first.status), NOW)


def ready(decision: Decision) -> tuple[str, str, int]:
    found = find(decision.status.conditions, ConditionType.READY)
    assert found is not None
    work = (ConditionType.RECONCILING, ConditionType.STALLED)
    return found.status, found.reason, sum(c.type in work for c in decision.status.conditions)


def test_a_first_run_only_prepares_what_is_pending() -> None:
    start = decide(seen(spec=ASKED), NOW).start
    assert start is not None
    assert (start.request.needs_approval, start.request.approved) == (True, ())


def test_a_plan_waits_without_being_stalled_or_at_work() -> None:
    found = waits()
    assert (found.rule, ready(found), found.start) == ("approval_pending", ("False", "ApprovalPending", 0), None)
    assert [(told.reason, told.warning) for told in found.announcements] == [("ApprovalPending", False), ("NextSteps", False)]
    again = decide(seen(spec=ASKED, status=found.status), NOW + timedelta(hours=1))
    assert again.status == found.status, "an idle operator writes nothing"


def test_an_approval_of_this_plan_starts_the_run_and_is_told_to_it() -> None:
    decision = decide(seen(spec=ASKED, status=waits().status, approvals=(approval(),)), NOW)
    assert decision.start is not None
    assert (decision.start.request.needs_approval, decision.start.request.approved) == (True, (PLAN,))
    assert decision.status.approval is not None
    assert (decision.status.approval.name, decision.status.approval.approved_by) == ("studio-1", "ann")


def test_an_approval_of_another_plan_is_stale_and_named() -> None:
    decision = decide(seen(spec=ASKED, status=waits().status, approvals=(approval(OTHER),)), NOW)
    assert (ready(decision), decision.start) == (("False", "ApprovalStale", 0), None)
    assert "studio-1" in decision.status.conditions[0].message


def test_the_rest_of_an_approved_plan_is_approved() -> None:
    status = waits().status
    assert status.plan is not None
    left = status.model_copy(update={"plan": status.plan.model_copy(update={"hash": OTHER, "approved_hash": PLAN})})
    assert decide(seen(spec=ASKED, status=left, approvals=(approval(),)), NOW).start is not None


def test_an_approval_that_was_carried_out_counts_no_more() -> None:
    started = decide(seen(spec=ASKED, status=waits().status, approvals=(approval(at=NOW),)), NOW).status
    assert started.run is not None
    done = ended(report(plan_hash=PLAN, approved_hash=PLAN), name=started.run.job_name)
    after = decide(seen(spec=ASKED, status=started, jobs=(done,)), NOW).status
    assert after.approval is not None
    assert after.approval.spent_until == NOW
    start = decide(seen(spec=ASKED, status=after, retry="again", approvals=(approval(at=NOW),)), NOW).start
    assert start is not None
    assert start.request.approved == ()


@pytest.mark.parametrize(("approved", "rule"), [((), "approval_pending"), ((approval(),), "window_closed")])
def test_a_person_is_waited_for_before_the_clock(approved: tuple[Approved, ...], rule: str) -> None:
    closed = {"schedule": "0 14 * * *", "duration": "1h"}
    status = waits(window=closed).status
    found = decide(seen(spec=spec(approval={"required": True}, window=closed), status=status, approvals=approved), NOW)
    assert found.rule == rule
    assert found.status.window is not None
    assert found.status.window.next_opening == NOW + timedelta(hours=2)


def test_an_approval_added_to_a_settled_resource_starts_nothing() -> None:
    done = Status(run=run(finished_at=NOW, outcome="Succeeded", reason=Reason.UP_TO_DATE, message="version 004"))
    assert decide(seen(spec=ASKED, status=done), NOW).rule == "settled"
