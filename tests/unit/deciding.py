"""What the tests of decide/ share: specs that differ in one thing, and short ways to ask what was decided."""

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import RehearsalReport, RehearsedFile
from dbmigration.api.status import RunStatus, Status
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Blocked, MissingSource, Observed, PodSeen, PodState, RestoreJob
from dbmigration.decide.restoring.observed import RestoreDecision
from dbmigration.decide.rules import decide
from tests.unit.observing import NOW, spec

RECONCILING, STALLED, NEITHER = "Reconciling", "Stalled", ""

SUSPENDED = spec(suspend=True)
OTHER_TARGET = spec(target="003")
SHORT = spec(window={"schedule": "0 11 * * *", "duration": "2h"}, rehearsal={})
REHEARSED = RehearsalReport(
    passed=True,
    plan_hash="sha256:plan",
    started_at=NOW,
    completed_at=NOW,
    duration_ms=3_000_000,
    files=(RehearsedFile(name="005_x.sql", statements=1, duration_ms=3_000_000),),
)
BACK = spec(rollback={"to": "003"})
MORE_MEMORY = spec(job={"resources": {"limits": {"memory": "1Gi"}}})
MISSING = MissingSource("files is missing")
UNSCHEDULABLE = PodSeen(PodState.WAITING, blocked=Blocked(Reason.UNSCHEDULABLE, "0/1 nodes are available"))
SWAPPED = RestoreJob("back-swap-1", "back", "swap", NOW, over=True, swapped=True)


def status(the_run: RunStatus | None, **changes: object) -> Status:
    return Status(run=the_run).model_copy(update=changes)


def ready(decision: Decision | RestoreDecision) -> tuple[str, str, str]:
    """Status and reason of Ready, and which of Reconciling and Stalled is there."""
    conditions = decision.status.conditions
    found = find(conditions, ConditionType.READY)
    assert found is not None
    work = [c.type for c in conditions if c.type in (ConditionType.RECONCILING, ConditionType.STALLED)]
    return found.status, found.reason, "".join(work)


def started(observed: Observed) -> Decision:
    decision = decide(observed, NOW)
    assert decision.start is not None
    assert decision.status.run is not None
    assert decision.status.run.job_name == decision.start.job_name
    return decision
