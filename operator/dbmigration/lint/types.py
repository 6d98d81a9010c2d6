"""Which changes of a column's type rewrite the table. Measured on PostgreSQL 15: tests/engine/test_lint_rewrites.py asks a server.

No rewrite: the new type takes the old one's bytes as they are (binary coercible, pg_cast), and the new length limits nothing the old one
did not limit already. Everything else is a conversion of every row under ACCESS EXCLUSIVE, and a rebuild of every index.
"""

from enum import Enum
from typing import Final

from dbmigration.lint.names import TypeName


class Change(Enum):
    FREE = "free"
    REWRITE = "rewrite"
    BY_TIME_ZONE = "by time zone"
    """timestamp to timestamptz and back: free only while the session's TimeZone is UTC (PostgreSQL 12)."""


_WIDENING: Final = frozenset({"varchar", "varbit", "timestamp", "timestamptz", "time", "timetz", "interval"})
"""The modifier is an upper limit, and a higher one, or none, changes no value."""

_SAME_BYTES: Final = frozenset(
    {
        ("varchar", "text"),
        ("text", "varchar"),
        ("citext", "text"),
        ("text", "citext"),
        ("citext", "varchar"),
        ("varchar", "citext"),
        ("xml", "text"),
        ("xml", "varchar"),
        ("cidr", "inet"),
        ("int4", "oid"),
        ("oid", "int4"),
        ("oid", "regclass"),
        ("regclass", "oid"),
    }
)
_TIMES: Final = frozenset({("timestamp", "timestamptz"), ("timestamptz", "timestamp")})


def change_of(old: TypeName, new: TypeName) -> Change:
    """What changing a column from `old` to `new`, without a USING that computes, means to the table."""
    if old.dimensions != new.dimensions or (old.dimensions and (old.name, old.modifiers) != (new.name, new.modifiers)):
        return Change.REWRITE
    if old.name == new.name:
        return Change.FREE if _keeps(old.name, old.modifiers, new.modifiers) else Change.REWRITE
    if (old.name, new.name) in _TIMES:
        return Change.BY_TIME_ZONE if _keeps(new.name, old.modifiers, new.modifiers) else Change.REWRITE
    if (old.name, new.name) in _SAME_BYTES and _keeps(new.name, old.modifiers, new.modifiers):
        return Change.FREE
    return Change.REWRITE


def may_be_free(new: TypeName) -> bool:
    """Whether there are types that change to this one for nothing: asked where the old type is not known."""
    return not new.dimensions and new.name in ("text", "varchar", "citext", "numeric", "inet", *_WIDENING)


def _keeps(name: str, old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    if old == new or not new:
        return name not in ("bpchar", "bit") or old == new
    if not old:
        return False
    if name == "numeric":
        return _scale(old) == _scale(new) and new[0] >= old[0]
    if name in _WIDENING:
        return len(old) == len(new) == 1 and new[0] >= old[0]
    return False


def _scale(modifiers: tuple[int, ...]) -> int:
    return modifiers[1] if len(modifiers) > 1 else 0
