"""The servers on which a copy for a rehearsal is made: one that others use, or the one beside the run, which is told here how to start."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from dbmigration.api import server_script as files
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.carry import carry_properties
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.roles import bootstrap_superuser, copy_extension_owners, copy_meanings, copy_roles, copy_tablespaces
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.progress import Step

if TYPE_CHECKING:
    from dbmigration.backup.restore import Copy
    from dbmigration.run.steps import Steps

FIELD: Final = "spec.rehearsal.server"

_START_WITHIN_S: Final = 300.0
"""initdb and the start take a second or two; a busy disk may take much longer."""
_WORD_WITHIN_S: Final = 10.0
"""How long a server that went away has to say why: kubelet may have to start its container again."""
_LOOK_EVERY_S: Final = 0.1
_READY_LINE: Final = 7
"""Of postmaster.pid (manual, 73.1)."""
_ROOM_OF_ITS_OWN: Final = 128 * 2**20
"""What an empty server takes, and its first WAL."""
_KILLED: Final = "was terminated by signal 9"
_SHUT_DOWN: Final = "database system is shut down"
"""A server that ends by itself says so last."""
_INITDB_DONE: Final = "-l logfile start"
_DISK_FULL: Final = "53100"
_OURS: Final = ("host", "hostaddr", "port", "dbname", "user", "options")
"""Of the database's connection: what is replaced, or kept; the others are about the network and who may come in."""

_MAINTENANCE: Final = "dbmigration_maintenance"

# It may forget everything in a crash. What it logs is read when it went away, and must hold nothing of what the files say.
_SETTINGS: Final = """
fsync = off
full_page_writes = off
synchronous_commit = off
max_wal_size = 512MB
log_destination = stderr
log_line_prefix = ''
logging_collector = off
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
lc_messages = 'C'
"""

_FOLLOWED: Final = ("wal_level", "max_locks_per_transaction", "max_prepared_transactions", "max_replication_slots")
"""Settings of the database's server without which files that work there would fail; everybody may read them."""


@dataclass(frozen=True, slots=True)
class ServerBeside:
    """What waits in `directory` to be started: see `api.server_script`. `storage`: bytes that it may fill; `image` is for messages."""

    directory: Path
    image: str
    storage: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """A server that others use. `conninfo` makes the copy, and runs the files in it."""

    conninfo: ConnInfo

    def moved_in(self, copy: "Copy") -> ConnInfo:
        """As whom the files run in the copy."""
        return copy.database.conninfo

    def explained(self, error: DbmigrationError) -> DbmigrationError:
        """The error in the words of who was asked for the place."""
        return error


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """The server beside the run, which has the roles of the database's server by now. `live`: a session in the database."""

    conninfo: ConnInfo
    server: ServerBeside
    live: Session
    steps: "Steps"

    def moved_in(self, copy: "Copy") -> ConnInfo:
        """The copy gets name, owner, grants and settings of the database, and the files run as the role that migrates."""
        name, database = self.live.server.database, copy.database
        carry_properties(database.orders, name, database.name, self.say, live_session=self.live)
        with connect(database.conninfo, application_name=database.name, settings=Settings()) as session:
            copy_extension_owners(self.live, session)
        database.rename(name)
        of_the_role = {key: value for key, value in self.live.conninfo.parameters.items() if key == "options"}
        inside = {key: value for key, value in database.conninfo.parameters.items() if key in _OURS}
        return ConnInfo(of_the_role | inside | {"user": self.live.server.user})

    def explained(self, error: DbmigrationError) -> DbmigrationError:
        """Why the server went away, where that is what the error comes from. Raises nothing."""
        if error.place.sqlstate == _DISK_FULL or "No space left on device" in error.message:
            return _failed(f"the disk of the node is full ({error.message}): make room there, or rehearse on another server")
        if not isinstance(error, Transient) or error.reason not in (Reason.CONNECTION_LOST, Reason.DATABASE_UNAVAILABLE):
            return error
        until = monotonic() + _WORD_WITHIN_S
        while monotonic() < until and not self.steps.stop.is_set():
            said = _log(self.server)
            if _KILLED in said or (_ended(self.server) and _SHUT_DOWN not in said[-1000:]):
                return _failed(
                    "the PostgreSQL beside the run was killed, most likely because its container ran out of memory: raise "
                    f"{FIELD}.resources.limits.memory"
                )
            if _ended(self.server):
                return _failed(f"the PostgreSQL beside the run ended: {_last_lines(said)}")
            sleep(_LOOK_EVERY_S)
        return error

    def say(self, message: str) -> None:
        self.steps.say(Step.REHEARSE, message, finished=True)


CopyPlace = SharedPlace | OwnPlace


