"""The servers on which a copy for a rehearsal is made: shared with others, or of its own, like that beside the run, which starts here."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from dbmigration.api import server_script as files
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.carry import carry_properties
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier
from dbmigration.postgres.roles import bootstrap_superuser, copy_extension_owners, copy_meanings, copy_roles, copy_tablespaces
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings
from dbmigration.postgres.sizes import database_bytes
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
    """A server that nobody else uses, with the roles of the database's server. `live`: a session in the database.

    `why_gone` says what happened to the server, where that is what an error comes from.
    """

    conninfo: ConnInfo
    live: Session
    steps: "Steps"
    why_gone: Callable[[DbmigrationError], str | None]

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
        why = self.why_gone(error)
        return error if why is None else server_failed(why)

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
            (server.directory / files.SETTINGS_FILE).write_text(settings_like(live, server.parameters), encoding="utf-8")
            (server.directory / files.START_FILE).touch()
        except OSError as error:
            raise server_failed(f"{server.directory} cannot be written ({error.strerror})") from None
    _wait_until_ready(steps, server)
    given = {"host": str(server.directory), "port": "5432", "user": superuser, "dbname": "postgres"}
    return make_way(ConnInfo(given), live.server.database)


def place_beside_run(steps: "Steps", live: Session, server: ServerBeside) -> OwnPlace:
    """The started server, made like the database's as it is now. Raises as `start_server`."""
    conninfo = start_server(steps, live, server)
    place = OwnPlace(conninfo, live, steps, partial(_why_gone, steps, server))
    make_alike(place, server.directory, f"PostgreSQL of {server.image}")
    return place


def make_alike(place: OwnPlace, folder: Path, where: str) -> None:
    """Roles, tablespaces (in `folder`, which the server sees under the same path) and meanings of the database's server. Raises OSError."""
    with connect(place.conninfo, application_name="dbmigration/rehearsal", settings=Settings()) as session:
        count = copy_roles(place.live, session, place.say)
        copy_tablespaces(place.live, session, folder, place.say)
        copy_meanings(place.live, session, place.say)
    place.say(f"{count} role{'' if count == 1 else 's'} made on {where}, without passwords")


def make_way(given: ConnInfo, database: str) -> ConnInfo:
    """`given` leads into database postgres of a new server. Where the copy will have that name, it gives way to another."""
    if given.parameters["dbname"] != database:
        return given
    elsewhere = ConnInfo({**given.parameters, "dbname": "template1"})
    with connect(elsewhere, application_name="dbmigration/rehearsal", settings=Settings()) as session:
        if not session.query("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (_MAINTENANCE,)):
            session.query(f"CREATE DATABASE {_MAINTENANCE} TEMPLATE template0")
        session.query(f"DROP DATABASE IF EXISTS {identifier(database)}")
    return ConnInfo({**given.parameters, "dbname": _MAINTENANCE})


def _check_storage(live: Session, server: ServerBeside) -> None:
    size = database_bytes(live)
    if size + _ROOM_OF_ITS_OWN <= server.storage:
        return
    enough = math.ceil((size * 1.5 + _ROOM_OF_ITS_OWN) / 2**30)
    raise server_failed(
        f"the database has {size / 2**20:.0f} MiB, and {FIELD}.storage allows {server.storage / 2**20:.0f} MiB for copy and server: "
        f"write storage: {enough}Gi there, or rehearse on another server"
    )


def settings_like(live: Session, more: Mapping[str, str]) -> str:
    """Lines for postgresql.conf of a server that files work on as on the database's, and `more`, which wins."""
    rows = live.query("SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)", (list(_FOLLOWED),))
    return _SETTINGS + "".join(f"{name} = {_quoted(value)}\n" for name, value in (dict(rows) | dict(more)).items())


def _quoted(value: str) -> str:
    """As postgresql.conf reads it (manual, 20.1.2)."""
    plain = " ".join(value.splitlines()).replace("\\", "\\\\").replace("'", "''")
    return f"'{plain}'"


def _why_gone(steps: "Steps", server: ServerBeside, error: DbmigrationError) -> str | None:
    if is_disk_full(error):
        return f"the disk of the node is full ({error.message}): make room there, or rehearse on another server"
    if not is_lost(error):
        return None
    until = monotonic() + _WORD_WITHIN_S
    while monotonic() < until and not steps.stop.is_set():
        said = _log(server)
        if _KILLED in said or (_ended(server) and _SHUT_DOWN not in said[-1000:]):
            return (
                "the PostgreSQL beside the run was killed, most likely because its container ran out of memory: raise "
                f"{FIELD}.resources.limits.memory"
            )
        if _ended(server):
            return f"the PostgreSQL beside the run ended: {_last_lines(said)}"
        sleep(_LOOK_EVERY_S)
    return None


def is_disk_full(error: DbmigrationError) -> bool:
    """Said by the server, or by pg_restore of it."""
    return error.place.sqlstate == _DISK_FULL or "No space left on device" in error.message


def is_lost(error: DbmigrationError) -> bool:
    """The server may be gone."""
    return isinstance(error, Transient) and error.reason in (Reason.CONNECTION_LOST, Reason.DATABASE_UNAVAILABLE)


def _wait_until_ready(steps: "Steps", server: ServerBeside) -> None:
    pid_file = server.directory / files.DATA_FOLDER / "postmaster.pid"
    until = monotonic() + _START_WITHIN_S
    while monotonic() < until:
        steps.stop.check()
        if _ended(server):
            raise server_failed(f"PostgreSQL did not start: {_last_lines(_log(server))}")
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


def server_failed(what: str) -> Permanent:
    return Permanent(Reason.REHEARSAL_SERVER_FAILED, f"{what}. The database itself was not touched")
