"""`spec.approval`: which approvals count, and what is said while a plan waits for one.

An approval counts for the plan whose hash it names, whoever runs it and however often it is interrupted, until a run has carried it out.
"""

from collections.abc import Sequence
from datetime import datetime

from dbmigration.api.conditions import Verdict, Work, clip
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import ApprovalStatus, RunStatus, Status
from dbmigration.decide.observed import Approved, Observed

_SENT = 20
"""Approvals that a run is told of, newest first."""
_NAMED = 3


def required(spec: Spec) -> bool:
    return spec.approval is not None and spec.approval.required


def awaits_approval(o: Observed, spec: Spec) -> bool:
    return required(spec) and agreed(o) is None


def counting(o: Observed) -> tuple[Approved, ...]:
    """The approvals that are not spent, newest first."""
    spent = o.status.approval.spent_until if o.status.approval else None
    newest = sorted(o.approvals, key=lambda each: (each.created_at, each.name), reverse=True)
    return tuple(each for each in newest if spent is None or each.created_at > spent)[:_SENT]


def agreed(o: Observed) -> Approved | None:
    """The approval of the plan that the newest run made."""
    plan = o.status.plan
    if plan is None:
        return None
    return next((each for each in counting(o) if each.plan_hash in (plan.hash, plan.approved_hash)), None)


def approval_verdict(o: Observed, run: RunStatus, opening: datetime | None) -> Verdict:
    """Ready while a person is waited for. An approval of another plan is named: somebody took it for this one."""
    shown = (o.status.plan.hash if o.status.plan else None) or "unknown"
    named = ", ".join(o.status.plan.names[:_NAMED]) if o.status.plan else ""
    more = " ..." if o.status.plan and o.status.plan.pending > _NAMED else ""
    remedy = f"look at it, then `kubectl dbmigration approve {o.name} -n {o.namespace}`"
    what = f"{run.message}: {named}{more}" if named else f"{run.message}"
    after = f"; the window opens at {opening:%Y-%m-%dT%H:%M:%SZ}" if opening else ""
    stale = counting(o)
    if stale:
        told = f"MigrationApproval {stale[0].name} is of another plan ({stale[0].plan_hash[:12]}), this one is {shown}: {remedy}"
        return Verdict(False, Work.IDLE, Reason.APPROVAL_STALE, clip(f"{told}; {what}{after}"))
    return Verdict(False, Work.IDLE, Reason.APPROVAL_PENDING, clip(f"plan {shown} waits for an approval: {remedy}; {what}{after}"))


def spent_by(status: Status, report: Report | None, now: datetime) -> Status:
    """After a run that carried out the whole of an approved plan, what was approved until then counts no more."""
    if report is None or report.approved_hash is None or report.outcome is not Outcome.SUCCEEDED or report.reason is Reason.PREPARED:
        return status
    known = status.approval or ApprovalStatus(name="unknown", plan_hash=report.approved_hash)
    return status.model_copy(update={"approval": known.model_copy(update={"spent_until": now})})


def taken(o: Observed) -> ApprovalStatus | None:
    """What status says of the approval that the run which starts now goes by; what it said before where there is none."""
    found, before = agreed(o), o.status.approval
    if found is None:
        return before
    return ApprovalStatus(
        name=found.name,
        plan_hash=found.plan_hash,
        approved_by=found.approved_by,
        spent_until=before.spent_until if before else None,
    )


def hashes(approvals: Sequence[Approved]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.plan_hash for each in approvals))
