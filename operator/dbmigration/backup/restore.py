"""Restore a backup into a new database, which gets its name only when it holds exactly what the backup holds."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.backup.access import access_to
from dbmigration.backup.check import check_bytes
from dbmigration.backup.clients import Client, choose_dump_client, choose_restore_client
from dbmigration.backup.contents import Contents, contents_of_database, contents_of_dump, differences
from dbmigration.backup.definition import read_definition
from dbmigration.backup.record import Backup
from dbmigration.backup.stream import StopRequest, raise_if_stopped, running
from dbmigration.errors import DbmigrationError, Permanent, Usage
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server, Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.postgres.temporary import Temporary, temporary_database

PREFIX: Final = "dbmigration_restoring_"

_NAME_BYTES: Final = 63
_TELL_EVERY_S: Final = 5.0
_DIFFERENCES_SHOWN: Final = 5
_DUPLICATE_DATABASE: Final = "42P04"
_SAID: Final = re.compile(r"pg_restore: error: (.*)")
_VALUE: Final = re.compile(r'(COPY failed .*?): "')


@dataclass(frozen=True, slots=True)
class Restored:
    """A database that was restored and compared. Times in seconds: of pg_restore, and of reading both sides to compare them.

    `identity`: system identifier and oid.
    """

    database: str
    identity: str
    backup: Backup
    tables: int
    rows: int
    sequences: int
    large_objects: int
    objects: int
    unvalidated: Sequence[str]
    """Constraints that are NOT VALID, as they were when the backup was taken."""

    restore_s: float
    compare_s: float


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup restored under a temporary name, and found equal to it. It is dropped when its context ends, unless it is kept."""

    database: Temporary
    backup: Backup
    contents: Contents
    unvalidated: Sequence[str]
    restore_s: float
    compare_s: float


def restore_backup(
    conninfo: ConnInfo,
    dump: Path,
    into: str,
    *,
    stop: StopRequest,
    say: Callable[[str], None],
    jobs: int = 1,
    note: Callable[[Restored], str] | None = None,
) -> Restored:
    """Make the database `into` from `dump`: `restored_copy`, and then its name. `note`: what becomes its comment before.

    Raises Usage where `into` is there or is no name, and as `restored_copy`.
    """
    _check_name(into)
    with connect(conninfo, application_name="dbmigration/restore", settings=Settings()) as session:
        _refuse_existing(session, into)
    with restored_copy(conninfo, dump, stop=stop, say=say, jobs=jobs) as copy:
        found = copy.contents
        restored = Restored(
            into, copy.database.identity(), copy.backup, len(found.tables), found.rows, len(found.sequences), len(found.large_objects),
            found.objects.total(), copy.unvalidated, copy.restore_s, copy.compare_s,
        )  # fmt: skip
        if note is not None:
            copy.database.describe(note(restored))
        _keep(copy.database, into)
    return restored


@contextmanager
def restored_copy(
    conninfo: ConnInfo,
    dump: Path,
    *,
    stop: StopRequest,
    say: Callable[[str], None],
    jobs: int = 1,
    prefix: str = PREFIX,
    private: bool = False,
) -> Iterator[Copy]:
    """A new database from `dump`, on the server of `conninfo`, whose own database is not touched.

    The dump's bytes are checked first. The database has a temporary name and is dropped if anything fails, if `stop` is set, or, by the
    next restore, if this process was killed. Rows (every value of them), sequences, large objects, objects and owners are compared with
    the dump before the context begins. `say` gets a line for each stage, and one every 5 s while pg_restore works.

    `private`: nobody but its owner and superusers may connect to it.

    Raises Permanent BACKUP_FAILED (damaged), RESTORE_FAILED, PERMISSION_DENIED, Transient CLIENT_VERSION_MISMATCH and INTERRUPTED, and
    what `session.connect` raises. Blocks; memory is flat.
    """
    with connect(conninfo, application_name="dbmigration/restore", settings=Settings()) as session:
        server = session.server
    record = check_bytes(dump, stop)
    reader, dumper = _clients(record, server)
    wanted = contents_of_dump(dump.absolute(), reader, stop)
    say(f"{dump.name} is whole: {_counted(wanted)}")
    definition = read_definition(dump.absolute(), reader)
    remedy = "ALTER ROLE … CREATEDB, or connect as a role that may"
    with temporary_database(conninfo, prefix, lambda _: definition, say, denied=remedy, private=private) as made:
        began = monotonic()
        _restore(made, dump.absolute(), reader, stop, say, jobs, record.globals_uri)
        restored_at = monotonic()
        say(f"restored in {restored_at - began:.1f} s; comparing it with the backup")
        with access_to(made.conninfo) as access:
            got = contents_of_database(dumper, access, stop)
        if found := differences(wanted, got):
            more = f"; and {len(found) - _DIFFERENCES_SHOWN} more" if len(found) > _DIFFERENCES_SHOWN else ""
            raise Permanent(
                Reason.RESTORE_FAILED,
                f"What was restored is not what the backup {dump.name} holds: {'; '.join(found[:_DIFFERENCES_SHOWN])}{more}. "
                "The new database was dropped.",
            )
        unvalidated = _look_inside(made)
        compared_at = monotonic()
        say(f"compared in {compared_at - restored_at:.1f} s: every row, object and owner is as in the backup")
        raise_if_stopped(stop)
        yield Copy(made, record, wanted, unvalidated, restored_at - began, compared_at - restored_at)


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > _NAME_BYTES:
        raise Usage(Reason.SPEC_INVALID, f"{name!r} is no name of a database: 1 to {_NAME_BYTES} bytes")
    if name.startswith(PREFIX):
        raise Usage(Reason.SPEC_INVALID, f"names that begin with {PREFIX} are of restores that are not done: choose another")


