"""`spec.window` and `spec.approval`: what a migration waits for although nothing is wrong."""

from typing import Annotated

from pydantic import AfterValidator, Field

from dbmigration.api.durations import milliseconds
from dbmigration.api.fields import DURATION_RULE, Cron, Duration, SpecModel, TimeZone, rule, rules

_A_MINUTE = 60_000
_SHORTEST = "window.duration is at least 1m: cron opens a window on a minute"


def _is_long_enough(text: str) -> str:
    if milliseconds(text) < _A_MINUTE:
        raise ValueError(_SHORTEST)
    return text


class Window(SpecModel):
    """When migrations may run. Outside of it the pending files are planned and linted, and nothing is executed."""

    schedule: Cron
    """When the window opens, in the five fields of cron: minute, hour, day of month, month, day of week."""
    duration: Annotated[
        Duration,
        Field(json_schema_extra=rules(DURATION_RULE, rule("duration(self) >= duration('1m')", _SHORTEST))),
        AfterValidator(_is_long_enough),
    ]
    """How long it stays open, in real time. No file is begun after its end; the one that runs then runs to its own end."""
    time_zone: TimeZone | None = None
    """Whose clock the schedule is about, like Europe/Rome. Default: UTC."""


class Approval(SpecModel):
    """Whether a person has to agree to each plan, by a MigrationApproval object that names its hash."""

    required: bool = True
    """True: pending files are planned and linted, and wait for an approval of exactly that plan."""
