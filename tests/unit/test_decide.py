"""The rules of decide/ on every row of their table."""

from datetime import timedelta

import pytest

from dbmigration.api.status import Status
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Observed
from dbmigration.decide.rules import RULES, decide
from tests.unit.decide_cases import TABLE
from tests.unit.deciding import ready
from tests.unit.observing import NOW, job, seen


@pytest.mark.parametrize(("observed", "rule", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_rule_and_reason(observed: Observed, rule: str, says: tuple[str, str, str] | None) -> None:
    decision = decide(observed, NOW)
    assert decision.rule == rule
    if says is not None:
        assert ready(decision) == says
        assert decision.status.observed_generation == observed.generation


def test_every_rule_has_a_row() -> None:
    assert {row[2] for row in TABLE} | {"being_deleted"} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("observed", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_only_run_due_starts_a_run(observed: Observed) -> None:
    decision = decide(observed, NOW)
    assert (decision.start is not None) == (decision.rule == "run_due")


@pytest.mark.parametrize("observed", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_deciding_again_on_the_same_facts_changes_nothing(observed: Observed) -> None:
    """An idle operator writes nothing: what was decided is stable once it is written, and is announced once."""
    first = decide(observed, NOW)
    if first.start is not None or first.rule in (
        "run_finished",
        "run_unstarted_outdated",
        "run_vanished",
        "database_replaced",
        "backup_tested",
    ):
        return
    again = decide(Observed(**{f: getattr(observed, f) for f in Observed.__slots__} | {"status": first.status}), NOW + timedelta(seconds=5))
    assert again.status == first.status
    assert again.announcements == ()


def test_a_resource_that_is_being_deleted_is_left_alone() -> None:
    decision = decide(seen(deleting=True, jobs=(job(),)), NOW)
    assert decision == Decision("being_deleted", Status())
