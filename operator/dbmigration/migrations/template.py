"""A new migration from the house template: the next number, its header, BEGIN and COMMIT, and a rollback script beside it."""

import re
from datetime import date
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place, Usage
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.layout import Layout, migration_name, rollback_name
from dbmigration.migrations.model import MigrationFile

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)
_NAME_LENGTH: Final = 100
_FIRST: Final = {Layout.GOOSE: "00001", Layout.GOLANG_MIGRATE: "000001", Layout.FLYWAY: "1"}
"""What the tools themselves begin with."""
_TIMESTAMPS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

_MIGRATION: Final = """\
-- ============================================
-- Migration: {version} - {title}
-- ============================================
-- Purpose: {title}
--
-- Dependencies:
--   {dependency}
--
-- Rollback:
--   See {rollback}
-- ============================================

BEGIN;

-- Your migration SQL here

COMMIT;
"""

_TWO_WAYS: Final = """\
{up}
-- {title}

-- Your migration SQL here

{down}
-- What undoes it, last change first
"""
_MARKERS: Final = {Layout.GOOSE: ("-- +goose Up", "-- +goose Down"), Layout.DBMATE: ("-- migrate:up", "-- migrate:down")}

_ROLLBACK: Final = """\
-- Rollback for migration {version}
BEGIN;

-- What undoes {name}, last change first

COMMIT;
"""


def new_migration(directory: Path, name: str, today: date, layout: Layout | None = None) -> tuple[Path, ...]:
    """Writes the next migration called `name` and its rollback script into `directory`; the files as written, the migration first.

    Names and markers are those of the set's layout: one file where that holds both ways. The number is the newest one plus one, with as
    many digits. In a set whose numbers are dates or timestamps (8, 12 or 14 digits) it is `today` where that is later; give a datetime for
    the hours. Raises Usage for a name that is not snake_case, what `read_set` raises for a folder that is not in order (there must be
    one), and Permanent SOURCE_INVALID for a file that cannot be written. Nothing that is already there is overwritten.
    """
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        message = (
            f"{name[:_NAME_LENGTH]!r} is no name for a migration: use snake_case such as add_project_limits, at most {_NAME_LENGTH} long"
        )
        raise Usage(Reason.SPEC_INVALID, message)
    found = read_set(directory, layout)
    layout = found.config.layout
    newest = found.files[-1] if found.files else None
    version = _next_version(newest, today, layout)
    title = name.replace("_", " ").title()
    if layout in _MARKERS:
        up, down = _MARKERS[layout]
        migration = directory / f"{version}_{name}.sql"
        _write(migration, _TWO_WAYS.format(up=up, down=down, title=title))
        return (migration,)
    migration = directory / migration_name(version, name, layout)
    rollback = directory / rollback_name(migration.name, version, layout)
    dependency = f"- {newest.name}" if newest else "None (initial migration)"
    _write(migration, _MIGRATION.format(version=version, title=title, rollback=rollback.name, dependency=dependency))
    _write(rollback, _ROLLBACK.format(version=version, name=migration.name))
    return migration, rollback


def _next_version(newest: MigrationFile | None, today: date, layout: Layout) -> str:
    if newest is None:
        return _FIRST.get(layout, "001") if layout is not Layout.DBMATE else today.strftime(_TIMESTAMPS[14])
    if layout is Layout.FLYWAY:  # the next of the first numbers: 1.2 is followed by 2
        return str(_next_number(newest.version.partition(".")[0], today))
    return str(_next_number(newest.version, today)).zfill(len(newest.version))


def _next_number(version: str, today: date) -> int:
    number = int(version) + 1
    return max(number, int(today.strftime(_TIMESTAMPS[len(version)]))) if len(version) in _TIMESTAMPS else number


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"cannot be written: {exc.strerror or exc}", place=Place(path.name)) from exc
