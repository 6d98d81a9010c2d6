"""`dbmigration drift`: what of the schema no migration made."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit
from dbmigration.run.options import DriftPolicy

if TYPE_CHECKING:
    from dbmigration.postgres.conninfo import ConnInfo
    from dbmigration.postgres.settings import Execution
    from dbmigration.run.engine import Engine
    from dbmigration.run.result import RunResult

Accept = Annotated[bool, words.Option("--accept", help="From now on the schema as it is now is what the next run expects.")]


def drift(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    history: o.History = None,
    accept: Accept = False,
    wait: o.Wait = o.WAIT,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Compare the schema with the one that the last run left, object by object. Changes nothing; exits with 1 when they differ."""
    from dbmigration.cli.work import work

    differs = False

    def look(engine: "Engine") -> "RunResult":
        nonlocal differs
        result = engine.accept_drift() if accept else engine.drift()
        differs = bool(result.drift)
        return result

    def show(result: "RunResult") -> None:
        if result.error is None and accept:
            sys.stdout.write("Accepted: this schema is what the next run expects.\n")
        elif result.error is None and not differs and result.drift_note is None:
            sys.stdout.write("No drift: the schema is as the last run left it.\n")

    asked = o.asked(dsn, directory, None, history, as_json, show_values, layout)
    status = work(
        asked,
        look,
        show,
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        # Who asks wants to know, whatever runs do about it.
        drift=DriftPolicy.REPORT,
        traced="drift",
    )
    return Exit.FAILED if status == Exit.OK and differs and not accept else status


def compare_with_files(asked: o.Asked, *, scratch: "ConnInfo | None", private: bool, execution: "Execution") -> int:
    """`verify --against-files`: is the database what the files make? Exits with 1 when not."""
    from dbmigration.cli.work import work

    differs = False

    def look(engine: "Engine") -> "RunResult":
        nonlocal differs
        result = engine.compare_with_files(scratch=scratch, private=private)
        differs = bool(result.drift)
        return result

    def show(result: "RunResult") -> None:
        if result.error is None and not differs:
            sys.stdout.write("The schema is what the applied files make.\n")

    status = work(asked, look, show, execution=execution, traced="verify against files")
    return Exit.FAILED if status == Exit.OK and differs else status
