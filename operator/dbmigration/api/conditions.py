"""The one place that sets conditions, as the Kubernetes API conventions and kstatus read them.

`Ready` is always there. `Reconciling` and `Stalled` are there only while True, and never both; with either, `Ready` is False.
`lastTransitionTime` moves only when a condition's status changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import ConfigDict, Field

from dbmigration.api.reported import Reported
from dbmigration.api.visible import visible

MESSAGE_LIMIT = 1024
"""Longest message of a condition, in bytes."""


class ConditionType(StrEnum):
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    BACKED_UP = "BackedUp"
    VERIFIED = "Verified"
    SCHEMA_IN_SYNC = "SchemaInSync"
    RESTORED = "Restored"
    SWAPPED = "Swapped"


class Condition(Reported):
    """One aspect of the resource, as in meta/v1."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str = Field(max_length=316)
    """Ready, Reconciling, Stalled, or what else is known about it."""
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    """True, False or Unknown."""
    reason: str = Field(min_length=1, max_length=1024)
    """One word; docs/runbook has a page for each."""
    message: str = Field(default="", max_length=32768)
    """What happened and what to do, for a person."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int | None = None
    """The generation of the resource this was said about."""


class Work(StrEnum):
    """Whether the operator is at it. A person or a clock that is waited for is IDLE with `ready` False."""

    IDLE = "Idle"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of `Ready`. `ready` goes with Work.IDLE only."""

    ready: bool
    work: Work
    reason: str
    message: str

    def __post_init__(self) -> None:
        if self.ready and self.work is not Work.IDLE:
            raise ValueError(f"Ready cannot be True while {self.work}")


@dataclass(frozen=True, slots=True)
class Proof:
    """What is to be said of one of the other conditions. `proved` None: nobody knows."""

    proved: bool | None
    reason: str
    message: str


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` made visible and cut to `limit` bytes of UTF-8, with an ellipsis when something was cut."""
    text = visible(text)
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - 3].decode(errors="ignore") + "…"


def find(conditions: Sequence[Condition], kind: str) -> Condition | None:
    return next((c for c in conditions if c.type == kind), None)


def set_conditions(
    previous: Sequence[Condition],
    verdict: Verdict,
    *,
    generation: int,
    now: datetime,
    backed_up: Proof | None = None,
    verified: Proof | None = None,
    in_sync: Proof | None = None,
    restored: Proof | None = None,
    swapped: Proof | None = None,
) -> tuple[Condition, ...]:
    """All conditions of the resource after `verdict`, in a fixed order.

    `backed_up` and its like None: what was said before stays, about the present generation. `restored` and `swapped` are a
    DatabaseRestore's.
    """

    def condition(kind: ConditionType, status: bool | None, reason: str, message: str) -> Condition:
        return _condition(previous, kind, Proof(status, reason, message), generation, now)

    def proof(kind: ConditionType, given: Proof | None) -> Condition | None:
        if given is not None:
            return _condition(previous, kind, given, generation, now)
        before = find(previous, kind)
        return before.model_copy(update={"observed_generation": generation}) if before else None

    work = {Work.RECONCILING: ConditionType.RECONCILING, Work.STALLED: ConditionType.STALLED}.get(verdict.work)
    found = (
        condition(ConditionType.READY, verdict.ready, verdict.reason, verdict.message),
        condition(work, True, verdict.reason, verdict.message) if work else None,
        proof(ConditionType.BACKED_UP, backed_up),
        proof(ConditionType.VERIFIED, verified),
        proof(ConditionType.SCHEMA_IN_SYNC, in_sync),
        proof(ConditionType.RESTORED, restored),
        proof(ConditionType.SWAPPED, swapped),
    )
    return tuple(c for c in found if c is not None)


def set_proof(previous: Sequence[Condition], kind: ConditionType, proof: Proof, *, generation: int, now: datetime) -> tuple[Condition, ...]:
    """The same conditions, and what `proof` says of `kind`: for what is found out beside a run. It stands last where it is new."""
    said = _condition(previous, kind, proof, generation, now)
    if find(previous, kind) is None:
        return (*previous, said)
    return tuple(said if condition.type == kind else condition for condition in previous)


def _condition(previous: Sequence[Condition], kind: ConditionType, proof: Proof, generation: int, now: datetime) -> Condition:
    before = find(previous, kind)
    word = "Unknown" if proof.proved is None else "True" if proof.proved else "False"
    return Condition(
        type=kind,
        status=word,
        reason=proof.reason,
        message=clip(proof.message),
        last_transition_time=now if before is None or before.status != word else before.last_transition_time,
        observed_generation=generation,
    )
