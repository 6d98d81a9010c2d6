"""What a live database tells lint: which relations there are and how big. Whoever has a connection fills it; lint works without."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from dbmigration.lint.names import Relation

SMALL_BYTES: Final = 16 * 1024 * 1024
SMALL_ROWS: Final = 100_000
LARGE_BYTES: Final = 1024 * 1024 * 1024
LARGE_ROWS: Final = 10_000_000
"""Small: reading or rewriting it all takes a fraction of a second, less than the runner's lock timeout of 2 s. Large: seconds to hours."""


class Size(Enum):
    """How much work reading or writing all of a table is."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class TableFacts:
    """`rows`: an estimate, -1 where nobody ever counted. `bytes`: with indexes and TOAST, an estimate too.

    `columns` and `indexes` (the columns of each, in order, "" for an expression) are None where nobody looked.
    """

    rows: int
    bytes: int
    columns: tuple[str, ...] | None = None
    indexes: tuple[tuple[str, ...], ...] | None = None

    @property
    def size(self) -> Size:
        if self.bytes >= LARGE_BYTES or self.rows >= LARGE_ROWS:
            return Size.LARGE
        return Size.SMALL if self.bytes <= SMALL_BYTES and self.rows <= SMALL_ROWS else Size.MEDIUM


@dataclass(frozen=True, slots=True)
class Catalog:
    """The database as it is before the pending files. Keys have their schema.

    `tables`: every table and materialized view, partitioned ones with the sum of their partitions. `relations`: the names of all other
    relations (views, sequences, foreign tables), system schemas left out. `asked_for`: the names (without schemas) whose columns and
    indexes were looked up, None for all.
    """

    tables: Mapping[Relation, TableFacts] = field(default_factory=dict)
    relations: frozenset[Relation] = frozenset()
    asked_for: frozenset[str] | None = None

    def facts(self, name: Relation) -> TableFacts | None:
        """Of the table of this name; without a schema, of the biggest of that name in any."""
        if name.schema:
            return self.tables.get(name)
        namesakes = (facts for key, facts in self.tables.items() if key.name == name.name)
        return max(namesakes, key=lambda facts: facts.bytes, default=None)

    def size(self, name: Relation) -> Size:
        """ABSENT: an earlier file of the same run makes it."""
        facts = self.facts(name)
        if facts is not None:
            return facts.size
        return Size.UNKNOWN if self.has(name) else Size.ABSENT

    def has(self, name: Relation) -> bool:
        """Whether there is a relation of this name, without a schema: in any."""
        if name.schema:
            return name in self.tables or name in self.relations
        return any(key.name == name.name for key in (*self.tables, *self.relations))
