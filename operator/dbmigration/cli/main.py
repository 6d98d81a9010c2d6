"""`dbmigration`: the commands, and the last line of defence against an error that nobody expected."""

import gc
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final, NoReturn

from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.failure import print_error, print_failure
from dbmigration.cli.words import PROGRAM, BadParameter, Command, call, filled, refuse, width
from dbmigration.errors import DbmigrationError

_HELP = """Back up, migrate and prove PostgreSQL databases.

Exit status: 0 done or nothing to do, 1 something has to change first, 2 wrong usage, 3 try again later, 4 pending (plan --exit-code).
"""

# Module and function: what was not called is not imported.
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan": "read.plan",
        "apply": "write.apply",
        "status": "read.status",
        "verify": "read.verify",
        "drift": "drift.drift",
        "lint": "lint.lint",
        "backup": "write.backup",
        "backups": "backups.backups",
        "restore": "restore.restore",
        "swap": "restore.swap",
        "rehearse": "rehearse.rehearse",
        "rollback": "write.rollback",
        "baseline": "adopt.baseline",
        "import-history": "adopt.import_history",
        "new": "new.new",
        "test": "try_out.try_out",
        "graph": "graph.graph",
        "docs": "docs.docs",
        "approve": "approve.approve",
        "run": "main.run",
    }
)
_HIDDEN: Final[Mapping[str, str]] = MappingProxyType({"operator": "main.operator"})


def run() -> int:
    """What the operator's Job runs: one request from DBMIGRATION_REQUEST, one report on stdout. People use apply."""
    from dbmigration.run.job import main as run_job

    return run_job(os.environ)


def operator() -> int:
    """The operator's process."""
    from dbmigration.handlers.app import main as run_operator

    return run_operator()


def command_of(name: str) -> Command | None:
    """The function behind a command's name, hidden ones too."""
    place = COMMANDS.get(name) or _HIDDEN.get(name)
    if place is None:
        return None
    module, _, function = place.rpartition(".")
    command: Command = getattr(import_module(f"dbmigration.cli.{module}"), function)
    return command


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Ends the process with a status of `exits`. Nothing that is printed holds a password or, without --show-values, a row's value."""
    # Modules are no garbage: to look for some after each 700 objects of what is imported is a twentieth of a start.
    gc.set_threshold(50_000)
    name, *words = (sys.argv[1:] if arguments is None else arguments) or ("--help",)
    try:
        sys.exit(_main(name, words))
    except BadParameter as error:
        refuse(str(error), f"{PROGRAM} {name}")
    except DbmigrationError as error:
        print_failure(error)
        sys.exit(exit_of(error))
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say it; a command that has work in hand answers the signal itself
    except Exception as error:  # noqa: BLE001 - its text may hold a value: only its type and place are shown
        print_error(f"error: InternalError: {type(error).__name__}; this is a bug, please report it with these lines:")
        for frame in traceback.extract_tb(error.__traceback__):
            sys.stderr.write(f"  {frame.filename}:{frame.lineno} in {frame.name}\n")
        sys.exit(Exit.FAILED)


def _main(name: str, words: Sequence[str]) -> int:
    try:
        return _call(name, words)
    finally:
        gc.freeze()  # the end of a process looks for garbage among all that was ever imported: a tenth of a run with nothing to do


def _call(name: str, words: Sequence[str]) -> int:
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return Exit.OK
    command = command_of(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        refuse(f"there is no command {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return call(name, command, words)


def _help() -> str:
    lines = [f"usage: {PROGRAM} COMMAND [OPTIONS]", "", filled(_HELP), "", "commands:"]
    for name in COMMANDS:
        command = command_of(name)
        summary = (command.__doc__ or "").partition("\n")[0] if command else ""
        lines.append(f"  {name:<15}{summary}"[: width()])
    return "\n".join([*lines, "", f"`{PROGRAM} COMMAND --help` names a command's options.", ""])


if __name__ == "__main__":
    main()
