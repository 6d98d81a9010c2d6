"""One tree of errors: what may heal by itself, and what stays wrong until somebody changes something."""

from typing import NamedTuple

from dbmigration.api.reasons import Reason

LACKS_RIGHT = "42501"
"""PostgreSQL's insufficient_privilege."""


class Place(NamedTuple):
    """Where it happened. `line` counts from 1 in `file`; `statement` has its literals replaced and at most 200 characters."""

    file: str | None = None
    line: int | None = None
    sqlstate: str | None = None
    statement: str | None = None

    def __str__(self) -> str:
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def lacks_right(reason: Reason, sqlstate: str | None) -> bool:
    """Whether a file failed for want of a right: somebody else may have to act, and the file may be right as it is."""
    return sqlstate == LACKS_RIGHT and reason in (Reason.SQL_FAILED, Reason.VERIFY_FAILED, Reason.SEED_FAILED)


class DbmigrationError(Exception):
    """What a person is told: a stable `reason`, a `message` of one or two sentences with the remedy, and the `place`.

    `message` never holds a Secret or a row value: whoever raises it answers for that. Details that may hold values (DETAIL, HINT, CONTEXT
    of PostgreSQL) go to `values`, which only the command line shows, and only when asked with --show-values.
    """

    def __init__(self, reason: Reason, message: str, *, place: Place | None = None, values: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.place = place or Place()
        self.values = values

    def __str__(self) -> str:
        where = str(self.place)
        return f"{self.reason}: {where}: {self.message}" if where else f"{self.reason}: {self.message}"


class Transient(DbmigrationError):
    """Another attempt can succeed with no change of spec or source.

    `after_sql` says that a migration's SQL had begun: such attempts are counted.
    """

    def __init__(
        self, reason: Reason, message: str, *, place: Place | None = None, values: str | None = None, after_sql: bool = False
    ) -> None:
        super().__init__(reason, message, place=place, values=values)
        self.after_sql = after_sql


class Permanent(DbmigrationError):
    """Another attempt with the same spec, source and database would fail alike."""


class Usage(DbmigrationError):
    """The command line's words are wrong (exit status 2)."""
