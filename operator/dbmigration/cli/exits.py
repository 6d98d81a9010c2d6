"""Exit statuses: few, documented in docs/cli.md, and never changed in meaning."""

from enum import IntEnum

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient, Usage


class Exit(IntEnum):
    """What a script may rely on. A run that a signal ended exits with 128 plus the signal's number, as shells do (130, 143)."""

    OK = 0
    FAILED = 1
    """Something has to change first: a file, the history, a right."""
    USAGE = 2
    """The command's words are wrong or incomplete; nothing was touched."""
    TRY_AGAIN = 3
    """Nothing is wrong with the files: database away, lock held, backup folder full. The same command can succeed later."""
    PENDING = 4
    """`plan --exit-code` only: there is something to apply."""


def exit_of(error: DbmigrationError | None, signal_number: int | None = None) -> int:
    """The status for what stopped a command. `signal_number`: the signal that asked it to stop."""
    if error is None:
        return Exit.OK
    if error.reason is Reason.INTERRUPTED and signal_number is not None:
        return 128 + signal_number
    if isinstance(error, Usage) or is_about_the_words(error):
        return Exit.USAGE
    return Exit.TRY_AGAIN if isinstance(error, Transient) else Exit.FAILED


def is_about_the_words(error: DbmigrationError) -> bool:
    """A folder that is not there, a missing or mistyped --environment.

    A file that names an unknown environment has a place, and is no matter of the command line.
    """
    if error.reason is Reason.UNKNOWN_ENVIRONMENT:
        return error.place.file is None
    return error.reason in (Reason.ENVIRONMENT_REQUIRED, Reason.SOURCE_MISSING)
