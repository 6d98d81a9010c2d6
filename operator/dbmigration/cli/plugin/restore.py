"""`kubectl dbmigration restore`: a person asks for a backup back, in a new database beside the one in use."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.plugin.change import Yes, agrees
from dbmigration.cli.plugin.resource import Context, Name, Namespace, Resource, cluster, read
from dbmigration.cli.plugin.text import plain, size
from dbmigration.cli.words import BadParameter, Option

if TYPE_CHECKING:
    from dbmigration.api.restore import RestoreSpec

Into = Annotated[str, Option("--into", metavar="DATABASE", help="The new database.")]
Backup = Annotated[
    str | None,
    Option("--backup", metavar="URI", help="Another backup than the newest, as `history` names it.", show_default=False),
]


def restore(
    name: Name,
    into: Into,
    namespace: Namespace = None,
    context: Context = None,
    backup: Backup = None,
    yes: Yes = False,
) -> int:
    """Show which backup, ask, and make a DatabaseRestore: it is restored into a new database, and compared row by row."""
    from dbmigration.kube.restore_asked import make_restore

    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadParameter("nobody can be asked here: give --yes", param_hint="--yes")
    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
        spec = restore_spec(found, into, backup)
        if backup is None and found.status.backup is None:
            print_error(f"error: {found.namespace}/{found.name} has no backup yet: name one with --backup URI")
            return Exit.FAILED
        _show(found, into, backup)
        if not yes and not agrees():
            print_error("nothing was asked for")
            return Exit.FAILED
        made = make_restore(api, found.namespace, found.name, spec)
    where = f"-n {found.namespace}"
    sys.stdout.write(
        f"asked for it: DatabaseRestore {made}. Follow it: kubectl dbmigration watch {where} dbr/{made}\n"
        f"When you have looked at {into}, and want it in the place of the database in use (docs/restore.md): "
        f'kubectl patch dbr {where} {made} --type=merge -p \'{{"spec":{{"swap":true}}}}\'\n'
    )
    return Exit.OK


def restore_spec(found: Resource, into: str, backup: str | None) -> "RestoreSpec":
    """Raises BadParameter for what the API server would refuse."""
    from pydantic import ValidationError

    from dbmigration.api.approval import MigrationRef
    from dbmigration.api.restore import RestoreSource, RestoreSpec

    try:
        source = RestoreSource(uri=backup) if backup is not None else RestoreSource(latest=True)
        return RestoreSpec(migration_ref=MigrationRef(name=found.name), backup=source, into=into)
    except ValidationError as error:
        first = error.errors()[0]
        hint = "--backup" if "uri" in first["loc"] or not first["loc"] else "--into"
        raise BadParameter(str(first["msg"]).removeprefix("Value error, "), param_hint=hint) from None


def _show(found: Resource, into: str, backup: str | None) -> None:
    record = found.status.backup
    what = plain(backup or "")
    if backup is None and record is not None:
        what = f"{plain(record.uri)}, {size(record.bytes)}, {record.completed_at:%Y-%m-%d %H:%M} UTC: what was written since is not in it"
    used = f"the database {plain(found.status.database.name)}" if found.status.database is not None else "the database in use"
    sys.stdout.write(f"backup  {what}\ninto    {into}, a new database on the same server; {used} is not touched\n")
    sys.stdout.flush()
