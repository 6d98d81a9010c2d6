"""`spec.promotion`, `spec.approval` and `spec.window`: what a migration waits for although nothing is wrong."""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from dbmigration.api.durations import milliseconds
from dbmigration.api.fields import DURATION_RULE, Cron, Duration, ObjectName, SpecModel, TimeZone, rule, rules

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


_ONE_STAGE = "promotion takes exactly one of after (a DatabaseMigration of this cluster) and evidence (a ConfigMap from another one)"


class PromotionAfter(SpecModel):
    """The DatabaseMigration that goes first. The operator has to watch its namespace too."""

    name: ObjectName
    """Its name."""
    namespace: ObjectName | None = None
    """Its namespace. Default: the resource's own."""


class EvidenceConfigMap(SpecModel):
    """A ConfigMap of the resource's own namespace."""

    name: ObjectName
    """Name of the ConfigMap. Whoever may write it may promote."""


class Evidence(SpecModel):
    """What `dbmigration status --evidence` printed about the database that goes first."""

    config_map_ref: EvidenceConfigMap
    """Where it is."""


class Promotion(SpecModel):
    """Which database goes first: pending files wait until the same ones are applied there, or skipped for its environment. Exactly one."""

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.after) != has(self.evidence)", _ONE_STAGE)))

    after: PromotionAfter | None = None
    """A DatabaseMigration of this cluster. It has to be Ready."""
    evidence: Evidence | None = None
    """A ConfigMap with evidence from another cluster."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.after is None) == (self.evidence is None):
            raise ValueError(_ONE_STAGE)
        return self
