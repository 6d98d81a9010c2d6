"""`dbmigration backups`: what a folder of backups holds, and the removal of what is too old."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit

if TYPE_CHECKING:
    from dbmigration.backup.retention import Stored

Folder = Annotated[str, words.Argument(metavar="DIR", help="The folder of backups, or s3://BUCKET/PREFIX; what is below it is shown, too.")]
KeepLast = Annotated[int | None, words.Option("--keep-last", metavar="N", help="Keep the newest N of each database.", show_default=False)]
KeepDays = Annotated[int | None, words.Option("--keep-days", metavar="N", help="Keep what is younger than N days.", show_default=False)]
Prune = Annotated[bool, words.Option("--prune", help="Remove what neither --keep-last nor --keep-days keeps.")]


def backups(folder: Folder, keep_last: KeepLast = None, keep_days: KeepDays = None, prune: Prune = False, as_json: o.Json = False) -> int:
    """List the backups in a folder; with --keep-last or --keep-days, say which are outdated, and with --prune remove those.

    Only verified backups count, and the newest of each database is never removed.
    """
    from dbmigration.backup.retention import Retention, outdated

    for number, option in ((keep_last, "--keep-last"), (keep_days, "--keep-days")):
        if number is not None and number < 1:
            raise words.BadParameter("give a number from 1 up", param_hint=option)
    if prune and keep_last is None and keep_days is None:
        raise words.BadParameter("say what stays: --keep-last N, --keep-days N or both", param_hint="--prune")
    found, remove = _look(folder)
    gone = outdated(found, Retention(keep_last, keep_days), datetime.now(UTC)) if keep_last or keep_days else []
    if prune:
        try:
            remove(gone)
        except OSError as error:
            raise words.BadParameter(f"{error.filename} cannot be removed: {error.strerror}", param_hint="DIR") from error
    if as_json:
        sys.stdout.write(json.dumps([_as_json(each, each in gone, prune) for each in found]) + "\n")
        return Exit.OK
    _print_table(folder, found, gone, prune)
    return Exit.OK


def _look(folder: str) -> "tuple[list[Stored], Callable[[Sequence[Stored]], None]]":
    """What is there, and how it is removed."""
    if "://" in folder:
        from dbmigration.backup.s3 import Objects
        from dbmigration.backup.to_s3 import find_stored, remove_stored

        objects = Objects(o.read_bucket(folder, "DIR"))
        return find_stored(objects), partial(remove_stored, objects)
    from dbmigration.backup.retention import find_backups, remove

    if not Path(folder).is_dir():
        raise words.BadParameter(f"{folder} is no folder", param_hint="DIR")
    return find_backups(Path(folder)), remove


def _print_table(folder: str, found: "list[Stored]", gone: "list[Stored]", pruned: bool) -> None:
    rows = [("TAKEN (UTC)", "DATABASE", "MB", "STATE", "FILE")]
    for each in found:
        state = each.state + ((", removed" if pruned else ", outdated") if each in gone else "")
        megabytes = f"{each.record.bytes / 1e6:,.1f}"
        rows.append((f"{each.record.completed_at:%Y-%m-%d %H:%M}", each.record.database, megabytes, state, _below(each.dump, folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for taken, database, size, state, name in rows if found else ():
        sys.stdout.write(f"{taken:<{widths[0]}}  {database:<{widths[1]}}  {size:>{widths[2]}}  {state:<{widths[3]}}  {name}\n")
    total = sum(each.stored_bytes or 0 for each in found)
    what = f"; {len(gone)} {'removed' if pruned else 'outdated'}" if gone else ""
    sys.stdout.write(f"{len(found)} backup{'' if len(found) == 1 else 's'}, {total / 1e6:,.1f} MB{what}.\n")


def _below(dump: Path, folder: str) -> str:
    return str(dump) if "://" in folder else str(dump.relative_to(folder))


def _as_json(each: "Stored", outdated: bool, pruned: bool) -> dict[str, Any]:
    return {
        "file": str(each.dump),
        "state": each.state,
        "counts": each.counts,
        "outdated": outdated,
        "removed": outdated and pruned,
        "record": json.loads(each.record.to_json()),
    }
