"""The commands that change nothing: plan, status, verify."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit, is_about_the_words
from dbmigration.cli.tables import print_rows, rows_of

if TYPE_CHECKING:
    from dbmigration.migrations.model import MigrationFile
    from dbmigration.run.engine import Engine
    from dbmigration.run.result import RunResult

OUT_OF_ORDER_ADVICE = {Reason.OUT_OF_ORDER: "give the file a higher number, or allow it with --out-of-order"}

ExitCode = Annotated[bool, words.Option("--exit-code", help="Exit with 4 when something is pending.")]

Evidence = Annotated[
    str | None,
    words.Option(
        "--evidence",
        metavar="NAME",
        help="Instead print a ConfigMap of this name that shows another cluster what is applied here (spec.promotion.evidence).",
        show_default=False,
    ),
]
AgainstFiles = Annotated[
    bool,
    words.Option(
        "--against-files",
        help="Instead replay all applied files in a scratch database, and name where the real one differs (exit status 1).",
    ),
]


def plan(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    target: o.Target = None,
    out_of_order: o.OutOfOrder = False,
    reapply: o.Reapply = False,
    lint: o.Lint = None,
    exit_code: ExitCode = False,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Show what apply would do, and what would stop it. Changes nothing, takes no lock."""
    from dbmigration.cli.work import work

    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    pending = False

    def look(engine: "Engine") -> "RunResult":
        nonlocal pending
        result = engine.look(lint=True)
        pending = bool(result.pending())
        return _read_to_the_end(result)

    def show(result: "RunResult") -> None:
        if not has_a_picture(result) or result.plan is None:
            return
        waiting = (*result.plan.pending, *result.plan.pending_seeds)
        print_rows(rows_of((*result.migrations(), *result.seeds()), {} if result.error else {file.name: _shape(file) for file in waiting}))
        for note in result.plan.notes:
            sys.stdout.write(f"note: {note}\n")
        for finding in result.findings:
            sys.stdout.write(f"{asked.directory / finding.file}{str(finding).removeprefix(finding.file)}\n")
        if result.error is None:
            sys.stdout.write(f"{len(waiting)} to apply; {_where(result)}.\n" if waiting else f"Nothing to do: {_where(result)}.\n")

    status = work(
        asked,
        look,
        show,
        quiet=True,
        target=target,
        out_of_order=out_of_order,
        reapply=reapply,
        lint=lint,
        advice=OUT_OF_ORDER_ADVICE,
    )
    return Exit.PENDING if status == Exit.OK and exit_code and pending else status


def status(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    evidence: Evidence = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Show every migration: applied when, pending, skipped, rolled back. What would stop apply is said, and is no failure of status."""
    from dbmigration.cli.work import work

    def show(result: "RunResult") -> None:
        if not has_a_picture(result) or result.plan is None or result.server is None:
            return
        if evidence is not None:
            from dbmigration.cli.evidence import print_evidence

            print_evidence(result, evidence, environment)
            return
        print_rows(rows_of((*result.migrations(), *result.seeds())))
        plan = result.plan
        counts = {
            "applied": plan.count(State.APPLIED, State.APPLIED_UNVERIFIED),
            "pending": len(result.pending()),
            "skipped": plan.count(State.SKIPPED),
            "rolled back": plan.count(State.ROLLED_BACK),
        }
        shown = ", ".join(f"{number} {what}" for what, number in counts.items() if number or what in ("applied", "pending"))
        sys.stdout.write(f"{result.server.database}, PostgreSQL {result.server.version.partition(' ')[0]}: {_where(result)}; {shown}.\n")

    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    return work(asked, lambda engine: engine.look(), show, quiet=True, forgive=lambda _, result: has_a_picture(result))


def verify(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    drift: o.Drift = None,
    against_files: AgainstFiles = False,
    scratch_dsn: o.ScratchDsn = None,
    private: o.Private = False,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Run the verify script of the newest applied migration again, and name what of the schema no migration made. Changes nothing."""
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution

    execution = Execution(statement_timeout_ms=o.read_duration_ms(statement_timeout, "--statement-timeout"))
    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    scratch = o.read_scratch(scratch_dsn, private)
    if against_files:
        from dbmigration.cli.drift import compare_with_files

        return compare_with_files(asked, scratch=scratch, private=private, execution=execution)
    if scratch or private:
        raise words.BadParameter("only --against-files needs a scratch database", param_hint="--against-files")
    # What a person rolled back is no obstacle to looking at what is there.
    return work(asked, lambda engine: engine.verify(), lambda _: None, execution=execution, reapply=True, drift=drift, traced="verify")


def has_a_picture(result: "RunResult") -> bool:
    """Without the environment's name nobody knows what is skipped: the plan would mislead."""
    return result.plan is not None and not (result.error is not None and is_about_the_words(result.error))


def _read_to_the_end(result: "RunResult") -> "RunResult":
    """What `apply` refuses before it does anything (a psql command, a quote that never ends), `plan` refuses too."""
    from dbmigration.errors import DbmigrationError
    from dbmigration.migrations.script import inspect
    from dbmigration.migrations.shape import verify_shape

    if result.plan is not None and result.error is None:
        try:
            for file in (*result.plan.pending, *result.plan.pending_seeds):
                inspect(file.path, file.header.transaction, file.part)
                if file.verify is not None:
                    verify_shape(inspect(file.verify.path, file.verify.transaction), file.verify.name)
        except DbmigrationError as error:
            result.error = error
    return result


def _shape(file: "MigrationFile") -> str:
    from dbmigration.migrations.script import inspect

    shape = inspect(file.path, file.header.transaction, file.part)
    count = shape.statements - (2 if shape.strip_outer else 0)  # the file's own BEGIN and COMMIT are taken off
    statements = f"{count} statement{'' if count == 1 else 's'}"
    return f"{statements} in one transaction" if shape.transactional else f"{statements}, no transaction: {shape.why}"


def _where(result: "RunResult") -> str:
    version = result.version()
    return f"the database is at version {version}" if version else "no migration is applied"
