"""A database's schema at one moment, as data."""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

FORMAT: Final = 1
"""Raised when the same schema would be written down in other words: snapshots of two formats are not compared."""

ON: Final = "on"
"""The part that names the object this one belongs to, by its identity: with a table go its columns, indexes and triggers."""

POSITION: Final = "position"
"""The part of a column that orders it among its table's columns. The number itself means nothing: a restored dump has others."""

Parts = Mapping[str, str]
"""What an object is made of: {"type": "text", "default": "'eu'::text"}. A part that PostgreSQL's default fills is left out."""


class Snapshot(NamedTuple):
    """`objects` maps an identity, "kind name" like "column platform.projects.region", to the object's parts.

    Names are always qualified and quoted where SQL needs it. `major` is the server's: definitions are PostgreSQL's own words, which change
    from one major to the next, so snapshots of two majors are not compared.
    """

    objects: Mapping[str, Parts]
    major: int
    format: int = FORMAT

    def is_comparable_to(self, other: "Snapshot") -> bool:
        return (self.major, self.format) == (other.major, other.format)

    def to_json(self) -> str:
        """The same schema gives the same text."""
        document = {"format": self.format, "major": self.major, "objects": self.objects}
        return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        document = json.loads(text)
        return cls(document["objects"], document["major"], document["format"])


def merge(expected: Snapshot, before: Snapshot, after: Snapshot) -> Snapshot:
    """What is expected after a run that found `before` and left `after`: what the run changed is taken over, and nothing else.

    So a difference that somebody made by hand stays a difference until it is mended or accepted, however many runs come after.
    """
    objects = dict(expected.objects)
    for identity in before.objects.keys() | after.objects.keys():
        now = after.objects.get(identity)
        if now == before.objects.get(identity):
            continue
        if now is None:
            objects.pop(identity, None)
        else:
            objects[identity] = now
    return Snapshot(objects, after.major, after.format)
