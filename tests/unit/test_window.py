"""The window: open and closed across changes of the clocks, and what a resource says and starts on either side of its edges."""

from datetime import UTC, datetime, timedelta

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.gates import Window
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.spec import Spec
from dbmigration.api.status import RunStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.rules import decide
from dbmigration.decide.window import closes_at, longest, next_opening
from tests.unit.observing import NOW, ended, failure_report, files, job, key_of, report, run, seen, spec, succeeded

ROME = Window(schedule="30 2 * * *", duration="2h", time_zone="Europe/Rome")
NEW_YORK = Window(schedule="30 2 * * *", duration="2h", time_zone="America/New_York")
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        (ROME, "2026-01-10T01:30", "2026-01-10T03:30"),
        (ROME, "2026-07-10T00:30", "2026-07-10T02:30"),
        # 02:30 does not exist: right after the gap. 02:30 comes twice: the first one, once.
        (ROME, "2026-03-29T01:00", "2026-03-29T03:00"),
        (ROME, "2026-10-25T00:30", "2026-10-25T02:30"),
        (NEW_YORK, "2026-03-08T07:00", "2026-03-08T09:00"),
        (NEW_YORK, "2026-11-01T07:30", "2026-11-01T09:30"),
        (Window(schedule="30 1 * * *", duration="90m", time_zone="America/New_York"), "2026-11-01T05:30", "2026-11-01T07:00"),
        (Window(schedule="0 22 * * 5", duration="50h", time_zone="Europe/Rome"), "2026-10-23T20:00", "2026-10-25T22:00"),
        (Window(schedule="0 2 * * 6", duration="4h"), "2026-11-28T02:00", "2026-11-28T06:00"),
    ],
)
def test_a_window_is_open_from_its_first_instant_to_just_before_its_last(window: Window, opens: str, closes: str) -> None:
    begin, end = utc(opens), utc(closes)
    assert next_opening(window, begin - MINUTE) == begin
    assert closes_at(window, begin - timedelta(microseconds=1)) is None
    assert closes_at(window, begin) == closes_at(window, begin + MINUTE / 2) == end
    assert closes_at(window, end - timedelta(microseconds=1)) == end
    assert closes_at(window, end) is None
    assert (next_opening(window, begin) or begin) > end


def test_a_time_that_comes_twice_opens_once() -> None:
    window = Window(schedule="30 1 * * *", duration="10m", time_zone="America/New_York")
    assert closes_at(window, utc("2026-11-01T05:35")) == utc("2026-11-01T05:40")
    assert closes_at(window, utc("2026-11-01T06:35")) is None
    assert next_opening(window, utc("2026-11-01T05:31")) == utc("2026-11-02T06:30")


HOURLY = Window(schedule="0 1,2,3 * * *", duration="1h", time_zone="Europe/Rome")
DAILY = Window(schedule="0 1 * * *", duration="24h", time_zone="Europe/Rome")


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        (Window(schedule="0 2,4 * * *", duration="2h"), "2026-11-10T02:00", "2026-11-10T06:00"),  # touching
        (Window(schedule="0 2,3 * * *", duration="2h"), "2026-11-10T02:00", "2026-11-10T05:00"),  # overlapping
        (Window(schedule="0 2,4 * * *", duration="119m"), "2026-11-10T02:00", "2026-11-10T03:59"),
        (Window(schedule="0 2,4 * * *", duration="2h1s"), "2026-11-10T02:00", "2026-11-10T06:00:01"),
        (Window(schedule="0 22 * * 1-5", duration="24h"), "2026-11-09T22:00", "2026-11-14T22:00"),
        (HOURLY, "2026-01-10T00:00", "2026-01-10T03:00"),
        # Spring: 02:00 does not exist and opens at 03:00, as 03:00 does. Autumn: the second 02:00 opens nothing, and an hour is missing.
        (HOURLY, "2026-03-29T00:00", "2026-03-29T02:00"),
        (HOURLY, "2026-10-24T23:00", "2026-10-25T01:00"),
        (HOURLY, "2026-10-25T02:00", "2026-10-25T03:00"),
        # A day of 25 hours ends an hour after the window that was open all week, and more.
        (DAILY, "2026-10-19T23:00", "2026-10-25T23:00"),
    ],
)
def test_windows_that_touch_or_overlap_are_one(window: Window, opens: str, closes: str) -> None:
    begin, end = utc(opens), utc(closes)
    assert closes_at(window, begin) == closes_at(window, end - timedelta(microseconds=1)) == end
    assert closes_at(window, end) is None
    opening = next_opening(window, begin)
    assert opening == next_opening(window, end)
    assert opening is not None
    assert opening > end


