"""`spec.lint` and `spec.driftCheck`: what is looked at before a run, and between runs."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from dbmigration.api.fields import Cron, SpecModel, TimeZone, rule, rules

RuleName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z]+(-[a-z]+)*$")]


class LintFailOn(StrEnum):
    """How bad a finding has to be to be refused."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


class Lint(SpecModel):
    """What a run does about what lint finds in the pending files, before the backup."""

    fail_on: LintFailOn | None = None
    """error: refuse errors (dropped data, long locks). warning: refuse warnings too. never: only say it. Default: what dbmigration.toml
    says, else error."""
    ignore: tuple[RuleName, ...] = Field(default=(), max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"})
    """Rules that are left out for this database. A comment in the file, with its reason, is better: it is reviewed with the file."""


class DriftPolicy(StrEnum):
    """What a run does when the schema is not what migrations made."""

    REPORT = "Report"
    REFUSE = "Refuse"
    OFF = "Off"


_SOMETHING = "driftCheck needs schedule, policy or both"
_ABOUT_THE_SCHEDULE = "driftCheck.timeZone is about driftCheck.schedule: write one"


class DriftCheck(SpecModel):
    """Whether the schema is still what migrations made."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.schedule) || has(self.policy)", _SOMETHING),
            rule("!has(self.timeZone) || has(self.schedule)", _ABOUT_THE_SCHEDULE),
        )
    )

    schedule: Cron | None = None
    """When to look between runs, in the five fields of cron: minute, hour, day of month, month, day of week. A look is a Job that only
    reads."""
    time_zone: TimeZone | None = None
    """Whose clock the schedule is about, like Europe/Rome. Default: UTC."""
    policy: DriftPolicy | None = None
    """What each run does about drift. Report: say it. Refuse: SchemaDrifted, nothing runs. Off: do not look. Default: what dbmigration.toml
    says, else Report."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.schedule is None and self.policy is None:
            raise ValueError(_SOMETHING)
        if self.time_zone is not None and self.schedule is None:
            raise ValueError(_ABOUT_THE_SCHEDULE)
        return self
