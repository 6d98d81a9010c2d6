"""DatabaseRestores in the queue: their keys, and who waits for which DatabaseMigration."""

from collections import defaultdict
from dataclasses import dataclass

from dbmigration.handlers.index import ResourceKey


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
