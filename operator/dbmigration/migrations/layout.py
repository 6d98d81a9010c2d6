"""What the names of a folder's files mean, in our own layout and in those of other tools, whose folders are read as they are."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place


class Layout(StrEnum):
    """Whose names and markers a folder has. `docs/layouts.md` shows each."""

    NUMBERED = "numbered"
    GOOSE = "goose"
    DBMATE = "dbmate"
    GOLANG_MIGRATE = "golang-migrate"
    FLYWAY = "flyway"

    @property
    def in_one_file(self) -> bool:
        """Whether a file holds the way up and the way down, told apart by comments."""
        return self in (Layout.GOOSE, Layout.DBMATE)


class Role(StrEnum):
    """What a file is for."""

    MIGRATION = "migration"
    ROLLBACK = "rollback"
    VERIFY = "verify"


class Named(NamedTuple):
    """What a name says. `number` compares with those of the same layout; `version` is as written."""

    role: Role
    number: int
    version: str


_MIGRATION: Final = re.compile(r"(\d{3,})_[A-Za-z0-9][A-Za-z0-9_-]*\.sql", re.ASCII)
_SCRIPT: Final = re.compile(r"(rollback|verify)-(\d{3,})\.sql", re.ASCII)
_VERIFY: Final = re.compile(r"verify-(\d+)\.sql", re.ASCII)
_DIGITS_FIRST: Final = re.compile(r"(\d+)[^/]*\.sql", re.ASCII)
_NUMBER_FIRST: Final = re.compile(r"(\d+)[-_ ]+([a-z].*)\.sql", re.ASCII | re.IGNORECASE)
_GOOSE: Final = re.compile(r"(\d+)_[^/]+\.sql", re.ASCII)
_UP_DOWN: Final = re.compile(r"(\d+)_[^/]*\.(up|down)\.sql", re.ASCII)
_FLYWAY: Final = re.compile(r"([VU])(\d+(?:[._]\d+)*)__[^/]+\.sql", re.ASCII)
_VERIFY_FLYWAY: Final = re.compile(r"(verify)-(\d+(?:[._]\d+)*)\.sql", re.ASCII)
_FLYWAY_ROLES: Final = {"V": Role.MIGRATION, "U": Role.ROLLBACK, "verify": Role.VERIFY}
_VERSION: Final = re.compile(r"\d+(?:[._]\d+)*", re.ASCII)
_IN_NAME: Final = re.compile(r"[VU]?(\d+(?:[._]\d+)*)", re.ASCII)

_MOST_DIGITS: Final = 255
"""A file's name has no more bytes, so a longer number is no file's; Python refuses to read one of thousands of digits."""

_FLYWAY_PARTS: Final = 8
_FLYWAY_PART: Final = 10**20
"""A version of Flyway is up to eight numbers below this: enough for a timestamp in each."""


def read_name(name: str, layout: Layout) -> Named | None:
    """None: a file of this name has no meaning in the layout, see `refusal`."""
    return _READERS[layout](name)


def number_of(digits: str) -> int | None:
    """None: no file can have so long a number."""
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def read_version(text: str, layout: Layout) -> int | None:
    """The number of a version as people write it: "004", "4"; with Flyway also "1.2" or "1_2". None: it is none."""
    if layout is Layout.FLYWAY:
        return _flyway_number(text) if _VERSION.fullmatch(text) else None
    return number_of(text) if text.isascii() and text.isdecimal() else None


def version_of(name: str, layout: Layout) -> tuple[int, str]:
    """(number, version) in the name of a file that is no longer in the folder; (0, "0") when it has none."""
    if layout is Layout.FLYWAY:
        match = _IN_NAME.match(name)
        return (_flyway_number(match[1]) or 0, _dotted(match[1])) if match else (0, "0")
    digits = re.match(r"\d+", name, re.ASCII)
    return (number_of(digits[0]) or 0, digits[0]) if digits else (0, "0")


def migration_name(version: str, name: str, layout: Layout) -> str:
    """A new file's name; `name` is in snake_case."""
    if layout is Layout.FLYWAY:
        return f"V{version}__{name}.sql"
    return f"{version}_{name}.up.sql" if layout is Layout.GOLANG_MIGRATE else f"{version}_{name}.sql"


def rollback_name(name: str, version: str, layout: Layout) -> str:
    """What undoes the migration `name`, or would if it were there: a file's name, or which part of the migration's own file."""
    if layout is Layout.GOOSE:
        return f"the part under `-- +goose Down` of {name}"
    if layout is Layout.DBMATE:
        return f"the part under `-- migrate:down` of {name}"
    if layout is Layout.GOLANG_MIGRATE:
        return f"{name.removesuffix('.up.sql')}.down.sql"
    if layout is Layout.FLYWAY:
        return f"U{name[1:]}"
    return f"rollback-{version}.sql"


