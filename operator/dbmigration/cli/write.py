"""The commands that change a database or write a backup: apply, rollback, backup."""

import signal
import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit
from dbmigration.cli.read import OUT_OF_ORDER_ADVICE

if TYPE_CHECKING:
    from dbmigration.run.engine import Engine
    from dbmigration.run.result import RunResult
    from dbmigration.run.rollback import Choose, RollbackPlan

Number = Annotated[str | None, words.Argument(metavar="NUMBER", help="The migration to undo: the newest applied one.")]
To = Annotated[
    str | None, words.Option("--to", metavar="VERSION", help="Undo every migration above this one; 000: all.", show_default=False)
]
LastRun = Annotated[bool, words.Option("--last-run", help="Undo what the last run applied.")]
DryRun = Annotated[bool, words.Option("--dry-run", help="Only show what would be undone and lost, and the plan's hash.")]
PlanHash = Annotated[
    str | None,
    words.Option("--plan-hash", metavar="HASH", help="Refuse any other plan than the one that --dry-run showed.", show_default=False),
]
Yes = Annotated[bool, words.Option("--yes", "-y", help="Do not ask. Required where nobody can answer (in a pipe).")]
Check = Annotated[
    str | None,
    words.Option("--check", metavar="FILE", help="Take no backup; prove that this one is still whole.", show_default=False),
]


