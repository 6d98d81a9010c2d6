"""What differs between two schemas, object by object."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from dbmigration.catalog.model import ON, POSITION, Parts, Snapshot

GRANTS: Final = "grants"
COLUMN_ORDER: Final = "column order"
_KINDS: Final = (
    "materialized view",
    "foreign table",
    "foreign server",
    "composite type",
    "range type",
    "event trigger",
    "default privileges",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "operator class",
    "operator family",
    "foreign-data wrapper",
    "access method",
)
"""Kinds of more than one word: an identity is "kind name"."""


class Change(StrEnum):
    MISSING = "missing"
    ADDED = "added"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `part` says what of a CHANGED object; `expected` and `actual` are its texts, None where there is none.

    `within` counts the objects that came or went with this one and are not named: a missing table's columns and indexes.
    Its str is one line for a person: "platform.projects.region: text → varchar(20)".
    """

    kind: str
    name: str
    change: Change
    part: str | None = None
    expected: str | None = None
    actual: str | None = None
    within: int = 0

    def __str__(self) -> str:
        from dbmigration.catalog.words import sentence

        return sentence(self)


def compare(expected: Snapshot, actual: Snapshot, *, column_order: bool = True, ignore: Iterable[str] = ()) -> tuple[Drift, ...]:
    """What of `actual` is not as in `expected`, in order of the objects' names; nothing when the schemas are the same.

    `column_order` False: the order of a table's columns does not count (a column that was dropped cannot come back where it was).
    `ignore`: patterns as in a shell, for names ("audit.*") or identities ("table public.events_p*"); what belongs to an ignored object is
    ignored with it. Raises ValueError for snapshots that `is_comparable_to` each other is not true of.
    """
    if not expected.is_comparable_to(actual):
        raise ValueError(f"snapshots of majors {expected.major} and {actual.major} in formats {expected.format} and {actual.format}")
    hidden = _Ignored(tuple(ignore), expected.objects, actual.objects)
    found = list(_differences(expected.objects, actual.objects, hidden))
    if column_order:
        found += _reordered(expected.objects, actual.objects, hidden)
    return tuple(sorted(found, key=lambda drift: (drift.name, drift.kind, drift.part or "")))


def split_identity(identity: str) -> tuple[str, str]:
    """(kind, name)"""
    for kind in _KINDS:
        if identity.startswith(kind + " "):
            return kind, identity[len(kind) + 1 :]
    kind, _, name = identity.partition(" ")
    return kind, name


class _Ignored:
    """Whether an object, or what it belongs to, matches a pattern."""

    def __init__(self, patterns: tuple[str, ...], *sides: Mapping[str, Parts]) -> None:
        self._patterns = patterns
        self._sides = sides
        self._known = dict[str, bool]()

    def __call__(self, identity: str) -> bool:
        if not self._patterns:
            return False
        if identity not in self._known:
            self._known[identity] = False  # belongs to itself: cannot be, and must not hang
            self._known[identity] = self._matches(identity) or any(
                self(side[identity][ON]) for side in self._sides if ON in side.get(identity, {})
            )
        return self._known[identity]

    def _matches(self, identity: str) -> bool:
        name = split_identity(identity)[1]
        return any(fnmatchcase(name, pattern) or fnmatchcase(identity, pattern) for pattern in self._patterns)


def _differences(expected: Mapping[str, Parts], actual: Mapping[str, Parts], hidden: _Ignored) -> Iterator[Drift]:
    missing = {identity: expected[identity] for identity in expected.keys() - actual.keys()}
    added = {identity: actual[identity] for identity in actual.keys() - expected.keys()}
    for change, objects in ((Change.MISSING, missing), (Change.ADDED, added)):
        tops = dict[str, int]()
        for identity in objects:
            top = _top(identity, objects)
            tops[top] = tops.get(top, -1) + 1
        for top, within in tops.items():
            if not hidden(top):
                kind, name = split_identity(top)
                yield Drift(kind, name, change, within=within)
    for identity in expected.keys() & actual.keys():
        before, now = expected[identity], actual[identity]
        if before != now and not hidden(identity):
            yield from _changed(identity, before, now)


def _top(identity: str, objects: Mapping[str, Parts]) -> str:
    """The outermost of `objects` that this one belongs to."""
    while (on := objects[identity].get(ON)) is not None and on in objects:
        identity = on
    return identity


def _changed(identity: str, before: Parts, now: Parts) -> Iterator[Drift]:
    kind, name = split_identity(identity)
    for part in before.keys() | now.keys():
        old, new = before.get(part), now.get(part)
        if old == new or part == POSITION:
            continue
        if part == GRANTS:
            yield from _grants(kind, name, old, new)
        else:
            yield Drift(kind, name, Change.CHANGED, part, old, new)


def _grants(kind: str, name: str, before: str | None, now: str | None) -> Iterator[Drift]:
    """One for each role whose rights differ."""
    old, new = _by_role(before), _by_role(now)
    for role in old.keys() | new.keys():
        if old.get(role) != new.get(role):
            yield Drift(kind, name, Change.CHANGED, f"{GRANTS} {role}", old.get(role), new.get(role))


def _by_role(text: str | None) -> dict[str, str]:
    return {role: rights for role, _, rights in (line.rpartition("=") for line in (text or "").splitlines())}


def _reordered(expected: Mapping[str, Parts], actual: Mapping[str, Parts], hidden: _Ignored) -> Iterator[Drift]:
    """Of the columns that both have: a new one in between is no other order."""
    before, now = _columns(expected), _columns(actual)
    for table in before.keys() & now.keys():
        common = set(before[table]) & set(now[table])
        old = [column for column in before[table] if column in common]
        new = [column for column in now[table] if column in common]
        if old != new and not hidden(table):
            kind, name = split_identity(table)
            yield Drift(kind, name, Change.CHANGED, COLUMN_ORDER, _names(old, name), _names(new, name))


def _columns(objects: Mapping[str, Parts]) -> dict[str, list[str]]:
    """The columns of each table, in order."""
    tables = dict[str, list[str]]()
    for identity, parts in objects.items():
        if POSITION in parts and ON in parts:
            tables.setdefault(parts[ON], []).append(identity)
    for columns in tables.values():
        columns.sort(key=lambda identity: int(objects[identity][POSITION]))
    return tables


def _names(columns: list[str], table: str) -> str:
    return ", ".join(split_identity(column)[1].removeprefix(f"{table}.") for column in columns)