def refusal(names: list[str], layout: Layout) -> Permanent:
    """Of the files whose names mean nothing, SOURCE_INVALID."""
    others = f" (and so are {', '.join(names[1:6])}{' …' if len(names) > 6 else ''})" if len(names) > 1 else ""
    first = names[0]
    message = f"is misnamed{others}: {_WANTED[layout]}"
    if layout is Layout.NUMBERED and (guess := _guess(names)):
        message += f'. If these are files of {guess}, say so: layout = "{guess}" in dbmigration.toml, or --layout {guess}'
    elif layout is Layout.NUMBERED and (better := _mended(first)):
        message += f". Its name could be {better}"
    if layout is Layout.FLYWAY and first.startswith("R__"):
        message = (
            f"is a repeatable migration of Flyway{others}, and only versioned ones (V…) are run from here: move what it makes into a new "
            "versioned migration or, when running it at every change is harmless, make it a seed: seed-name.sql"
        )
    if layout is Layout.GOOSE and first.endswith(".go"):
        message = f"is a migration in Go{others}, which only goose can run: write it in SQL, or let goose apply it and import its history"
    return Permanent(Reason.SOURCE_INVALID, message, place=Place(first))


def _mended(name: str) -> str | None:
    """The same name as our own files have it: 5-Add things.sql is 005_Add_things.sql. None: it is not one number and words."""
    match = None if _UP_DOWN.fullmatch(name) else _NUMBER_FIRST.fullmatch(name)
    return f"{match[1]:0>3}_{re.sub(r'[^A-Za-z0-9_-]+', '_', match[2])}.sql" if match else None


def is_program(name: str) -> bool:
    """Whether it is one of goose's migrations in Go."""
    return name.endswith(".go") and not name.endswith("_test.go") and name[:1].isdecimal()


def _numbered(name: str) -> Named | None:
    if match := _MIGRATION.fullmatch(name):
        return Named(Role.MIGRATION, int(match[1]), match[1])
    if match := _SCRIPT.fullmatch(name):
        return Named(Role(match[1]), int(match[2]), match[2])
    return None


def _goose(name: str) -> Named | None:
    match = _GOOSE.fullmatch(name)
    return Named(Role.MIGRATION, int(match[1]), match[1]) if match else _verify(name)


def _dbmate(name: str) -> Named | None:
    match = _DIGITS_FIRST.fullmatch(name)
    return Named(Role.MIGRATION, int(match[1]), match[1]) if match else _verify(name)


def _golang_migrate(name: str) -> Named | None:
    match = _UP_DOWN.fullmatch(name)
    return Named(Role.MIGRATION if match[2] == "up" else Role.ROLLBACK, int(match[1]), match[1]) if match else _verify(name)


def _verify(name: str) -> Named | None:
    match = _VERIFY.fullmatch(name)
    return Named(Role.VERIFY, int(match[1]), match[1]) if match else None


def _flyway(name: str) -> Named | None:
    match = _FLYWAY.fullmatch(name) or _VERIFY_FLYWAY.fullmatch(name)
    number = _flyway_number(match[2]) if match else None
    return Named(_FLYWAY_ROLES[match[1]], number, _dotted(match[2])) if match and number is not None else None


def _flyway_number(version: str) -> int | None:
    """Versions compare part by part, and missing parts are zero: 1 is 1.0 and comes before 1.0.1, 1.2 and 1.10. None: it is too large."""
    if len(version) > _MOST_DIGITS:
        return None
    parts = [int(part) for part in _dotted(version).split(".")]
    if len(parts) > _FLYWAY_PARTS or max(parts) >= _FLYWAY_PART:
        return None
    number = 0
    for part in parts + [0] * (_FLYWAY_PARTS - len(parts)):
        number = number * _FLYWAY_PART + part
    return number


def _dotted(version: str) -> str:
    return version.replace("_", ".")


def _guess(names: list[str]) -> Layout | None:
    """Whose names these look like. goose's and dbmate's own are often ours too, so those are told by their text alone."""
    for layout, pattern in ((Layout.GOLANG_MIGRATE, _UP_DOWN), (Layout.FLYWAY, _FLYWAY)):
        if all(pattern.fullmatch(name) for name in names):
            return layout
    return None


_READERS: Final[Mapping[Layout, Callable[[str], Named | None]]] = {
    Layout.NUMBERED: _numbered,
    Layout.GOOSE: _goose,
    Layout.DBMATE: _dbmate,
    Layout.GOLANG_MIGRATE: _golang_migrate,
    Layout.FLYWAY: _flyway,
}
_WANTED: Final[Mapping[Layout, str]] = {
    Layout.NUMBERED: "a migration is NNN_name.sql with three or more digits, its scripts rollback-NNN.sql and verify-NNN.sql",
    Layout.GOOSE: "with layout goose a migration is NUMBER_name.sql, its verify script verify-NUMBER.sql",
    Layout.DBMATE: "with layout dbmate a migration is NUMBER_name.sql, its verify script verify-NUMBER.sql",
    Layout.GOLANG_MIGRATE: "with layout golang-migrate a migration is NUMBER_name.up.sql, with NUMBER_name.down.sql and verify-NUMBER.sql",
    Layout.FLYWAY: "with layout flyway a migration is V1.2__name.sql, with U1.2__name.sql and verify-1.2.sql",
}
