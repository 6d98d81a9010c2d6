"""What stopped a command, on stderr: where, why, what was applied, what was not, and what to do next."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient, Usage, lacks_right

if TYPE_CHECKING:
    from dbmigration.run.result import RunResult

_NEXT = {
    Reason.ENVIRONMENT_REQUIRED: "say where this is with --environment NAME",
    Reason.SOURCE_MISSING: "correct --dir",
    Reason.UNKNOWN_ENVIRONMENT: "correct --environment",
    Reason.ROLLED_BACK: "edit the file, or apply it again as it is with `dbmigration apply --reapply`",
    Reason.SQL_FAILED: "mend the file and run the same command again",
    Reason.SEED_FAILED: "mend the seed and run the same command again: migrations that were applied stay applied",
    Reason.VERIFY_FAILED: "mend the migration or its verify file and run the same command again",
    Reason.LOCK_HELD: "wait for the other run to end; --wait TIME waits longer",
    Reason.LOCK_TIMEOUT: "run it again when the blocker is gone, or wait longer with --lock-timeout TIME",
    Reason.INTERRUPTED: "run the same command again: it goes on from what is applied",
    Reason.DATABASE_UNAVAILABLE: "check host and port, and that the server is up; then run the same command again",
    Reason.AUTHENTICATION_FAILED: "check user and password; then run the same command again",
    Reason.OUTCOME_UNKNOWN: "look in the database whether the statement took effect before anything else is run",
}
_TAKEN = ("42P04", "42P06", "42P07", "42701", "42710", "42723")
"""PostgreSQL's duplicate_database, _schema, _table, _column, _object and _function."""


def print_failure(
    error: DbmigrationError,
    *,
    result: "RunResult | None" = None,
    directory: Path | None = None,
    show_values: bool = False,
    advice: Mapping[Reason, str] | None = None,
    word: str = "error",
) -> None:
    """Print it to stderr; red where stderr is a terminal that wants colours. `advice` wins over the general one."""
    lines = failure_lines(error, result=result, directory=directory, show_values=show_values, advice=advice, word=word)
    print_error(next(lines))
    for line in lines:
        sys.stderr.write(f"  {line}\n")


def print_error(line: str) -> None:
    sys.stderr.write(f"\x1b[31m{line}\x1b[0m\n" if wants_colour(sys.stderr) else f"{line}\n")


def wants_colour(stream: TextIO) -> bool:
    """A terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def failure_lines(
    error: DbmigrationError,
    *,
    result: "RunResult | None" = None,
    directory: Path | None = None,
    show_values: bool = False,
    advice: Mapping[Reason, str] | None = None,
    word: str = "error",
) -> Iterator[str]:
    """The first line is `file:line: Reason (SQLSTATE): message`, as compilers write it; details follow."""
    place = error.place
    where = f"{_path(place.file, directory)}{'' if place.line is None else f':{place.line}'}: " if place.file else ""
    sqlstate = f" (SQLSTATE {place.sqlstate})" if place.sqlstate else ""
    what = "usage" if isinstance(error, Usage) else str(error.reason)
    yield f"{where}{word}: {what}{sqlstate}: {error.message}"
    if place.statement:
        yield f"statement: {place.statement}"
    if show_values and error.values:
        yield from (f"| {line}" for line in error.values.splitlines())
    elif error.values:
        yield "PostgreSQL said more, which may hold row values: --show-values shows it"
    if result is not None:
        yield from _standing(result)
    if step := (advice or {}).get(error.reason) or _adopt(error, result) or _next_step(error):
        yield f"next: {step}"


def _standing(result: "RunResult") -> Iterator[str]:
    if result.backup is not None:
        yield f"backup: {result.backup.uri}"
    if result.declared is not None:
        yield f"backup: {result.declared}"
    if result.applied:
        yield f"applied in this run: {listed(done.name for done in result.applied)}"
    if result.undone:
        yield f"undone again: {listed(done.name for done in result.undone)}"
    if result.not_undone:
        yield f"NOT undone: {listed(reversed(result.not_undone))}"
    if result.rolled_back:
        yield f"rolled back in this run: {listed(done.name for done in result.rolled_back)}"
    elif result.plan is not None and (waiting := result.pending()):
        yield f"not applied: {listed(waiting)}"
    elif result.plan is not None and not result.applied:
        yield "nothing was changed"


def _adopt(error: DbmigrationError, result: "RunResult | None") -> str | None:
    """What is to be made is there, though nothing was ever applied: the database is older than its history."""
    if error.place.sqlstate in _TAKEN and result is not None and result.version() is None:
        return "if this database was migrated before: `dbmigration import-history`, or `dbmigration baseline VERSION` (docs/adopt.md)"
    return None


def _next_step(error: DbmigrationError) -> str | None:
    if isinstance(error, Usage):
        return "`--help` shows every option"
    if lacks_right(error.reason, error.place.sqlstate):
        return "have that right granted and run the same command again; mend the file if it should not need it"
    if error.reason in _NEXT:
        return _NEXT[error.reason]
    return "the files need no change: run the same command again when the cause is gone" if isinstance(error, Transient) else None


def _path(name: str, directory: Path | None) -> str:
    """As an editor can open it, when it is a file of the set."""
    path = None if directory is None else directory / name
    return str(path) if path is not None and path.exists() else name
