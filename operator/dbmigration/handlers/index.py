"""Which resources look at which other objects: their ConfigMaps, a source of Flux, the resource that goes first. None of those carries a
label of ours, so every event of one is looked up here."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dbmigration.api.names import KIND

CONFIG_MAP: Final = "ConfigMap"


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """One DatabaseMigration."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class RestoreKey:
    """One DatabaseRestore."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} (restore)"


@dataclass(frozen=True, slots=True)
class Used:
    """An object that a resource looks at."""

    kind: str
    namespace: str
    name: str


class SourceIndex:
    """What each resource looks at, and who looks at it. Lookups take constant time."""

    def __init__(self) -> None:
        self._users: defaultdict[Used, set[ResourceKey]] = defaultdict(set)
        self._used: dict[ResourceKey, frozenset[Used]] = {}

    def remember(self, key: ResourceKey, used: frozenset[Used]) -> None:
        """The resource now looks at exactly these."""
        before = self._used.get(key, frozenset())
        for each in before - used:
            self._drop(key, each)
        for each in used - before:
            self._users[each].add(key)
        self._used[key] = used

    def forget(self, key: ResourceKey) -> None:
        for each in self._used.pop(key, frozenset()):
            self._drop(key, each)

    def users(self, kind: str, namespace: str, name: str) -> frozenset[ResourceKey]:
        return frozenset(self._users.get(Used(kind, namespace, name), ()))

    def _drop(self, key: ResourceKey, used: Used) -> None:
        users = self._users[used]
        users.discard(key)
        if not users:
            del self._users[used]


def used_by(namespace: str, spec: Mapping[str, Any]) -> frozenset[Used]:
    """What a spec names, as it was read: nobody has validated it."""
    source, promotion = spec.get("source") or {}, spec.get("promotion") or {}
    evidence, after, flux = (promotion.get("evidence") or {}).get("configMapRef"), promotion.get("after"), source.get("fluxRef")
    found = [(CONFIG_MAP, each) for each in (*(source.get("configMaps") or ()), *([evidence] if evidence else ()))]
    found += [(KIND, after)] if after else []
    found += [(str(flux.get("kind")), flux)] if flux else []
    return frozenset(Used(kind, str(each.get("namespace") or namespace), str(each.get("name"))) for kind, each in found)
