"""`dbmigration lint`: what is dangerous in the files; with a database, what is in the pending ones, by the size of its tables."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit
from dbmigration.run.options import LintPolicy

if TYPE_CHECKING:
    from dbmigration.lint import Finding
    from dbmigration.migrations.layout import Layout
    from dbmigration.run.result import RunResult


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
Live = Annotated[
    bool, words.Option("--database", help="With the database that DATABASE_URL or the PG* variables name, as --dsn does with its own.")
]
Fail = Annotated[FailOn, words.Option("--fail-on", help="Exit with 1 for findings this bad or worse.")]


def lint(
    files: Files = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    output: Output = Format.CONSOLE,
    fail_on: Fail = FailOn.ERROR,
    dsn: o.Dsn = None,
    database: Live = False,
    environment: o.Environment = None,
    history: o.History = None,
) -> int:
    """Show what is dangerous or wrong in the files, with a page for each rule. Needs no database; with one, looks at what is pending
    there, and knows how big its tables are."""
    names = [_name_in(directory, path) for path in files or ()]
    if dsn is None and not database:
        return _show(_findings(directory, names, layout), directory, output, fail_on)
    if names:
        raise words.BadParameter("with a database the pending files are looked at: name none", param_hint="FILES")
    return _with_database(o.asked(dsn, directory, environment, history, False, False, layout), output, fail_on)


def _findings(directory: Path, names: list[str], layout: "Layout | None") -> "tuple[Finding, ...]":
    from dbmigration.errors import Transient
    from dbmigration.lint import check_folder

    try:
        return check_folder(directory, names, layout)
    except Transient as error:
        raise words.BadParameter(error.message, param_hint="--dir") from error
    except KeyError as error:
        raise words.BadParameter(f"{directory} has no migration {error.args[0]}", param_hint="FILES") from error


def _with_database(asked: o.Asked, output: Format, fail_on: FailOn) -> int:
    """What a run on this database would find."""
    from dbmigration.cli.work import work

    status: int = Exit.OK

    def show(result: "RunResult") -> None:
        nonlocal status
        if result.error is None:
            status = _show(result.findings, asked.directory, output, fail_on)

    failed = work(asked, lambda engine: engine.look(lint=True), show, quiet=True, reapply=True, lint=LintPolicy.NEVER)
    return failed or status


def _show(findings: "tuple[Finding, ...]", directory: Path, output: Format, fail_on: FailOn) -> int:
    from dbmigration.cli.failure import wants_colour
    from dbmigration.lint import Severity, report, worst

    if output is Format.JSON:
        sys.stdout.write(f"{report.as_json(findings)}\n")
    elif output is Format.SARIF:
        from importlib.metadata import version

        sys.stdout.write(f"{report.as_sarif(findings, directory, version('dbmigration-operator'))}\n")
    elif not findings and not any(directory.glob("*.sql*")):
        sys.stdout.write(f"There is no .sql file in {directory}.\n")
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
