"""A database that a restore was put in the place of."""

from dataclasses import replace
from datetime import timedelta

from dbmigration.decide.rules import decide
from tests.unit.deciding import NEITHER, SUSPENDED, SWAPPED, ready, status
from tests.unit.observing import NOW, ended, report, seen, succeeded


def test_what_was_known_of_a_replaced_database_answers_for_nothing() -> None:
    """Without that, the stored success of the old database would make the restored one Ready, with nothing run and nothing looked at."""
    before = decide(seen(jobs=(ended(report()),)), NOW).status
    assert (before.version, before.database is not None) == ("004", True)
    replaced = decide(seen(status=before, restores=(SWAPPED,)), NOW)
    after = replaced.status
    assert (after.version, after.applied, after.database, after.plan, after.migrations) == (None, None, None, None, ())
    assert (after.source, after.rehearsal) == (None, None)
    assert after.backup == before.backup
    assert after.runs == before.runs
    assert after.replaced is not None
    assert (after.replaced.by, after.replaced.job_name) == ("back", "back-swap-1")
    assert [a.reason for a in replaced.announcements] == ["DatabaseReplaced"]
    waits = decide(seen(spec=SUSPENDED, status=after, restores=(SWAPPED,)), NOW)
    assert ready(waits) == ("False", "Suspended", NEITHER)
    assert "back replaced the database" in waits.status.conditions[0].message
    assert decide(seen(status=after, restores=(SWAPPED,)), NOW).rule == "run_due"


def test_a_replacement_is_noticed_once() -> None:
    after = decide(seen(status=status(succeeded()), restores=(SWAPPED,)), NOW).status
    older = replace(SWAPPED, name="back-swap-0", created_at=NOW - timedelta(days=1))
    assert decide(seen(status=after, restores=(older,)), NOW).rule == "run_due"
    newer = replace(SWAPPED, name="again-swap-1", created_at=NOW + timedelta(days=1))
    assert decide(seen(status=after, restores=(SWAPPED, newer)), NOW + timedelta(days=1)).rule == "database_replaced"


def test_a_file_that_was_set_aside_runs_again_when_a_person_asks() -> None:
    after = decide(seen(status=status(succeeded()), restores=(SWAPPED,)), NOW).status
    asked = decide(seen(status=after, retry="as it is"), NOW).start
    unasked = decide(seen(status=after), NOW).start
    assert asked is not None
    assert unasked is not None
    assert (asked.request.reapply_rolled_back, unasked.request.reapply_rolled_back) == (True, False)
