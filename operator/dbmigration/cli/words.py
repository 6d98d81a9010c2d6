"""A command's parameters as words of the command line: declared in its signature, read with the standard library's argparse.

`Annotated[Path, Option("--dir", metavar="DIR", help="…")]` declares one. Only the command that was called is built (decision 014).
"""

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from inspect import Parameter, cleandoc, signature
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, NoReturn, get_args, get_origin

from dbmigration.cli.exits import Exit

PROGRAM: Final = "dbmigration"
_WIDEST: Final = 110

Command = Callable[..., int]


class BadParameter(Exception):
    """A word that a command cannot take. `param_hint` names its option or argument. Nothing was touched."""

    def __init__(self, message: str, *, param_hint: str) -> None:
        super().__init__(f"{param_hint}: {message}")


class Argument(NamedTuple):
    """A word without a name. With a default it may be left out; a list takes all that are there."""

    metavar: str
    help: str


class Option:
    """A word with a name. A bool takes no value; a list may be given several times. `show_default`: the help names the default."""

    __slots__ = ("help", "metavar", "names", "show_default")

    def __init__(self, *names: str, help: str, metavar: str | None = None, show_default: bool = True) -> None:
        self.names = names
        self.help = help
        self.metavar = metavar
        self.show_default = show_default


def call(name: str, command: Command, words: Sequence[str], program: str = PROGRAM) -> int:
    """Run the command and return its exit status. Raises BadParameter as the command does, SystemExit for --help and wrong words."""
    return command(**vars(parser_of(name, command, program).parse_args(words)))


def parser_of(name: str, command: Command, program: str = PROGRAM) -> argparse.ArgumentParser:
    """Words in, the command's keyword arguments out. Raises TypeError for a parameter that does not say how it is written."""
    parameters = signature(command).parameters.values()
    for parameter in parameters:
        if not isinstance(next(iter(get_args(parameter.annotation)[1:]), None), Option | Argument):
            raise TypeError(f"{parameter.name} of {name}: annotate it with one Option or one Argument")
    parser = _Parser(
        prog=f"{program} {name}",
        usage=f"%(prog)s [OPTIONS]{''.join(map(_shown, parameters))}",
        description=filled(command.__doc__ or ""),
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=width()),
    )
    for parameter in parameters:
        kind, said = get_args(parameter.annotation)
        _add(parser, parameter, kind, said)
    return parser


def refuse(message: str, program: str = PROGRAM) -> NoReturn:
    """End the process: the words are wrong, nothing was touched."""
    sys.stderr.write(f"error: usage: {message}\nTry `{program} --help`.\n")
    sys.exit(Exit.USAGE)


def width() -> int:
    """Columns of the terminal, as far as a line is still read with ease."""
    return min(shutil.get_terminal_size().columns - 2, _WIDEST)


def filled(docstring: str) -> str:
    return "\n\n".join(textwrap.fill(paragraph, width()) for paragraph in cleandoc(docstring).split("\n\n"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        refuse(message, self.prog)


def _add(parser: argparse.ArgumentParser, parameter: Parameter, kind: Any, said: Option | Argument) -> None:
    make, several = _type_of(kind)
    required = parameter.default is Parameter.empty
    default = None if required else parameter.default
    keywords: dict[str, Any] = {"help": said.help.replace("%", "%%"), "default": default}
    if make is not bool:
        keywords |= {"type": make, "metavar": said.metavar}
    if issubclass(make, Enum):
        keywords |= {"type": partial(_member_of, make), "metavar": f"{{{','.join(each.value for each in make)}}}"}
    if isinstance(said, Argument):
        parser.add_argument(parameter.name, nargs="*" if several else None if required else "?", **keywords)
        return
    if said.show_default and default not in (None, False):
        keywords["help"] += f" [default: {default}]"
    action = "store_true" if make is bool else "append" if several else "store"
    parser.add_argument(*said.names, dest=parameter.name, action=action, required=required, **keywords)


def _member_of(kind: type[Enum], text: str) -> Enum:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(each.value for each in kind)}") from None


def _shown(parameter: Parameter) -> str:
    """An argument as the usage line shows it; options are in the list below it."""
    kind, said = get_args(parameter.annotation)
    if not isinstance(said, Argument):
        return ""
    word = f"{said.metavar}..." if _type_of(kind)[1] else said.metavar
    return f" {word}" if parameter.default is Parameter.empty else f" [{word}]"


def _type_of(kind: Any) -> tuple[type, bool]:
    """`X`, `X | None` and `list[X] | None` as X and whether there may be several."""
    (wanted,) = (each for each in (get_args(kind) if isinstance(kind, UnionType) else (kind,)) if each is not NoneType)
    return (get_args(wanted)[0], True) if get_origin(wanted) is list else (wanted, False)
