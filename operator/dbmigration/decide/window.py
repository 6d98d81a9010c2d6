"""When a maintenance window is open. Pure: cron, a duration and the IANA time zones.

A time that the clocks leave out in spring opens the window right after the gap; one that they show twice in autumn opens it once.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dbmigration.api.durations import milliseconds
from dbmigration.api.gates import Window

_MINUTE = timedelta(minutes=1)


def closes_at(window: Window, now: datetime) -> datetime | None:
    """The end, in UTC, of the window that is open at `now`; None while it is closed. At its very end it is closed."""
    opened = _last_opening(window, now)
    if opened is None:
        return None
    end = opened + timedelta(milliseconds=milliseconds(window.duration))
    return end if now < end else None


def next_opening(window: Window, now: datetime) -> datetime | None:
    """When it opens next after `now`, in UTC; None when it never does (the 31st of February)."""
    following = next(CronSim(window.schedule, now.astimezone(_zone(window))), None)
    return following.astimezone(UTC) if following is not None else None


def _last_opening(window: Window, now: datetime) -> datetime | None:
    # Strictly before the given time, in whole minutes: one that opens at this very minute counts too.
    local = (now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE).astimezone(_zone(window))
    opened = next(CronSim(window.schedule, local, reverse=True), None)
    return opened.astimezone(UTC) if opened is not None else None


def _zone(window: Window) -> tzinfo:
    return ZoneInfo(window.time_zone) if window.time_zone else UTC
