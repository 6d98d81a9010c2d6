"""status.nextSteps of a DatabaseRestore: commands that can be typed, and a page for each."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.status import NEXT_STEP_LIMIT, NEXT_STEPS_KEPT
from dbmigration.decide.restoring.advice import _STEPS, next_steps
from tests.unit.restoring import SWAPPED, failed, observed, restored
from tests.unit.test_advice import is_taken

ROOT = Path(__file__).parents[2]
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def steps_of(reason: Reason) -> tuple[str, ...]:
    conditions = set_conditions((), Verdict(False, Work.STALLED, reason, "why"), generation=1, now=WHEN)
    return next_steps(observed(), restored(conditions=conditions, run=failed(reason), swapped=SWAPPED))


@pytest.mark.parametrize("reason", _STEPS)
def test_the_steps_of_a_reason(reason: Reason) -> None:
    steps = steps_of(reason)
    assert 2 <= len(steps) <= NEXT_STEPS_KEPT
    assert all(len(step.encode()) < NEXT_STEP_LIMIT and "NAME" not in step and not re.search(r"\{[a-z]+\}", step) for step in steps)
    assert (ROOT / steps[-1].removeprefix("read ")).read_text().startswith(f"# {reason.value}\n")
    for step in steps:
        assert all((ROOT / page).is_file() for page in re.findall(r"docs/[\w-]+\.md", step))
        for command in re.findall(r"`([^`]*)`", step):
            is_taken(command)


def test_what_comes_after_a_restore_is_the_swap() -> None:
    said = " ".join(steps_of(Reason.RESTORED))
    assert "studio_restored" in said
    assert '-p \'{"spec":{"swap":true}}\'' in said
    assert said.index("suspend") < said.index("swap")


def test_while_it_is_on_its_way_there_is_nothing_to_do() -> None:
    assert steps_of(Reason.RUNNING) == ()
    assert next_steps(observed(), RestoreStatus()) == ()