def _refuse_existing(session: Session, name: str) -> None:
    if session.query("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,)):
        raise _exists(name)


def _exists(name: str) -> Usage:
    return Usage(Reason.SPEC_INVALID, f"there is a database {name} already, and a restore never writes into one: choose another name")


def _clients(record: Backup, server: Server) -> tuple[Client, Client]:
    """pg_restore for the dump and pg_dump for the server, which have to be of one major: their texts are compared."""
    major = int(record.dump_version.partition(".")[0])
    if server.major != major:
        raise Permanent(
            Reason.RESTORE_FAILED,
            f"The backup is of PostgreSQL {record.server_version} and this server is {server.version}: it can be proved equal only on a "
            f"server of major {major}.",
        )
    return choose_restore_client(record.dump_version), choose_dump_client(server.version, server.major)


def _restore(
    made: Temporary, dump: Path, client: Client, stop: StopRequest, say: Callable[[str], None], jobs: int, roles: str | None
) -> None:
    argv = [str(client.pg_restore), "--exit-on-error", "--no-password", f"--jobs={jobs}", f"--dbname={made.name}"]
    told_at = monotonic()

    def tell() -> None:
        nonlocal told_at
        if monotonic() - told_at >= _TELL_EVERY_S:
            say(f"restoring: {made.size() / 1e6:.0f} MB so far")
            told_at = monotonic()

    with (
        access_to(made.conninfo) as access,
        running(access.command("pg_restore", (*argv, str(dump)))) as child,
    ):
        child.wait(stop, tell)
        why = child.failure(access.hide)
    if why is None:
        return
    made.size()  # a server that is gone says so itself
    raise Permanent(Reason.RESTORE_FAILED, f"The backup cannot be restored here: {_first_error(why, roles)}. The new database was dropped.")


def _first_error(said: str, roles: str | None = None) -> str:
    """pg_restore's first error without the command, and without a row's value; what is missing on this server, as a remedy."""
    match = _SAID.search(said)
    words = (match[1] if match else said).partition(" | ")[0]
    if value := _VALUE.match(words):
        words = value[1]
    words = re.sub(r"^could not execute query: ERROR: +", "", words)
    if re.fullmatch(r'role ".*" does not exist', words):
        words += ": roles are not in a dump of one database, make it first (CREATE ROLE" + (f"; {roles} has them all)" if roles else ")")
    elif "must be member of role" in words or "must be able to SET ROLE" in words:
        words += ": connect as a superuser, or as a member of the roles that own its objects"
    elif "is not available" in words:
        words += ": install the extension on this server first"
    return words


def _look_inside(made: Temporary) -> list[str]:
    """Constraints that are not validated. Raises Permanent RESTORE_FAILED for an INVALID index."""
    with connect(made.conninfo, application_name=made.name, settings=Settings()) as session:
        session.query("SET search_path TO pg_catalog")  # names are shown with their schema
        invalid = session.query(
            """SELECT pg_catalog.string_agg(i.indexrelid::pg_catalog.regclass::text, ', ' ORDER BY 1) FROM pg_catalog.pg_index AS i
            JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND c.relkind = 'i'"""
        )[0][0]
        if invalid:
            raise Permanent(Reason.RESTORE_FAILED, f"INVALID indexes after the restore: {invalid}. The new database was dropped.")
        rows = session.query(
            """SELECT pg_catalog.format('%s on %s', pg_catalog.quote_ident(conname), conrelid::pg_catalog.regclass)
            FROM pg_catalog.pg_constraint WHERE NOT convalidated AND conrelid <> 0 ORDER BY 1"""
        )
    return [row[0] for row in rows]


def _keep(made: Temporary, name: str) -> None:
    try:
        made.keep_as(name)
    except DbmigrationError as error:
        if error.place.sqlstate == _DUPLICATE_DATABASE:
            raise _exists(name) from None
        raise


def _counted(contents: Contents) -> str:
    parts = [(len(contents.tables), "table"), (contents.rows, "row"), (len(contents.sequences), "sequence")]
    if contents.large_objects:
        parts.append((len(contents.large_objects), "large object"))
    return ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in parts)
