"""Which resources use which ConfigMap, and which wait for which other resource. Users' ConfigMaps carry no label of ours, so every event of
one is looked up here."""

from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """One DatabaseMigration."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class SourceIndex:
    """Namespace and name of a ConfigMap to the resources that name it, in spec.source or as evidence; a resource to those that come after
    it (spec.promotion.after). Lookups take constant time."""

    def __init__(self) -> None:
        self._after: dict[ResourceKey, ResourceKey] = {}
        self._next: defaultdict[ResourceKey, set[ResourceKey]] = defaultdict(set)
        self._users: defaultdict[tuple[str, str], set[ResourceKey]] = defaultdict(set)
        self._sources: dict[ResourceKey, frozenset[str]] = {}

    def remember(self, key: ResourceKey, config_maps: frozenset[str], after: ResourceKey | None = None) -> None:
        """The resource now uses exactly `config_maps`, and waits for `after`."""
        self._follow(key, after)
        before = self._sources.get(key, frozenset())
        for name in before - config_maps:
            self._drop(key, name)
        for name in config_maps - before:
            self._users[key.namespace, name].add(key)
        self._sources[key] = config_maps

    def forget(self, key: ResourceKey) -> None:
        self._follow(key, None)
        for name in self._sources.pop(key, frozenset()):
            self._drop(key, name)

    def users(self, namespace: str, config_map: str) -> frozenset[ResourceKey]:
        return frozenset(self._users.get((namespace, config_map), ()))

    def followers(self, key: ResourceKey) -> frozenset[ResourceKey]:
        """Those that wait for `key`."""
        return frozenset(self._next.get(key, ()))

    def _follow(self, key: ResourceKey, after: ResourceKey | None) -> None:
        before = self._after.pop(key, None)
        if before is not None:
            self._next[before].discard(key)
            if not self._next[before]:
                del self._next[before]
        if after is not None:
            self._after[key] = after
            self._next[after].add(key)

    def _drop(self, key: ResourceKey, name: str) -> None:
        users = self._users[key.namespace, name]
        users.discard(key)
        if not users:
            del self._users[key.namespace, name]
