"""`dbmigration rehearse`: the pending files in a restored copy of the database, before they run in the database."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words

if TYPE_CHECKING:
    from dbmigration.run.engine import Engine
    from dbmigration.run.rehearse import Rehearsed
    from dbmigration.run.result import RunResult

FromBackup = Annotated[
    str | None,
    words.Option(
        "--backup", metavar="FILE", help="Restore this backup (a file, or s3://BUCKET/KEY); default: one taken for it.", show_default=False
    ),
]
Private = Annotated[
    bool,
    words.Option("--private", help="Restore on a private server, which is started on this machine for it, and not beside the database."),
]
Jobs = Annotated[int, words.Option("--jobs", "-j", metavar="N", help="Connections that pg_restore works with at once.")]


def rehearse(
    backup: FromBackup = None,
    private: Private = False,
    max_lock: o.MaxLock = None,
    fail_on_rewrite: o.FailOnRewrite = False,
    jobs: Jobs = 1,
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    target: o.Target = None,
    out_of_order: o.OutOfOrder = False,
    reapply: o.Reapply = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    lint: o.Lint = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Run the pending files in a restored copy of the database: how long they take, what they lock and rewrite, what fails.

    The database is only read. The copy is compared with its backup first, which proves that the backup can be restored; it is dropped at
    the end.
    """
    from dbmigration.cli.restore import local_copy
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution
    from dbmigration.run.options import Rehearsal
    from dbmigration.run.rehearse import rehearse as rehearse_run

    if jobs < 1:
        raise words.BadParameter("give a number from 1 up", param_hint="--jobs")
    limit = None if max_lock is None else o.read_duration_ms(max_lock, "--max-lock")
    wanted = Rehearsal(private=private, max_lock_ms=limit, fail_on_rewrite=fail_on_rewrite, jobs=jobs)
    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)

    def say(line: str) -> None:
        if not as_json:
            sys.stdout.write(line + "\n")

    def show(result: "RunResult") -> None:
        if result.error is None and result.rehearsal is None:
            sys.stdout.write("Nothing to rehearse: nothing is pending.\n")
            return
        if result.rehearsal is not None:
            print_rehearsal(result.rehearsal)
        if result.error is None:
            sys.stdout.write("Rehearsed in a copy that is gone; the database was only read.\n")

    def do(engine: "Engine") -> "RunResult":
        if backup is None:
            return rehearse_run(engine, None, wanted)
        with local_copy(backup, engine.stop, say) as dump:
            return rehearse_run(engine, dump, wanted)

    return work(
        asked,
        do,
        show,
        execution=Execution(
            lock_timeout_ms=o.read_duration_ms(lock_timeout, "--lock-timeout"),
            statement_timeout_ms=o.read_duration_ms(statement_timeout, "--statement-timeout"),
        ),
        target=target,
        out_of_order=out_of_order,
        reapply=reapply,
        lint=lint,
        traced="rehearse",
    )


def print_rehearsal(found: "Rehearsed") -> None:
    from dbmigration.cli.rehearsal_table import rehearsal_lines
    from dbmigration.run.reporting import rehearsal_report

    sys.stdout.writelines(f"{line}\n" for line in rehearsal_lines(rehearsal_report(found, files=None)))
