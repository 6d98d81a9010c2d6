"""A resource as it was at one moment, and what its conditions say."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from dbmigration.api.conditions import Condition, ConditionType, find
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.states import State
from dbmigration.api.status import Status
from tests.e2e.watch import Json

AnyStatus = TypeVar("AnyStatus", Status, RestoreStatus)


@dataclass(frozen=True)
class SeenResource(Generic[AnyStatus]):
    """Of either kind."""

    uid: str
    generation: int
    resource_version: str
    raw: Json
    status: AnyStatus

    def condition(self, kind: ConditionType) -> Condition | None:
        return find(self.status.conditions, kind)

    def true(self, kind: ConditionType) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"

    @property
    def current(self) -> bool:
        """The operator has seen the newest spec."""
        return self.status.observed_generation == self.generation

    @property
    def ready(self) -> bool:
        return self.true(ConditionType.READY)

    @property
    def stalled(self) -> bool:
        return self.true(ConditionType.STALLED)

    @property
    def reconciling(self) -> bool:
        return self.true(ConditionType.RECONCILING)

    @property
    def reason(self) -> str | None:
        """Why it is Ready, or is not."""
        found = self.condition(ConditionType.READY)
        return found.reason if found else None

    @property
    def message(self) -> str:
        found = self.condition(ConditionType.READY)
        return found.message if found else ""


class Seen(SeenResource[Status]):
    """A DatabaseMigration."""

    @classmethod
    def of(cls, raw: Json) -> "Seen":
        metadata = raw["metadata"]
        status = Status.model_validate(raw.get("status", {}))
        return cls(metadata["uid"], metadata["generation"], metadata["resourceVersion"], raw, status)

    @property
    def states(self) -> dict[str, State]:
        return {migration.name: migration.state for migration in self.status.migrations}


class SeenRestore(SeenResource[RestoreStatus]):
    """A DatabaseRestore."""

    @classmethod
    def of(cls, raw: Json) -> "SeenRestore":
        metadata = raw["metadata"]
        status = RestoreStatus.model_validate(raw.get("status", {}))
        return cls(metadata["uid"], metadata["generation"], metadata["resourceVersion"], raw, status)