def test_one_that_never_closes_is_open_for_a_week_and_more() -> None:
    for schedule, duration in (("0 0 * * *", "24h"), ("0 */6 * * *", "12h")):
        closes = closes_at(Window(schedule=schedule, duration=duration), NOW)
        assert closes is not None
        assert closes - NOW >= timedelta(days=6)


@pytest.mark.parametrize(
    ("window", "now", "hours"),
    [
        (Window(schedule="0 2 * * *", duration="4h"), "2026-11-10T03:00", 4),
        (Window(schedule="0 2,4,20 * * *", duration="2h"), "2026-11-10T20:30", 4),
        (Window(schedule="0 22 * * 5,6", duration="24h"), "2026-11-10T03:00", 48),
        (Window(schedule="0 2 1 * *", duration="4h"), "2026-11-10T03:00", 4),
        (HOURLY, "2026-10-25T12:00", 3),
    ],
)
def test_the_longest_window_is_the_longest_after_joining(window: Window, now: str, hours: int) -> None:
    assert longest(window, utc(now)) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "window",
    [
        {"schedule": "0 2 * * 6"},
        {"duration": "4h"},
        {"schedule": "x", "duration": "4h"},
        {"schedule": "0 0 31 2 *", "duration": "4h"},
        {"schedule": "0 2 * * 6", "duration": "4h", "timeZone": "Mars/Base"},
        {"schedule": "0 2 * * 6", "duration": "5s"},
    ],
)
def test_half_a_window_is_refused(window: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="window"):
        spec(window=window)


# NOW is 12:00 UTC.
CLOSED = spec(window={"schedule": "0 14 * * *", "duration": "1h"})
OPEN = spec(window={"schedule": "30 11 * * *", "duration": "1h"})
PREPARED = report(
    reason=Reason.PREPARED, executed_sql=False, applied_now=(), pending=2, backup=None, backup_reason=None, verify_reason=None
)
CLOSED_IN_MID_RUN = failure_report(Reason.WINDOW_CLOSED, transient=True, executed_sql=True, outcome=Outcome.INTERRUPTED)


def of(given: Spec, the_run: RunStatus) -> RunStatus:
    return the_run.model_copy(update={"spec_hash": keys.spec_hash(given)})


def ready(decision: Decision) -> tuple[str, str, int]:
    """Status and reason of Ready, and how many of Reconciling and Stalled are there."""
    found = find(decision.status.conditions, ConditionType.READY)
    assert found is not None
    return found.status, found.reason, sum(c.type in (ConditionType.RECONCILING, ConditionType.STALLED) for c in decision.status.conditions)


def after(given: Spec, said: object) -> Decision:
    """What is decided right after a run of `given` has ended with this report."""
    first = decide(seen(spec=given, status=Status(run=of(given, run())), jobs=(ended(said),)), NOW)  # type: ignore[arg-type]
    assert first.rule == "run_finished"
    return decide(seen(spec=given, status=first.status, jobs=(ended(said, complete=True),)), NOW)  # type: ignore[arg-type]


def test_while_it_is_closed_a_run_only_prepares() -> None:
    start = decide(seen(spec=CLOSED), NOW).start
    assert start is not None
    assert (start.request.prepare, start.request.window_closes_at) == (True, None)