def start_server(steps: "Steps", live: Session, server: ServerBeside) -> ConnInfo:
    """Start it, unless it runs, with the bootstrap superuser of the database's server. Returns that role's connection to it.

    Raises Permanent REHEARSAL_SERVER_FAILED in the server's own words, or because its storage is too small, before it starts; Transient
    where it does not start in time, and what `connect` raises.
    """
    superuser = bootstrap_superuser(live)
    _check_storage(live, server)
    if not (server.directory / files.START_FILE).exists():
        steps.say(Step.REHEARSE, f"starting PostgreSQL of {server.image} beside the run")
        try:
            (server.directory / files.SUPERUSER_FILE).write_text(f"{superuser}\n", encoding="utf-8")
            (server.directory / files.SETTINGS_FILE).write_text(_settings(live, server), encoding="utf-8")
            (server.directory / files.START_FILE).touch()
        except OSError as error:
            raise _failed(f"{server.directory} cannot be written ({error.strerror})") from None
    _wait_until_ready(steps, server)
    given = {"host": str(server.directory), "port": "5432", "user": superuser, "dbname": "postgres"}
    if live.server.database != given["dbname"]:
        return ConnInfo(given)
    # The name is the copy's.
    with connect(ConnInfo(given | {"dbname": "template1"}), application_name="dbmigration/rehearsal", settings=Settings()) as session:
        if not session.query("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (_MAINTENANCE,)):
            session.query(f"CREATE DATABASE {_MAINTENANCE} TEMPLATE template0")
        session.query("DROP DATABASE IF EXISTS postgres")
    return ConnInfo(given | {"dbname": _MAINTENANCE})


def own_place(steps: "Steps", live: Session, server: ServerBeside) -> OwnPlace:
    """The started server with roles and tablespaces as they are now on the database's. Raises as `start_server`."""
    conninfo = start_server(steps, live, server)
    place = OwnPlace(conninfo, server, live, steps)
    with connect(conninfo, application_name="dbmigration/rehearsal", settings=Settings()) as session:
        count = copy_roles(live, session, place.say)
        copy_tablespaces(live, session, server.directory, place.say)
        copy_meanings(live, session, place.say)
    place.say(f"{count} role{'' if count == 1 else 's'} made on PostgreSQL of {server.image}, without passwords")
    return place


def _check_storage(live: Session, server: ServerBeside) -> None:
    size: int = live.query("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")[0][0]
    if size + _ROOM_OF_ITS_OWN <= server.storage:
        return
    enough = math.ceil((size * 1.5 + _ROOM_OF_ITS_OWN) / 2**30)
    raise _failed(
        f"the database has {size / 2**20:.0f} MiB, and {FIELD}.storage allows {server.storage / 2**20:.0f} MiB for copy and server: "
        f"write storage: {enough}Gi there, or rehearse on another server"
    )


def _settings(live: Session, server: ServerBeside) -> str:
    rows = live.query("SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)", (list(_FOLLOWED),))
    given = dict(rows) | dict(server.parameters)
    return _SETTINGS + "".join(f"{name} = {_quoted(value)}\n" for name, value in given.items())


def _quoted(value: str) -> str:
    """As postgresql.conf reads it (manual, 20.1.2)."""
    plain = " ".join(value.splitlines()).replace("\\", "\\\\").replace("'", "''")
    return f"'{plain}'"


def _wait_until_ready(steps: "Steps", server: ServerBeside) -> None:
    pid_file = server.directory / files.DATA_FOLDER / "postmaster.pid"
    until = monotonic() + _START_WITHIN_S
    while monotonic() < until:
        steps.stop.check()
        if _ended(server):
            raise _failed(f"PostgreSQL did not start: {_last_lines(_log(server))}")
        try:
            if pid_file.read_text().splitlines()[_READY_LINE : _READY_LINE + 1] == ["ready   "]:
                return
        except OSError:
            pass
        sleep(_LOOK_EVERY_S)
    raise Transient(
        Reason.REHEARSAL_SERVER_FAILED,
        f"{FIELD}: PostgreSQL of {server.image} was not ready within {_START_WITHIN_S:.0f} s: {_last_lines(_log(server))}",
    )


def _ended(server: ServerBeside) -> bool:
    return (server.directory / files.ENDED_FILE).exists()


def _log(server: ServerBeside) -> str:
    try:
        return (server.directory / files.LOG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_lines(said: str) -> str:
    """Of postgres; of initdb where that failed."""
    lines = [line.strip() for line in said.rpartition(_INITDB_DONE)[2].splitlines() if line.strip()]
    return " | ".join(lines[-4:])[-600:] or "it said nothing"


def _failed(what: str) -> Permanent:
    return Permanent(Reason.REHEARSAL_SERVER_FAILED, f"{what}. The database itself was not touched")
