"""DatabaseRestores in the queue: their keys, who waits for which DatabaseMigration, and one look at one of them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from dbmigration.decide.observed import Runner
from dbmigration.decide.restoring.rules import decide
from dbmigration.handlers.index import ResourceKey
from dbmigration.kube.client import Api
from dbmigration.kube.restores import act_on_restore, observe_restore

_log = structlog.stdlib.get_logger("dbmigration.operator")


@dataclass(frozen=True, slots=True)
class RestoreKey:
    """One DatabaseRestore."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} (restore)"


class RestoreIndex:
    """Which DatabaseRestores are about which DatabaseMigration. Lookups take constant time."""

    def __init__(self) -> None:
        self._restores: defaultdict[ResourceKey, set[RestoreKey]] = defaultdict(set)
        self._migrations: dict[RestoreKey, ResourceKey] = {}

    def remember(self, key: RestoreKey, migration: ResourceKey) -> None:
        self.forget(key)
        self._migrations[key] = migration
        self._restores[migration].add(key)

    def forget(self, key: RestoreKey) -> None:
        migration = self._migrations.pop(key, None)
        if migration is not None:
            self._restores[migration].discard(key)
            if not self._restores[migration]:
                del self._restores[migration]

    def about(self, migration: ResourceKey) -> frozenset[RestoreKey]:
        return frozenset(self._restores.get(migration, ()))


def reconcile_restore(api: Api, runner: Runner, key: RestoreKey) -> timedelta | None:
    """Returns when to look again. Raises ApiFailure. Blocks: run it in a thread."""
    now = datetime.now(UTC).replace(microsecond=0)
    seen = observe_restore(api, runner, key.namespace, key.name, now)
    if seen is None:
        return None
    decision = decide(seen.observed, now)
    again_after = act_on_restore(api, seen, decision, now)
    if decision.start is not None or decision.status != seen.observed.status:
        _log.info(
            "decided",
            restore=f"{key.namespace}/{key.name}",
            rule=decision.rule,
            reason=decision.status.conditions[0].reason if decision.status.conditions else None,
            job=decision.status.run.job_name if decision.status.run else None,
        )
    return again_after