def test_while_it_is_open_a_run_knows_when_it_closes() -> None:
    start = decide(seen(spec=OPEN), NOW).start
    assert start is not None
    assert (start.request.prepare, start.request.window_closes_at) == (False, NOW + timedelta(minutes=30))


def test_nothing_pending_is_ready_while_it_is_closed() -> None:
    decision = after(CLOSED, report(applied_now=(), backup=None, backup_reason=Reason.NOTHING_PENDING))
    assert (decision.rule, ready(decision)) == ("settled", ("True", "UpToDate", 0))


def test_pending_files_wait_and_the_opening_starts_the_run_that_applies() -> None:
    waits = after(CLOSED, PREPARED)
    assert (waits.rule, ready(waits), waits.start) == ("window_closed", ("False", "WindowClosed", 0), None)
    opening = NOW + timedelta(hours=2)
    assert waits.status.window is not None
    assert waits.status.window.next_opening == opening
    assert waits.again_after == timedelta(hours=1), "an hour is the longest look"
    just_before = decide(seen(spec=CLOSED, status=waits.status), opening - timedelta(seconds=7))
    assert (just_before.rule, just_before.again_after) == ("window_closed", timedelta(seconds=7))
    assert just_before.status == waits.status, "an idle operator writes nothing"
    opened = decide(seen(spec=CLOSED, status=waits.status), opening)
    assert opened.start is not None
    assert (opened.start.request.prepare, opened.start.request.window_closes_at) == (False, opening + timedelta(hours=1))
    assert (ready(opened), opened.status.window) == (("False", "Running", 1), None)


def test_a_run_that_the_end_stopped_is_no_failure_and_waits_for_the_next() -> None:
    waits = after(CLOSED, CLOSED_IN_MID_RUN)
    assert (waits.rule, ready(waits)) == ("window_closed", ("False", "WindowClosed", 0))
    assert waits.status.run is not None
    assert (waits.status.run.failures, waits.status.run.counted, waits.status.run.final) == (0, 0, False)


def test_a_retry_that_asks_again_is_asked_of_the_run_that_applies() -> None:
    given = {"spec": CLOSED, "retry": "2"}
    before = Status(run=of(CLOSED, run(key=key_of(CLOSED, retry="2"))), last_handled_retry="1")
    first = decide(seen(**given, status=before, jobs=(ended(PREPARED, run_key=key_of(CLOSED, retry="2"), retry_value="2"),)), NOW)
    opened = decide(seen(**given, status=first.status), NOW + timedelta(hours=2))
    assert opened.start is not None
    assert opened.start.request.reapply_rolled_back


def test_another_window_is_waited_for_with_the_same_plan() -> None:
    moved = spec(window={"schedule": "0 15 * * *", "duration": "1h"})
    decision = decide(seen(spec=moved, status=after(CLOSED, PREPARED).status), NOW)
    assert (decision.rule, decision.start) == ("window_closed", None)
    assert decision.status.window is not None
    assert decision.status.window.next_opening == NOW + timedelta(hours=3)


@pytest.mark.parametrize("changed", ["files", "no window"])
def test_what_changes_while_it_waits_is_planned_at_once(changed: str) -> None:
    waits = after(CLOSED, PREPARED)
    other = {
        "files": seen(spec=CLOSED, source=files("new"), status=waits.status),
        "no window": seen(status=waits.status),
    }[changed]
    start = decide(other, NOW).start
    assert start is not None
    assert start.request.prepare is (changed != "no window")


def test_it_is_announced_once_and_is_no_warning() -> None:
    told = after(CLOSED, PREPARED).announcements
    assert [(each.reason, each.warning) for each in told] == [("WindowClosed", False), ("NextSteps", False)]


def test_a_window_added_to_a_settled_resource_starts_nothing() -> None:
    decision = decide(seen(spec=CLOSED, status=Status(run=succeeded()), jobs=(job(complete=True),)), NOW)
    assert (decision.rule, decision.start) == ("settled", None)
