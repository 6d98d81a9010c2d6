"""`dbmigration`: the commands, and the last line of defence against an error that nobody expected."""

import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import NoReturn

import typer

from dbmigration.cli import drift, lint, new, read, try_out, write
from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.failure import print_error, print_failure
from dbmigration.errors import DbmigrationError

_HELP = """Back up, migrate and prove PostgreSQL databases.

Exit status: 0 done or nothing to do, 1 something has to change first, 2 wrong usage, 3 try again later, 4 pending (plan --exit-code).
"""

# No rich markup: it would bring rich into every start. No pretty exceptions: they show values.
app = typer.Typer(
    name="dbmigration",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> int:
    """What the operator's Job runs: one request from DBMIGRATION_REQUEST, one report on stdout. People use apply."""
    from dbmigration.run.job import main as run_job

    return run_job(os.environ)


def operator() -> int:
    """The operator's process."""
    from dbmigration.handlers.app import main as run_operator

    return run_operator()


def main() -> None:
    """Ends the process with a status of `exits`. Nothing that is printed holds a password or, without --show-values, a row's value."""
    try:
        app(prog_name="dbmigration")
    except DbmigrationError as error:
        print_failure(error)
        sys.exit(exit_of(error))
    except Exception as error:  # noqa: BLE001 - its text may hold a value: only its type and place are shown
        print_error(f"error: InternalError: {type(error).__name__}; this is a bug, please report it with these lines:")
        for frame in traceback.extract_tb(error.__traceback__):
            sys.stderr.write(f"  {frame.filename}:{frame.lineno} in {frame.name}\n")
        sys.exit(Exit.FAILED)


def _exiting(command: Callable[..., int]) -> Callable[..., NoReturn]:
    """A command's return value as the process's status."""

    @wraps(command)
    def run_and_exit(*arguments: object, **options: object) -> NoReturn:
        raise typer.Exit(command(*arguments, **options))

    return run_and_exit


for _command in (read.plan, write.apply, read.status, read.verify, drift.drift, lint.lint, write.backup, write.rollback, new.new, run):
    app.command()(_exiting(_command))
app.command("test")(_exiting(try_out.try_out))
app.command(hidden=True)(_exiting(operator))


if __name__ == "__main__":
    main()
