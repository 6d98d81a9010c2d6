"""How many runs there are at once: whose turn it is, what is remembered, and who is woken."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dbmigration.api.conditions import find
from dbmigration.api.names import PURPOSE_ANNOTATION, RESOURCE_ANNOTATION, SERVER_ANNOTATION
from dbmigration.api.reasons import Reason
from dbmigration.api.status import DatabaseStatus, Status
from dbmigration.decide.observed import Blocked, Limits, Line, Observed, Place, PodSeen, PodState
from dbmigration.decide.queue import going
from dbmigration.decide.rules import decide
from dbmigration.handlers.index import ResourceKey
from dbmigration.handlers.slots import Slots
from tests.unit.observing import NOW, ended, job, report, run, seen, spec

HERE = DatabaseStatus(identity="7/16384", server_version="15.18")
A_MINUTE = timedelta(minutes=1)


def place(name: str, server: str | None = "7", minutes: float = 0) -> Place:
    """A run that has been there, or has waited, for so many minutes."""
    return Place(f"studio/{name}", server, NOW - timedelta(minutes=minutes))


def due(name: str = "studio", server: str | None = "7", queued_since: datetime | None = None, line: Line | None = None) -> Observed:
    """A resource with something to do."""
    database = DatabaseStatus(identity=f"{server}/16384", server_version="15.18") if server else None
    return seen(name=name, uid=name, status=Status(database=database, queued_since=queued_since), line=line)


@pytest.mark.parametrize(
    ("limits", "under_way", "waiting", "starts"),
    [
        pytest.param(Limits(), [place("a"), place("b")], [], True, id="no-limit"),
        pytest.param(Limits(2), [place("a")], [], True, id="one-place-left"),
        pytest.param(Limits(2), [place("a"), place("b")], [], False, id="operator-full"),
        pytest.param(Limits(0, 1), [place("a")], [], False, id="server-full"),
        pytest.param(Limits(0, 1), [place("a", "8")], [], True, id="another-server-is-busy"),
        pytest.param(Limits(0, 1), [place("a", None)], [], True, id="nobody-knows-its-server"),
        pytest.param(Limits(2), [place("a")], [place("b", minutes=9)], False, id="an-older-one-goes-first"),
        pytest.param(Limits(2), [place("a")], [place("b", minutes=1)], True, id="a-younger-one-does-not"),
        pytest.param(Limits(2, 1), [place("a", "8")], [place("b", "8", minutes=9)], True, id="an-older-one-waits-for-another-server"),
        pytest.param(Limits(2), [place("a"), place("b"), place("c")], [], False, id="over-full"),
    ],
)
def test_whose_turn_it_is(limits: Limits, under_way: list[Place], waiting: list[Place], starts: bool) -> None:
    line = Line(limits, tuple(under_way), tuple(waiting))
    decision = decide(due(queued_since=NOW - 5 * A_MINUTE, line=line), NOW)
    assert (decision.start is not None) is starts
    assert decision.rule == ("run_due" if starts else "queued")
    assert (decision.status.queued_since is None) is starts


def test_waiting_is_said_as_waiting_and_not_said_again() -> None:
    first = decide(due(line=Line(Limits(1), (place("a"),))), NOW)
    ready, reconciling = (find(first.status.conditions, kind) for kind in ("Ready", "Reconciling"))
    assert ready is not None
    assert reconciling is not None
    assert (ready.status, ready.reason, first.status.queued_since) == ("False", Reason.QUEUED, NOW)
    assert "DBMIGRATION_MAX_RUNS" in ready.message
    later = NOW + 3 * A_MINUTE
    again = decide(replace(due(line=Line(Limits(1), (place("other"),), (place("b"),))), status=first.status), later)
    assert again.status == first.status
    assert (again.announcements, first.announcements) == ((), ())


def test_a_person_who_says_stop_takes_it_out_of_the_line() -> None:
    waiting = due(queued_since=NOW, line=Line(Limits(1), (place("a"),)))
    stopped = decide(replace(waiting, spec=spec(suspend=True)), NOW)
    assert (stopped.rule, stopped.status.queued_since) == ("suspended", None)


def test_the_server_that_is_known_is_on_the_job() -> None:
    start = decide(due(), NOW).start
    assert start is not None
    assert start.server == "7"


def key(name: str) -> ResourceKey:
    return ResourceKey("studio", name)


def told(slots: Slots, observed: Observed, minutes: float = 0) -> str:
    """The rule that decided."""
    return slots.decide(key(observed.name), observed, NOW + timedelta(minutes=minutes), decide).rule


def woken(slots: Slots) -> list[str]:
    found: list[ResourceKey] = []
    slots.call(found.append)
    return [each.name for each in found]


def running(name: str, **changes: object) -> Observed:
    return seen(name=name, status=Status(run=run(), database=HERE), jobs=(job(**changes),))


def over(name: str) -> Observed:
    return seen(name=name, status=Status(run=run(), database=HERE), jobs=(ended(report()),))


def test_no_two_get_the_last_place_and_the_oldest_is_woken_alone() -> None:
    slots = Slots(Limits(1))
    assert told(slots, due("a")) == "run_due"
    assert [told(slots, due(name), minutes) for minutes, name in enumerate("bcd", 1)] == ["queued"] * 3
    assert woken(slots) == []
    assert told(slots, running("a")) == "run_active"
    assert woken(slots) == []
    assert told(slots, over("a")) == "run_finished"
    assert woken(slots) == ["b"]
    assert woken(slots) == [], "once"
    assert told(slots, due("c", queued_since=NOW + 2 * A_MINUTE), 9) == "queued"
    assert told(slots, due("b", queued_since=NOW + A_MINUTE), 9) == "run_due"
    assert woken(slots) == []


def test_as_many_are_woken_as_there_is_room_for() -> None:
    slots = Slots(Limits(0, 2))
    for name in "abcdef":
        told(slots, due(name), ord(name))
    assert woken(slots) == []
    told(slots, over("a"))
    told(slots, over("b"))
    assert woken(slots) == ["c", "d"]


def test_a_run_whose_pod_cannot_start_takes_nobodys_turn() -> None:
    slots = Slots(Limits(1))
    told(slots, due("a"))
    told(slots, due("b"))
    stuck = PodSeen(PodState.WAITING, blocked=Blocked(Reason.IMAGE_PULL_FAILED, "no such image"))
    assert told(slots, running("a", pod=stuck)) == "run_active"
    assert woken(slots) == ["b"]


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "refused-by-the-api-server"])
def test_who_is_gone_holds_no_place(gone: bool) -> None:
    slots = Slots(Limits(1))
    told(slots, due("a"))
    told(slots, due("b"))
    told(slots, due("c"), 1)
    slots.forget(key("b" if gone else "a"))
    slots.forget(key("a"))
    assert woken(slots) == (["c"] if gone else ["b"])


def a_job(name: str, **changes: object) -> dict[str, object]:
    annotations = {RESOURCE_ANNOTATION: name, SERVER_ANNOTATION: "7"}
    return {"metadata": {"namespace": "studio", "name": f"{name}-1", "annotations": annotations}, "status": {}} | changes


def test_after_a_restart_what_runs_is_known_before_anything_starts() -> None:
    slots = Slots(Limits(0, 1))
    slots.remember_job(a_job("a"))
    assert told(slots, due("b")) == "queued"
    assert told(slots, due("c", server="8")) == "run_due"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"conditions": [{"type": "Failed", "status": "True"}]}},
        {"status": {"conditions": [{"type": "Complete", "status": "True"}]}},
        {"metadata": {"namespace": "studio", "name": "x", "annotations": {RESOURCE_ANNOTATION: "a", PURPOSE_ANNOTATION: "look"}}},
        {"metadata": {"namespace": "studio", "name": "x"}},
    ],
)
def test_a_job_that_is_over_or_no_run_holds_no_place(changes: dict[str, object]) -> None:
    slots = Slots(Limits(1))
    slots.remember_job(a_job("a", **changes))
    assert told(slots, due("b")) == "run_due"


def test_after_a_restart_the_one_that_waited_longest_is_still_first() -> None:
    slots = Slots(Limits(1))
    slots.remember_job(a_job("a"))
    status = {"queuedSince": (NOW - A_MINUTE).isoformat(), "database": {"identity": "7/16384"}}
    slots.remember_waiting(key("old"), status)
    slots.remember_waiting(key("none"), {})
    slots.remember_waiting(key("odd"), {"queuedSince": "yesterday"})
    assert told(slots, due("young")) == "queued"
    slots.forget(key("a"))
    assert woken(slots) == ["old"]


def test_going_takes_the_oldest_first_and_fills_every_place() -> None:
    line = Line(Limits(3, 1))
    waiting = [place("d", "9", 1), place("c", "8", 2), place("b", "7", 3), place("a", "7", 4), place("e", None, 0.5)]
    assert [each.name for each in going((), waiting, line)] == ["studio/a", "studio/c", "studio/d"]
