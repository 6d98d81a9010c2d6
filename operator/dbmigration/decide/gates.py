"""What a run waits for although nothing is wrong: a gate that only a clock opens.

A closed gate needs a plan before it may keep Ready from being True, so there are two runs: Prepare plans and lints, Apply executes.
"""

from dataclasses import replace
from datetime import datetime

from dbmigration.api.conditions import Verdict, Work
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.api.status import RunStatus
from dbmigration.decide.decision import StartRun
from dbmigration.decide.window import closes_at


def gated(start: StartRun, spec: Spec, now: datetime) -> StartRun:
    """`start` as the gates let it be: a Prepare run while the window is closed, else one that knows when to begin no further file."""
    if spec.window is None:
        return start
    closes = closes_at(spec.window, now)
    return replace(start, request=start.request.model_copy(update={"prepare": closes is None, "window_closes_at": closes}))


def window_verdict(run: RunStatus, opening: datetime | None) -> Verdict:
    """Ready while the window is closed: waiting, neither at work nor failed."""
    when = f"the window opens at {opening:%Y-%m-%dT%H:%M:%SZ}" if opening else "spec.window.schedule never comes: correct it"
    return Verdict(False, Work.IDLE, Reason.WINDOW_CLOSED, f"{when}; {run.message}")
