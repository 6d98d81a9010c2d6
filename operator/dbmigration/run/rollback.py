"""Which files a rollback undoes: pure, and refused as a whole before anything is touched."""

from collections.abc import Callable

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.model import History, MigrationFile, MigrationSet

Choose = Callable[[MigrationSet, History], tuple[MigrationFile, ...]]


def newest() -> Choose:
    """Only the newest applied file."""

    def choose(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
        return _with_scripts(_applied(files, history)[:1])

    return choose


def down_to(version: str) -> Choose:
    """Every applied file with a higher number than `version`; "000" undoes all. `version` must be applied itself, or be zero."""
    wanted = _number(version)

    def choose(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
        applied = _applied(files, history)
        if wanted and all(file.number != wanted for file in applied):
            raise Permanent(Reason.TARGET_UNKNOWN, f"{version} is not applied here, so there is no way back to it")
        return _with_scripts(tuple(file for file in applied if file.number > wanted))

    return choose


def only(version: str) -> Choose:
    """One file, which has to be the newest applied one: others were built on it."""
    wanted = _number(version)

    def choose(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
        applied = _applied(files, history)
        chosen = tuple(file for file in applied if file.number == wanted)
        if not chosen:
            raise Permanent(Reason.TARGET_UNKNOWN, f"{version} is not applied here, so there is nothing to roll back")
        later = [file.name for file in applied if file.number > wanted]
        if later:
            before = max((file.version for file in applied if file.number < wanted), key=int, default="000")
            raise Permanent(
                Reason.OUT_OF_ORDER,
                f"{', '.join(reversed(later))} came after {chosen[0].name}: roll all of them back with `rollback --to {before}`",
                place=Place(chosen[0].name),
            )
        return _with_scripts(chosen)

    return choose


def _applied(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
    names = {row.name for row in history.applied}
    return tuple(sorted((file for file in files.files if file.name in names), key=lambda file: file.number, reverse=True))


def _with_scripts(chosen: tuple[MigrationFile, ...]) -> tuple[MigrationFile, ...]:
    missing = [file for file in chosen if file.rollback is None]
    if missing:
        names = ", ".join(f"rollback-{file.version}.sql" for file in missing)
        raise Permanent(
            Reason.ROLLBACK_MISSING,
            f"nothing was touched: {names} is not in the folder; write it, or restore a backup, or go forward with a new migration",
            place=Place(missing[0].name),
        )
    return chosen


def _number(version: str) -> int:
    if not version.isascii() or not version.isdigit():
        raise Permanent(Reason.TARGET_UNKNOWN, f"{version!r} is not a version: give the digits of a file's name, like 003")
    return int(version)
