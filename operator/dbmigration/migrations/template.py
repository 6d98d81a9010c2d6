"""A new migration from the house template: the next number, its header, BEGIN and COMMIT, and a rollback script beside it."""

import re
from datetime import date
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place, Usage
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import MigrationFile

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)
_NAME_LENGTH: Final = 100
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
--   See rollback-{version}.sql
-- ============================================

BEGIN;

-- Your migration SQL here

COMMIT;
"""

_ROLLBACK: Final = """\
-- Rollback for migration {version}
BEGIN;

-- What undoes {name}, last change first

COMMIT;
"""


def new_migration(directory: Path, name: str, today: date) -> tuple[Path, Path]:
    """Writes the next migration called `name` and its rollback script into `directory`; (migration, rollback) as written.

    The number is the newest one plus one, with as many digits. In a set whose numbers are dates or timestamps (8, 12 or 14 digits) it is
    `today` where that is later; give a datetime for the hours. Raises Usage for a name that is not snake_case, what `read_set` raises for
    a folder that is not in order (there must be one), and Permanent SOURCE_INVALID for a file that cannot be written. Nothing that is
    already there is overwritten.
    """
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        message = (
            f"{name[:_NAME_LENGTH]!r} is no name for a migration: use snake_case such as add_project_limits, at most {_NAME_LENGTH} long"
        )
        raise Usage(Reason.SPEC_INVALID, message)
    files = read_set(directory).files
    newest = files[-1] if files else None
    version = _next_version(newest, today)
    migration = directory / f"{version}_{name}.sql"
    rollback = directory / f"rollback-{version}.sql"
    dependency = f"- {newest.name}" if newest else "None (initial migration)"
    _write(migration, _MIGRATION.format(version=version, title=name.replace("_", " ").title(), dependency=dependency))
    _write(rollback, _ROLLBACK.format(version=version, name=migration.name))
    return migration, rollback


def _next_version(newest: MigrationFile | None, today: date) -> str:
    if newest is None:
        return "001"
    digits = len(newest.version)
    number = newest.number + 1
    if digits in _TIMESTAMPS:
        number = max(number, int(today.strftime(_TIMESTAMPS[digits])))
    return str(number).zfill(digits)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"cannot be written: {exc.strerror or exc}", place=Place(path.name)) from exc
