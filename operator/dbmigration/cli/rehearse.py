"""`dbmigration rehearse`: the pending files in a restored copy of the database, before they run in the database."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words

if TYPE_CHECKING:
    from dbmigration.run.engine import Engine
    from dbmigration.run.result import RunResult

FromBackup = Annotated[
    str | None,
    words.Option(
        "--backup", metavar="FILE", help="Restore this backup (a file, or s3://BUCKET/KEY); default: one taken for it.", show_default=False
    ),
]
MaxLock = Annotated[
    str | None,
    words.Option("--max-lock", metavar="TIME", help="Fail when a file keeps others from a table for longer.", show_default=False),
]
Jobs = Annotated[int, words.Option("--jobs", "-j", metavar="N", help="Connections that pg_restore works with at once.")]


def rehearse(
    backup: FromBackup = None,
    max_lock: MaxLock = None,
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
    """Run the pending files in a restored copy of the database, beside it: how long each takes, what it locks, whether it fails.

    The database is only read. The copy is compared with its backup first, which proves that the backup can be restored; it is dropped at
    the end.
    """
    from dbmigration.cli.restore import local_copy
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution
    from dbmigration.run.rehearse import rehearse as rehearse_run

    if jobs < 1:
        raise words.BadParameter("give a number from 1 up", param_hint="--jobs")
    limit = None if max_lock is None else o.read_duration_ms(max_lock, "--max-lock")
    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)

    def say(line: str) -> None:
        if not as_json:
            sys.stdout.write(line + "\n")

    def show(result: "RunResult") -> None:
        if result.error is None and not result.applied and not result.seeded:
            sys.stdout.write("Nothing to rehearse: nothing is pending.\n")
            return
        _print_table(result)
        if result.error is None:
            sys.stdout.write("Rehearsed in a copy that is gone; the database was only read.\n")

    def do(engine: "Engine") -> "RunResult":
        if backup is None:
            return rehearse_run(engine, None, max_lock_ms=limit, jobs=jobs)
        with local_copy(backup, engine.stop, say) as dump:
            return rehearse_run(engine, dump, max_lock_ms=limit, jobs=jobs)

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
    )


def _print_table(result: "RunResult") -> None:
    from dbmigration.cli.tables import show_ms

    rows = [("FILE", "STATEMENTS", "TIME", "HELD FOR A SECOND OR LONGER")]
    for done in (*result.applied, *result.seeded):
        rows.append((done.name, str(done.statements), show_ms(done.duration_ms), "; ".join(map(str, done.held)) or "-"))
    if result.error is not None and result.working_on:
        rows.append((result.working_on, "", "", "failed"))
    if len(rows) == 1:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, statements, time, held in rows:
        sys.stdout.write(f"{name:<{widths[0]}}  {statements:>{widths[1]}}  {time:>{widths[2]}}  {held}\n")