def apply(
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    target: o.Target = None,
    backup_dir: o.BackupDir = None,
    no_backup: o.NoBackup = False,
    external_backup: o.External = None,
    backup_format: o.BackupFormat = o.BACKUP_FORMAT,
    backup_jobs: o.BackupJobs = 1,
    backup_compression: o.BackupCompression = None,
    out_of_order: o.OutOfOrder = False,
    reapply: o.Reapply = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    wait: o.Wait = o.WAIT,
    drift: o.Drift = None,
    lint: o.Lint = None,
    rehearse: o.Rehearse = False,
    max_lock: o.MaxLock = None,
    fail_on_rewrite: o.FailOnRewrite = False,
    on_failure: o.OnFailure = o.ON_FAILURE,
    claimed_by: o.ClaimedBy = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Back up, then apply what is pending, each file with its history row and its verify script in one transaction."""
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution

    def show(result: "RunResult") -> None:
        if result.rehearsal is not None:
            from dbmigration.cli.rehearse import print_rehearsal

            print_rehearsal(result.rehearsal)
        if result.error is not None:
            return
        where = f"the database is at version {version}" if (version := result.version()) else "no migration is applied"
        done = [
            f"{verb} {len(files)} {what}{'' if len(files) == 1 else 's'}"
            for verb, files, what in (("applied", result.applied, "migration"), ("ran", result.seeded, "seed"))
            if files
        ]
        sys.stdout.write(f"{', '.join(done).capitalize()}; {where}.\n" if done else f"Nothing to do: {where}.\n")

    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
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
        backup=o.read_shape(
            o.read_backup(environment, backup_dir, no_backup, external_backup), backup_format, backup_jobs, backup_compression
        ),
        external=o.read_external(external_backup),
        rehearsal=o.read_rehearsal(rehearse, max_lock, fail_on_rewrite, backup_dir, backup_jobs),
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        drift=drift,
        lint=lint,
        on_failure=on_failure,
        claimed_by=claimed_by,
        advice=OUT_OF_ORDER_ADVICE,
        traced="apply",
    )


def rollback(
    number: Number = None,
    to: To = None,
    last_run: LastRun = False,
    dry_run: DryRun = False,
    plan_hash: PlanHash = None,
    yes: Yes = False,
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    backup_dir: o.BackupDir = None,
    no_backup: o.NoBackup = False,
    external_backup: o.External = None,
    backup_format: o.BackupFormat = o.BACKUP_FORMAT,
    backup_jobs: o.BackupJobs = 1,
    backup_compression: o.BackupCompression = None,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    wait: o.Wait = o.WAIT,
    drift: o.Drift = None,
    claimed_by: o.ClaimedBy = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Show what undoing migrations with their rollback scripts would lose; back up, and do it, newest first."""
    from dbmigration.cli.work import work
    from dbmigration.postgres.settings import Execution

    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    choose = _chosen_by(number, to, last_run)
    confirmed = Confirmation(ask=not yes, expected=plan_hash)
    if not yes and not dry_run and (as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise words.BadParameter("nobody can be asked here: give --yes", param_hint="--yes")

    def show(result: "RunResult") -> None:
        if result.error is not None:
            return
        where = f"the database is at version {version}" if (version := result.version()) else "no migration is applied"
        done = len(result.rolled_back)
        if dry_run and result.rollback is not None:
            from dbmigration.run.rollback import story_of

            sys.stdout.write(f"{story_of(result.rollback)}\n" if result.rollback.files else f"Nothing to roll back: {where}.\n")
        elif done:
            sys.stdout.write(f"Rolled back {done} migration{'' if done == 1 else 's'}; {where}.\n")
        else:
            sys.stdout.write(f"Nothing was rolled back: {where}.\n")

    target = None if dry_run else o.read_backup(environment, backup_dir, no_backup, external_backup)
    target = o.read_shape(target, backup_format, backup_jobs, backup_compression)

    def roll_back(engine: "Engine") -> "RunResult":
        return engine.look_at_rollback(choose) if dry_run else engine.rollback(choose, confirmed)

    status = work(
        asked,
        roll_back,
        show,
        execution=Execution(
            lock_timeout_ms=o.read_duration_ms(lock_timeout, "--lock-timeout"),
            statement_timeout_ms=o.read_duration_ms(statement_timeout, "--statement-timeout"),
        ),
        backup=target,
        external=o.read_external(external_backup),
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        drift=drift,
        claimed_by=claimed_by,
        quiet=dry_run,
        traced=None if dry_run else "rollback",
    )
    return Exit.FAILED if confirmed.declined else status


def backup(
    dsn: o.Dsn = None,
    backup_dir: o.BackupDir = None,
    backup_format: o.BackupFormat = o.BACKUP_FORMAT,
    backup_jobs: o.BackupJobs = 1,
    backup_compression: o.BackupCompression = None,
    check: Check = None,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Take a backup with pg_dump, read it to its end, and write its record beside it; or check an earlier one."""
    if (backup_dir is None) == (check is None):
        raise words.BadParameter("give either --backup-dir DIR or --check FILE", param_hint="--backup-dir")
    if check is not None:
        return _check(check, as_json)
    from dbmigration.cli.work import work

    def show(result: "RunResult") -> None:
        if result.backup is not None:
            sys.stdout.write(f"{result.backup.bytes} bytes, SHA-256 {result.backup.sha256}\n")

    asked = o.asked(dsn, o.DIRECTORY, None, None, as_json, show_values)
    target = o.read_shape(o.read_backup(None, backup_dir, no_backup=False), backup_format, backup_jobs, backup_compression)
    return work(asked, lambda engine: engine.back_up(), show, backup=target, traced="backup")


class Confirmation:
    """A rollback that a person has to agree to, while the lock is held: what the run's plan has shown is what is undone.

    `expected`: the hash of the only plan that was agreed to before. Raises Permanent PLAN_CHANGED for any other.
    """

    def __init__(self, *, ask: bool, expected: str | None) -> None:
        self._ask = ask
        self._expected = expected
        self.declined = False

    def __call__(self, plan: "RollbackPlan") -> bool:
        from dbmigration.run.rollback import refuse_other_plan

        refuse_other_plan(plan, self._expected)
        self.declined = self._ask and not agrees("Go on? [y/N] ")
        return not self.declined


def agrees(question: str) -> bool:
    """Ctrl-D and an empty line are no. Ctrl-C ends the process here and now: nothing was begun, and the server frees the lock."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        sys.stdout.write("\n")
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def _chosen_by(number: str | None, to: str | None, last: bool) -> "Choose":
    from dbmigration.run.rollback import down_to, last_run, only

    if (number is not None) + (to is not None) + last != 1:
        raise words.BadParameter("give one of the NUMBER of the newest applied migration, --to VERSION and --last-run", param_hint="NUMBER")
    if number is not None:
        return only(number)
    return down_to(to) if to is not None else last_run()


def _check(dump: str, as_json: bool) -> int:
    from dbmigration.backup.check import check_backup
    from dbmigration.cli.restore import local_copy
    from dbmigration.run.stop import StopRequest

    with local_copy(dump, StopRequest(), lambda _: None) as path:
        found = check_backup(path)
    if as_json:
        sys.stdout.write(found.to_json())
    else:
        sys.stdout.write(f"{dump} is whole: {found.bytes} bytes, SHA-256 {found.sha256}, read to its end.\n")
    return Exit.OK
