"""When a maintenance window is open. Pure: cron, a duration and the IANA time zones.

A time that the clocks leave out in spring opens the window right after the gap; one that they show twice in autumn opens it once.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dbmigration.api.durations import milliseconds
from dbmigration.api.gates import Window

_MINUTE = timedelta(minutes=1)
_AHEAD: Final = timedelta(days=7)
"""How far windows are joined, and compared: one that never closes is taken for so long."""
_MOST_JOINED: Final = 500
_MOST_COMPARED: Final = 50


def closes_at(window: Window, now: datetime) -> datetime | None:
    """The end, in UTC, of the window that is open at `now`; None while it is closed. At its very end it is closed.

    Windows that overlap or touch are one: its end is that of the last of them.
    """
    opened = _last_opening(window, now)
    if opened is None or now >= opened + _duration(window):
        return None
    return _closing(window, opened)


def next_opening(window: Window, now: datetime) -> datetime | None:
    """When it opens next after `now`, or, while it is open, after its end, in UTC; None when it never does (the 31st of February)."""
    return _following(window, closes_at(window, now) or now)


def longest(window: Window, now: datetime) -> timedelta:
    """The longest of those that open in the days to come: windows that overlap or touch are one."""
    found, at = _duration(window), closes_at(window, now) or now
    for _ in range(_MOST_COMPARED):
        opening = _following(window, at)
        if opening is None or opening > now + _AHEAD:
            break
        at = _closing(window, opening)
        found = max(found, at - opening)
    return found


def _closing(window: Window, opened: datetime) -> datetime:
    """When one closes that opens at `opened`."""
    end = opened + _duration(window)
    for following in islice(CronSim(window.schedule, opened.astimezone(_zone(window))), _MOST_JOINED):
        if following > end or end - opened >= _AHEAD:
            break
        end = following.astimezone(UTC) + _duration(window)
    return end


def _following(window: Window, after: datetime) -> datetime | None:
    following = next(CronSim(window.schedule, after.astimezone(_zone(window))), None)
    return following.astimezone(UTC) if following is not None else None


def _last_opening(window: Window, now: datetime) -> datetime | None:
    """The newest until `now`."""
    # Strictly before the given time, in whole minutes: one that opens at this very minute counts too.
    local = (now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE).astimezone(_zone(window))
    opened = next(CronSim(window.schedule, local, reverse=True), None)
    if opened is None:
        return None
    # In the minute before a time of the clock comes for the second time, what is before it on the clock leaves its first time out.
    for following in CronSim(window.schedule, opened):
        if following > now:
            break
        opened = following
    return opened.astimezone(UTC)


def _duration(window: Window) -> timedelta:
    return timedelta(milliseconds=milliseconds(window.duration))


def _zone(window: Window) -> tzinfo:
    return ZoneInfo(window.time_zone) if window.time_zone else UTC
