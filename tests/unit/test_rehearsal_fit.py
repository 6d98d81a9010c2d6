"""Whether the rehearsed files fit into what is left of a window."""

from datetime import timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.decide.fit import Fit, fit, lasting
from dbmigration.decide.rules import decide
from tests.unit.observing import BACKUP, NOW, seen, spec
from tests.unit.rehearsing import HOUR, MINUTE, OPEN, after, prepared, rehearsal


def test_a_rollback_that_would_not_fit_into_the_window_is_not_started() -> None:
    found = rehearsal(90, plan_hash="sha256:back", lost=("public.a: 3 of 100 rows",))
    back = spec(rehearsal={}, window=OPEN, rollback={"to": "004"})
    said = prepared(found, plan_hash="sha256:back", pending=0, pending_names=())
    decision = after(back, said)
    assert (decision.rule, decision.start) == ("window_too_short", None)
    assert decision.status.rehearsal is not None
    assert decision.status.rehearsal.lost == ("public.a: 3 of 100 rows",)


@pytest.mark.parametrize(
    ("files", "left", "whole", "expected"),
    [
        ([10, 20], 45, 120, Fit.NOW),
        ([10, 20], 44, 120, Fit.LATER),
        ([60, 60], 90, 120, Fit.NOW),  # together they fit no window, the first fits this one
        ([60, 60], 89, 120, Fit.LATER),
        ([81, 1], 120, 120, Fit.NEVER),
        ([], 0, 120, Fit.NOW),
    ],
)
def test_files_fit_together_or_one_by_one(files: list[int], left: int, whole: int, expected: Fit) -> None:
    assert fit(files, left_ms=left, whole_ms=whole) is expected


@pytest.mark.parametrize(("ms", "words"), [(0, "0 ms"), (12_340, "12.3 s"), (4 * MINUTE, "4 min"), (2 * HOUR + 5 * MINUTE, "2 h 5 min")])
def test_times_are_said_as_a_person_says_them(ms: int, words: str) -> None:
    assert lasting(ms) == words


@pytest.mark.parametrize(
    ("minutes", "rule", "says"),
    [
        ((30,), "run_due", ""),
        ((50,), "window_too_short", "50 min in the rehearsal"),
        ((50,), "window_too_short", "fit into the 1 h 0 min that are left of this window; the next opens at 2026-11-24T11:00:00Z"),
        ((90, 1), "window_too_short", "005_x.sql took 1 h 30 min in the rehearsal"),
        ((90, 1), "window_too_short", "longer than any window of 2h: widen spec.window, or split the file"),
        ((35, 70), "run_due", ""),
    ],
)
def test_a_run_that_would_not_fit_into_the_window_is_not_started(minutes: tuple[int, ...], rule: str, says: str) -> None:
    decision = after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(*minutes)))
    assert decision.rule == rule
    if says:
        ready = find(decision.status.conditions, ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", Reason.WINDOW_CLOSED)
        assert says in ready.message
        assert not {each.type for each in decision.status.conditions} & {ConditionType.RECONCILING, ConditionType.STALLED}
        assert decision.status.window is not None
        assert decision.start is None


def test_it_starts_when_the_next_window_opens() -> None:
    given = spec(rehearsal={}, window=OPEN)
    waits = after(given, prepared(rehearsal(50)))
    opening = NOW + timedelta(hours=23)
    closed = decide(seen(spec=given, status=waits.status), NOW + timedelta(hours=2))
    assert closed.rule == "window_closed"
    opened = decide(seen(spec=given, status=closed.status), opening)
    assert opened.start is not None
    assert opened.start.request.window_ms == 2 * HOUR
    assert opened.start.request.rehearsal is not None
    assert opened.start.request.rehearsal.proved_plan == "sha256:plan"


@pytest.mark.parametrize(("minutes", "says"), [(90, "longer than any window of 2h"), (30, "the window opens at 2026-11-24T09:00:00Z")])
def test_that_a_file_fits_into_no_window_is_said_before_one_opens(minutes: int, says: str) -> None:
    decision = after(spec(rehearsal={}, window={"schedule": "0 9 * * *", "duration": "2h"}), prepared(rehearsal(minutes)))
    assert decision.rule == "window_closed"
    ready = find(decision.status.conditions, ConditionType.READY)
    assert ready is not None
    assert says in ready.message
    assert decision.status.window is not None


def test_what_comes_before_the_files_counts_too() -> None:
    """30 minutes of files fit into an hour with their margin; with a backup of 20 minutes before them they do not."""
    backup = BACKUP.model_copy(update={"started_at": NOW - timedelta(minutes=20)})
    assert after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(30), backup=backup)).rule == "window_too_short"


@pytest.mark.parametrize("plan_hash", ["sha256:plan", "sha256:rest"])
@pytest.mark.parametrize(("left", "rule"), [(20, "run_due"), (50, "window_too_short")])
def test_of_an_interrupted_run_only_the_rest_has_to_fit(plan_hash: str, left: int, rule: str) -> None:
    """The report of the run that was interrupted has the hash of the whole plan, that of the next one has the rest's."""
    rest = {"pending": 1, "pending_names": ("006_x.sql",), "plan_hash": plan_hash}
    assert after(spec(rehearsal={}, window=OPEN), prepared(rehearsal(40, left)).model_copy(update=rest)).rule == rule
