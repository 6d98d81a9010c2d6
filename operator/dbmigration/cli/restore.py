"""`dbmigration restore`: a backup into a new database, compared with it row by row before it gets its name."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.streams import reader_may_leave

if TYPE_CHECKING:
    from dbmigration.backup.restore import Restored
    from dbmigration.postgres.swap import SwapPlan
    from dbmigration.run.stop import StopRequest

Dump = Annotated[str, words.Argument(metavar="FILE", help="The backup: a .dump with its .json beside it, here or at s3://BUCKET/KEY.")]
Into = Annotated[str, words.Option("--into", metavar="NAME", help="The new database. A restore never writes into one that is there.")]
Jobs = Annotated[int, words.Option("--jobs", "-j", metavar="N", help="Connections that pg_restore works with at once.")]
Copy = Annotated[str, words.Argument(metavar="RESTORED", help="The database that shall have the name of the connected one.")]
Maintenance = Annotated[str, words.Option("--maintenance-db", metavar="NAME", help="A third database, from which both are renamed.")]
Yes = Annotated[bool, words.Option("--yes", "-y", help="Do not ask. Required where nobody can answer (in a pipe).")]


def restore(dump: Dump, into: Into, dsn: o.Dsn = None, jobs: Jobs = 1, as_json: o.Json = False) -> int:
    """Restore a backup into a new database, and compare every row, object and owner before it gets its name.

    The connection names the server: its own database is not touched. What fails or is interrupted leaves nothing.
    """
    from dbmigration.backup.restore import restore_backup
    from dbmigration.cli.failure import print_failure
    from dbmigration.cli.work import Interrupt
    from dbmigration.errors import DbmigrationError

    if jobs < 1:
        raise words.BadParameter("give a number from 1 up", param_hint="--jobs")
    asked = o.asked(dsn, o.DIRECTORY, None, None, as_json, show_values=False)

    def say(line: str) -> None:
        if not as_json:
            _say(line)

    interrupt = Interrupt()
    with interrupt.handled() as stop:
        try:
            with local_copy(dump, stop, say) as path:
                done = restore_backup(asked.conninfo, path, into, stop=stop, say=say, jobs=jobs)
        except DbmigrationError as error:
            print_failure(error)
            return exit_of(error, interrupt.number)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(done)) + "\n")
        return Exit.OK
    for name in done.unvalidated:
        say(f"constraint {name} is NOT VALID, as it was when the backup was taken")
    taken = done.backup.started_at
    say(f"Database {into} holds {done.rows:,} rows and {done.objects:,} objects as of {taken:%Y-%m-%d %H:%M:%S} UTC.")
    return Exit.OK


def _say(line: str) -> None:
    with reader_may_leave():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


@contextmanager
def local_copy(dump: str, stop: "StopRequest", say: Callable[[str], None]) -> Iterator[Path]:
    """The dump as a file: itself, or what was fetched of it into the folder for temporary files, and is gone at the end."""
    if "://" not in dump:
        yield Path(dump)
        return
    from tempfile import TemporaryDirectory

    from dbmigration.backup.to_s3 import fetch

    bucket = o.read_bucket(dump, "FILE")
    with TemporaryDirectory(prefix="dbmigration-") as folder:
        path = fetch(dump, bucket, Path(folder), stop)
        say(f"fetched {dump}: {path.stat().st_size / 1e6:,.1f} MB")
        yield path


def swap(restored: Copy, dsn: o.Dsn = None, maintenance: Maintenance = "postgres", yes: Yes = False, wait: o.Wait = o.WAIT) -> int:
    """Put a restored database in the place of the connected one; the old one stays under another name.

    Both renames are one transaction. Sessions in both are ended; owner, grants, settings and claim go with the name.
    """
    from dbmigration.cli.write import agrees
    from dbmigration.postgres.swap import swap as swap_databases

    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise words.BadParameter("nobody can be asked here: give --yes", param_hint="--yes")

    def confirm(plan: "SwapPlan") -> bool:
        ended = ", ".join(f"{count} of {who}" for who, count in plan.sessions.items()) or "none"
        _say(f"{plan.name} becomes {plan.kept_as} and keeps all it holds; {plan.restored} becomes {plan.name}. Sessions to end: {ended}.")
        return yes or agrees("Go on? [y/N] ")

    asked = o.asked(dsn, o.DIRECTORY, None, None, as_json=False, show_values=False)
    wait_s = o.read_duration_ms(wait, "--wait") / 1000
    done = swap_databases(asked.conninfo, restored, maintenance=maintenance, wait_s=wait_s, say=_say, confirm=confirm)
    if done is None:
        _say("Nothing was changed.")
        return Exit.FAILED
    _say(
        f"Database {done.name} is what {done.restored} was. The old one is {done.kept_as}: `dbmigration swap {done.kept_as}` puts it back."
    )
    return Exit.OK


def _as_json(done: "Restored") -> dict[str, Any]:
    return {
        "database": done.database,
        "backup": json.loads(done.backup.to_json()),
        "tables": done.tables,
        "rows": done.rows,
        "sequences": done.sequences,
        "largeObjects": done.large_objects,
        "objects": done.objects,
        "notValidConstraints": list(done.unvalidated),
        "restoreSeconds": round(done.restore_s, 3),
        "compareSeconds": round(done.compare_s, 3),
    }
