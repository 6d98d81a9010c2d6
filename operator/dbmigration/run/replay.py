"""The schema that the files alone make, to compare the database with."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import History, HistoryTable, MigrationFile, MigrationSet
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server, Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.options import RunOptions
from dbmigration.run.stop import StopRequest

if TYPE_CHECKING:
    from dbmigration.catalog.model import Snapshot
    from dbmigration.scratch.place import Place


def applied_files(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
    """In the order in which they were applied, without their verify scripts: those may ask for rows that only the real database has.

    Raises Permanent MISSING_FILES for a row whose file is not in the folder, CHECKSUM_MISMATCH for a file that was edited since.
    """
    by_name = {file.name: file for file in files.files}
    missing = [row.name for row in history.applied if row.name not in by_name]
    if missing:
        raise Permanent(Reason.MISSING_FILES, f"{', '.join(missing)} is applied, but not in the folder: what it made cannot be made again")
    edited = [row.name for row in history.applied if row.checksum not in (None, by_name[row.name].checksum)]
    if edited:
        raise Permanent(
            Reason.CHECKSUM_MISMATCH, f"{', '.join(edited)} was edited after it was applied: what it made then cannot be made again"
        )
    return tuple(by_name[row.name]._replace(verify=None) for row in history.applied)


def place_beside(live: Session, conninfo: ConnInfo, files: Iterable[MigrationFile], *, scratch: ConnInfo | None, private: bool) -> "Place":
    """The server of the database itself unless another is named.

    A private one is of the same major and has the same roles, but for those that the files will make.
    """
    from dbmigration.scratch.place import GivenServer, OwnServer

    if not private:
        return GivenServer(scratch or conninfo)
    from dbmigration.scratch.roles import roles_of

    there = {row[0] for row in live.query("SELECT rolname FROM pg_catalog.pg_roles")}
    return OwnServer(live.server.major, live.server.user, tuple(sorted(there - roles_of(files).made)))


def replay(
    place: "Place",
    files: Iterable[MigrationFile],
    table: HistoryTable,
    live: Server,
    options: RunOptions,
    stop: StopRequest,
    say: Callable[[str], None],
) -> "Snapshot":
    """Apply the files in a scratch database and take its schema. The scratch database is gone afterwards.

    Raises Permanent REHEARSAL_UNSAFE for a file that reaches beyond its database, and what `apply_file` raises, said to be of the scratch
    database.
    """
    from dbmigration.catalog.snapshot import take_snapshot
    from dbmigration.postgres.apply import apply_file
    from dbmigration.scratch.database import scratch_database
    from dbmigration.scratch.place import scratch_server
    from dbmigration.scratch.server_wide import refuse_server_wide

    chosen = tuple(files)
    with scratch_server(place, say) as server:
        if server.shared:
            refuse_server_wide((file._replace(rollback=None) for file in chosen), "dbmigration verify --against-files")
        settings = Settings(execution=options.execution)
        with (
            scratch_database(server, say) as conninfo,
            connect(conninfo, application_name=f"dbmigration/{options.run_id}", settings=settings) as session,
        ):
            if session.server.major != live.major:
                raise Permanent(
                    Reason.SPEC_INVALID,
                    f"the database is PostgreSQL {live.version} and the scratch server {session.server.version}: definitions are written "
                    "differently from one major to the next; name a server of the same",
                )
            stop.attach(session)
            try:
                for file in chosen:
                    stop.check()
                    apply_file(session, file, table=table, execution=options.execution, run_id=options.run_id, on_progress=lambda _: None)
            except DbmigrationError as error:
                error.message = f"in the scratch database: {error.message}"
                raise
            return take_snapshot(session, table)
