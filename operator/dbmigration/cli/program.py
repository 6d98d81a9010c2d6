"""A program of several commands, and the last line of defence against an error that nobody expected."""

import gc
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final, NamedTuple, NoReturn

from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.failure import print_error, print_failure
from dbmigration.cli.streams import forget_reader, reader_is_gone
from dbmigration.cli.words import BadParameter, Command, call, filled, refuse, width
from dbmigration.errors import DbmigrationError

_PIPE_CLOSED: Final = 141
"""As shells say of a program that SIGPIPE ended: nobody reads its output any more."""


class Program(NamedTuple):
    """`commands` and `hidden` name module and function of each command: what was not called is not imported.

    `elsewhere`: what is said of a command that is not here; "{name}" in it is the command.
    """

    name: str
    help: str
    commands: Mapping[str, str]
    hidden: Mapping[str, str] = MappingProxyType({})
    elsewhere: Mapping[str, str] = MappingProxyType({})

    def command_of(self, name: str) -> Command | None:
        """The function behind a command's name, hidden ones too."""
        place = self.commands.get(name) or self.hidden.get(name)
        if place is None:
            return None
        module, _, function = place.rpartition(".")
        command: Command = getattr(import_module(f"dbmigration.cli.{module}"), function)
        return command


def run_program(program: Program, arguments: Sequence[str] | None = None) -> NoReturn:
    """Ends the process with a status of `exits`. Nothing that is printed holds a password or, without --show-values, a row's value."""
    name, *words = (sys.argv[1:] if arguments is None else arguments) or ("--help",)
    try:
        status = _main(program, name, words)
        sys.stdout.flush()
        sys.exit(status)
    except BadParameter as error:
        refuse(str(error), f"{program.name} {name}")
    except DbmigrationError as error:
        print_failure(error)
        sys.exit(exit_of(error))
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say it; a command that has work in hand answers the signal itself
    except BrokenPipeError as error:
        if not reader_is_gone():
            _tell_bug(error)
        forget_reader()
        sys.exit(_PIPE_CLOSED)
    except Exception as error:  # noqa: BLE001 - its text may hold a value: only its type and place are shown
        _tell_bug(error)


def _tell_bug(error: Exception) -> NoReturn:
    print_error(f"error: InternalError: {type(error).__name__}; this is a bug, please report it with these lines:")
    for frame in traceback.extract_tb(error.__traceback__):
        sys.stderr.write(f"  {frame.filename}:{frame.lineno} in {frame.name}\n")
    sys.exit(Exit.FAILED)


def _main(program: Program, name: str, words: Sequence[str]) -> int:
    try:
        return _call(program, name, words)
    finally:
        gc.freeze()  # the end of a process looks for garbage among all that was ever imported: a tenth of a run with nothing to do


def _call(program: Program, name: str, words: Sequence[str]) -> int:
    if name in ("-h", "--help"):
        sys.stdout.write(_help(program))
        return Exit.OK
    command = program.command_of(name)
    if command is None:
        from difflib import get_close_matches

        if name in program.elsewhere:
            refuse(program.elsewhere[name], program.name)
        near = get_close_matches(name, program.commands, n=1)
        refuse(f"there is no command {name!r}" + (f"; did you mean {near[0]}?" if near else ""), program.name)
    return call(name, command, words, program.name)


def _help(program: Program) -> str:
    lines = [f"usage: {program.name} COMMAND [OPTIONS]", "", filled(program.help), "", "commands:"]
    for name in program.commands:
        command = program.command_of(name)
        summary = (command.__doc__ or "").partition("\n")[0] if command else ""
        lines.append(f"  {name:<15}{summary}"[: width()])
    return "\n".join([*lines, "", f"`{program.name} COMMAND --help` names a command's options.", ""])
