"""`dbmigration restore`: a backup into a new database, compared with it row by row before it gets its name."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit, exit_of

if TYPE_CHECKING:
    from dbmigration.backup.restore import Restored

Dump = Annotated[Path, words.Argument(metavar="FILE", help="The backup: a .dump with its .json beside it.")]
Into = Annotated[str, words.Option("--into", metavar="NAME", help="The new database. A restore never writes into one that is there.")]
Jobs = Annotated[int, words.Option("--jobs", "-j", metavar="N", help="Connections that pg_restore works with at once.")]


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
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    interrupt = Interrupt()
    with interrupt.handled() as stop:
        try:
            done = restore_backup(asked.conninfo, dump, into, stop=stop, say=say, jobs=jobs)
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
