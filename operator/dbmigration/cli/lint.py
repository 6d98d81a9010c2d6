"""`dbmigration lint`: what is dangerous in the files, without a database."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit


class Format(StrEnum):
    CONSOLE = "console"
    JSON = "json"
    SARIF = "sarif"


class FailOn(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


Files = Annotated[
    list[Path] | None,
    words.Argument(metavar="FILES", help="Only these of the folder; the files before them are still read."),
]
Output = Annotated[Format, words.Option("--format", help="For people, for scripts, or for code hosts (SARIF 2.1.0).")]
Fail = Annotated[FailOn, words.Option("--fail-on", help="Exit with 1 for findings this bad or worse.")]


def lint(
    files: Files = None,
    directory: o.Directory = o.DIRECTORY,
    output: Output = Format.CONSOLE,
    fail_on: Fail = FailOn.ERROR,
) -> int:
    """Show what is dangerous or wrong in the files, with a page for each rule. Needs no database."""
    from dbmigration.cli.failure import wants_colour
    from dbmigration.errors import Transient
    from dbmigration.lint import Severity, check_folder, report, worst

    names = [_name_in(directory, path) for path in files or ()]
    try:
        findings = check_folder(directory, names)
    except Transient as error:
        raise words.BadParameter(error.message, param_hint="--dir") from error
    except KeyError as error:
        raise words.BadParameter(f"{directory} has no migration {error.args[0]}", param_hint="FILES") from error
    if output is Format.JSON:
        sys.stdout.write(f"{report.as_json(findings)}\n")
    elif output is Format.SARIF:
        from importlib.metadata import version

        sys.stdout.write(f"{report.as_sarif(findings, directory, version('dbmigration-operator'))}\n")
    else:
        for line in report.console(findings, directory, colour=wants_colour(sys.stdout)):
            sys.stdout.write(f"{line}\n")
    bad = worst(findings)
    failed = fail_on is not FailOn.NEVER and bad is not None and bad >= Severity[fail_on.name]
    return Exit.FAILED if failed else Exit.OK


def _name_in(directory: Path, path: Path) -> str:
    """A file as a person or a hook names it: with or without the folder. Raises words.BadParameter for one of another folder."""
    if path.parent != Path() and path.parent.resolve() != directory.resolve():
        raise words.BadParameter(f"{path} is not in {directory}: say which folder with --dir", param_hint="FILES")
    return path.name
