"""What things are called in SQL: relations and types, as far as a text without a database tells."""

import re
from typing import NamedTuple

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


class Relation(NamedTuple):
    """A table, view, index or sequence. `schema` "" where the text leaves it to the search_path."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema else quoted(self.name)


class TypeName(NamedTuple):
    """A data type: `name` as PostgreSQL calls it inside ("int4", "varchar", "bpchar"), a user's own with its schema where the text has it.

    `modifiers` are the numbers in parentheses, () for none; `dimensions` > 0: an array.
    """

    name: str
    modifiers: tuple[int, ...] = ()
    dimensions: int = 0
    collation: str = ""

    def __str__(self) -> str:
        shown = _SPOKEN.get(self.name, self.name)
        if self.modifiers and self.name != "interval":
            shown += f"({', '.join(str(number) for number in self.modifiers)})"
        return shown + "[]" * self.dimensions


def quoted(name: str) -> str:
    """The name as SQL wants it: in double quotes where it has to be."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


_SPOKEN = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "bpchar": "char",
    "timestamptz": "timestamptz",
}
