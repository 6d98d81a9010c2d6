"""Which earlier files matter to the pending ones, where a database says what is there: those that name the same tables.

What the others made is in the database, and no pending file touches it: they are searched as text, and not parsed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Final

from dbmigration.lint.definitions import Column
from dbmigration.lint.names import Relation, TypeName
from dbmigration.lint.operations import Rename
from dbmigration.lint.script import Role, Script, read_script
from dbmigration.migrations.model import MigrationFile
from dbmigration.migrations.part import open_part

_BLOCK: Final = 1024 * 1024
_OVERLAP: Final = 1024
"""Bytes of a block that are searched again with the next: longer than any name."""
_MAKES_TYPES: Final = re.compile(rb"\bcreate\s+(?:type|domain)\b")
"""A column's type is rarely named where the column is changed, so files that make types always matter. They are few."""
_RENAMES: Final = re.compile(rb"\brename\b|\bset\s+schema\b")


def named_by(files: Iterable[MigrationFile]) -> frozenset[str]:
    """The tables, types and functions that the files name, without their schemas."""
    return frozenset(name for file in files for name in _named(_read(file)))


def relevant(earlier: Sequence[MigrationFile], names: frozenset[str]) -> frozenset[str]:
    """Names of those of `earlier`, which are in order of their numbers, that say something about what has one of these names.

    They are asked from the newest to the oldest, because one that renames a table leads to the one that made it.
    """
    wanted = set(names)
    pattern = _any_of(wanted)
    found = set[str]()
    for file in reversed(earlier):
        renames = matters = False
        for text in _blocks(file):
            matters = matters or pattern.search(text) is not None or _MAKES_TYPES.search(text) is not None
            renames = renames or _RENAMES.search(text) is not None
        if matters:
            found.add(file.name)
        if matters and renames:
            wanted.update(_named(_read(file), Rename))
            pattern = _any_of(wanted)
    return frozenset(found)


def _read(file: MigrationFile) -> Script:
    return read_script(file.path, Role.MIGRATION, transaction=file.header.transaction, size=file.size, part=file.part)


def _blocks(file: MigrationFile) -> Iterator[bytes]:
    tail = b""
    with open_part(file.path, file.part) as part:
        while block := part.read(_BLOCK):
            yield (tail + block).lower()
            tail = block[-_OVERLAP:]


def _any_of(names: Iterable[str]) -> re.Pattern[bytes]:
    """Any of them as a whole word, in lower case. Of none: what matches nothing."""
    words = sorted(re.escape(name.replace('"', '""').encode().lower()) for name in names if name)
    return re.compile(rb"(?<![\w$])(?:" + b"|".join(words) + rb")(?![\w$])" if words else rb"(?!)")


def _named(script: Script, *types: type[object]) -> Iterator[str]:
    """The tables, types and functions in the operations of a script, or in those of these types, without their schemas."""
    for statement in script.statements:
        for operation in statement.operations:
            if not types or isinstance(operation, types):
                yield from _names_in(operation)


def _names_in(value: object) -> Iterator[str]:
    if isinstance(value, Relation):
        yield value.name
    elif isinstance(value, TypeName):
        yield value.name.rpartition(".")[2]
    elif isinstance(value, tuple):
        for each in value:
            yield from _names_in(each)
    elif is_dataclass(value):
        if isinstance(value, Column):
            yield from value.functions
        if isinstance(value, Rename):
            yield from (value.old, value.new)
        for field in fields(value):
            yield from _names_in(getattr(value, field.name))
