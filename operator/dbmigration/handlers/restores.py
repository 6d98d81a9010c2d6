"""DatabaseRestores in the queue: their keys, and who waits for which DatabaseMigration."""

from collections import defaultdict

from dbmigration.handlers.index import ResourceKey, RestoreKey


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
