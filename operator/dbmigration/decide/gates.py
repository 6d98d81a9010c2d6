"""What a run waits for although nothing is wrong: a gate that a person or a clock opens.

In this order: promotion, approval, window. Nobody is asked to approve what staging has not seen; whoever approves learns when it opens.
A closed gate needs a plan before it may keep Ready from being True, so there are two runs: Prepare plans and lints, Apply executes.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from dbmigration.api.conditions import Verdict, Work
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.api.status import ApprovalStatus, PromotionStatus, RunStatus
from dbmigration.decide.approval import counting, hashes, required, taken
from dbmigration.decide.decision import StartRun
from dbmigration.decide.observed import Observed
from dbmigration.decide.promotion import Promoted, Unpromoted, promoted, promotion
from dbmigration.decide.rehearsal import rehearsal_request
from dbmigration.decide.window import closes_at, longest, next_opening


def gated(start: StartRun, o: Observed, spec: Spec, now: datetime) -> StartRun:
    """`start` as the gates let it be: a Prepare run while the window is closed, else one that knows when to begin no further file.

    One that needs an approval is told of all that count, and prepares only where none of them is of the plan that it makes.
    """
    closes = closes_at(spec.window, now) if spec.window is not None else None
    proved = promotion(o, spec)
    changes = {
        "prepare": (spec.window is not None and closes is None) or isinstance(proved, Unpromoted),
        "promoted": proved.plan_hash if isinstance(proved, Promoted) else None,
        "window_closes_at": closes,
        "window_ms": longest(spec.window, now) // timedelta(milliseconds=1) if spec.window is not None else None,
        "rehearsal": rehearsal_request(o, spec, now),
        "needs_approval": required(spec),
        "approved": hashes(counting(o)) if required(spec) else (),
    }
    return replace(start, request=start.request.model_copy(update=changes))


def gates_taken(o: Observed, spec: Spec, now: datetime) -> dict[str, ApprovalStatus | PromotionStatus | None]:
    """What status says of the gates that the run which starts now went through."""
    return {"approval": taken(o), "promotion": promoted(o, spec, now)}


def is_closed(spec: Spec, now: datetime) -> bool:
    return spec.window is not None and closes_at(spec.window, now) is None


def opening_of(spec: Spec, now: datetime) -> datetime | None:
    """When the window opens that is closed now; None while it is open, where there is none, and where it never does."""
    return next_opening(spec.window, now) if spec.window is not None and is_closed(spec, now) else None


def window_verdict(run: RunStatus, opening: datetime | None) -> Verdict:
    """Ready while the window is closed: waiting, neither at work nor failed."""
    when = f"the window opens at {opening:%Y-%m-%dT%H:%M:%SZ}" if opening else "spec.window.schedule never comes: correct it"
    return Verdict(False, Work.IDLE, Reason.WINDOW_CLOSED, f"{when}; {run.message}")
