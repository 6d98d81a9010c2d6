"""Attempts, of a run as of a step of a restore: when the next one is due, and what is said of the newest."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from dbmigration.api.conditions import Verdict, Work, clip
from dbmigration.api.durations import milliseconds
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Retry
from dbmigration.decide.observed import Blocked

MOST_BACKOFF: Final = timedelta(minutes=5)


class Attempt(Protocol):
    """The newest one, as status has it."""

    @property
    def key(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def job_name(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def next_retry_at(self) -> datetime | None: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def trace_id(self) -> str | None: ...


def backoff(retry: Retry, failures: int) -> timedelta:
    """Pause after the `failures`-th failure in a row: retry.backoff, doubled each time, at most 5 minutes."""
    first = timedelta(milliseconds=milliseconds(retry.backoff))
    return min(first * (1 << min(failures - 1, 20)), MOST_BACKOFF)


def has_result_of(newest: Attempt | None, job_name: str) -> bool:
    """The result of that Job is stored."""
    return newest is not None and newest.job_name == job_name and newest.finished_at is not None


def failed_verdict(newest: Attempt) -> Verdict:
    """What a failed attempt says of Ready: when the next one is, or that there is none."""
    reason, message = newest.reason or Reason.INTERNAL_ERROR, newest.message or ""
    if newest.next_retry_at is None:
        return Verdict(False, Work.STALLED, reason, message)
    when = newest.next_retry_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Verdict(False, Work.RECONCILING, reason, f"{clip(message, 900)} (attempt {newest.attempt}; the next one is at {when})")


def blocked_verdict(blocked: Blocked) -> Verdict:
    """What is said of Ready while a pod does not start."""
    return Verdict(False, Work.RECONCILING, blocked.reason, blocked.message)
