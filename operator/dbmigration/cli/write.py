"""The commands that change a database or write a backup: apply, rollback, backup."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbmigration.cli import options as o
from dbmigration.cli.exits import Exit
from dbmigration.cli.read import OUT_OF_ORDER_ADVICE

if TYPE_CHECKING:
    from dbmigration.migrations.model import History, MigrationFile, MigrationSet
    from dbmigration.run.result import RunResult
    from dbmigration.run.rollback import Choose

Number = Annotated[str | None, typer.Argument(metavar="NUMBER", help="The migration to undo: the newest applied one.", show_default=False)]
To = Annotated[
    str | None, typer.Option("--to", metavar="VERSION", help="Undo every migration above this one; 000: all.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Required where nobody can answer (in a pipe).")]
Check = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", help="Take no backup; prove that this one is still whole.", show_default=False),
]


def apply(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    environment: o.Environment = None,
    history: o.History = None,
    target: o.Target = None,
    backup_dir: o.BackupDir = None,
    no_backup: o.NoBackup = False,
    out_of_order: o.OutOfOrder = False,
    reapply: o.Reapply = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    wait: o.Wait = o.WAIT,
    drift: o.Drift = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Back up, then apply what is pending, each file with its history row and its verify script in one transaction."""
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution

    def show(result: "RunResult") -> None:
        if result.error is not None:
            return
        where = f"the database is at version {version}" if (version := result.version()) else "no migration is applied"
        done = len(result.applied)
        sys.stdout.write(f"Applied {done} migration{'' if done == 1 else 's'}; {where}.\n" if done else f"Nothing to do: {where}.\n")

    asked = o.asked(dsn, directory, environment, history, as_json, show_values)
    execution = Execution(
        lock_timeout_ms=o.read_duration_ms(lock_timeout, "--lock-timeout"),
        statement_timeout_ms=o.read_duration_ms(statement_timeout, "--statement-timeout"),
    )
    return work(
        asked,
        lambda engine: engine.run(),
        show,
        execution=execution,
        target=target,
        out_of_order=out_of_order,
        reapply=reapply,
        backup=o.read_backup(environment, backup_dir, no_backup),
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        drift=drift,
        advice=OUT_OF_ORDER_ADVICE,
    )


def rollback(
    number: Number = None,
    to: To = None,
    yes: Yes = False,
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    environment: o.Environment = None,
    history: o.History = None,
    backup_dir: o.BackupDir = None,
    no_backup: o.NoBackup = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    wait: o.Wait = o.WAIT,
    drift: o.Drift = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Back up, then undo migrations with their rollback scripts, newest first."""
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution

    asked = o.asked(dsn, directory, environment, history, as_json, show_values)
    confirmed = Confirmation(_chosen_by(number, to), ask=not yes)
    if not yes and (as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise typer.BadParameter("nobody can be asked here: give --yes", param_hint="--yes")

    def show(result: "RunResult") -> None:
        if result.error is not None:
            return
        where = f"the database is at version {version}" if (version := result.version()) else "no migration is applied"
        done = len(result.rolled_back)
        if done:
            sys.stdout.write(f"Rolled back {done} migration{'' if done == 1 else 's'}; {where}.\n")
        else:
            sys.stdout.write(f"Nothing was rolled back: {where}.\n")

    status = work(
        asked,
        lambda engine: engine.rollback(confirmed),
        show,
        execution=Execution(
            lock_timeout_ms=o.read_duration_ms(lock_timeout, "--lock-timeout"),
            statement_timeout_ms=o.read_duration_ms(statement_timeout, "--statement-timeout"),
        ),
        # What was rolled back before is no obstacle to rolling back more.
        reapply=True,
        backup=o.read_backup(environment, backup_dir, no_backup),
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        drift=drift,
    )
    return Exit.FAILED if confirmed.declined else status


def backup(
    dsn: o.Dsn = None,
    backup_dir: o.BackupDir = None,
    check: Check = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Take a backup with pg_dump, read it to its end, and write its record beside it; or check an earlier one."""
    if (backup_dir is None) == (check is None):
        raise typer.BadParameter("give either --backup-dir DIR or --check FILE", param_hint="--backup-dir")
    if check is not None:
        return _check(check, as_json)
    from dbmigration.cli.work import work

    def show(result: "RunResult") -> None:
        if result.backup is not None:
            sys.stdout.write(f"{result.backup.bytes} bytes, SHA-256 {result.backup.sha256}\n")

    asked = o.asked(dsn, o.DIRECTORY, None, None, as_json, show_values)
    return work(asked, lambda engine: engine.back_up(), show, backup=o.read_backup(None, backup_dir, no_backup=False))


class Confirmation:
    """A choice of files that a person has to agree to, while the lock is held: what is shown is what is undone."""

    def __init__(self, choose: "Choose", *, ask: bool) -> None:
        self._choose = choose
        self._ask = ask
        self.declined = False

    def __call__(self, files: "MigrationSet", history: "History") -> "tuple[MigrationFile, ...]":
        chosen = self._choose(files, history)
        if not chosen or not self._ask:
            return chosen
        sys.stdout.write("This undoes, in this order:\n")
        for file in chosen:
            sys.stdout.write(f"  {file.name}  with {file.rollback.name if file.rollback else 'nothing'}\n")
        self.declined = not _agrees("Data that only these migrations hold is lost. Go on? [y/N] ")
        return () if self.declined else chosen


def _agrees(question: str) -> bool:
    """Ctrl-D and an empty line are no. Ctrl-C ends the process here and now: nothing was begun, and the server frees the lock."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        sys.stdout.write("\n")
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def _chosen_by(number: str | None, to: str | None) -> "Choose":
    from dbmigration.run.rollback import down_to, only

    if number is not None and to is None:
        return only(number)
    if to is not None and number is None:
        return down_to(to)
    raise typer.BadParameter("give either the NUMBER of the newest applied migration, or --to VERSION", param_hint="NUMBER")


def _check(dump: Path, as_json: bool) -> int:
    from dbmigration.backup.check import check_backup

    found = check_backup(dump)
    if as_json:
        sys.stdout.write(found.to_json())
    else:
        sys.stdout.write(f"{dump} is whole: {found.bytes} bytes, SHA-256 {found.sha256}, read to its end.\n")
    return Exit.OK
