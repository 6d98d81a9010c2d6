"""One connection that does everything: lock, history, SQL.

Between two statements it never idles in a transaction, except inside the one transaction of a file.
"""

import contextlib
import select
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import psycopg
from psycopg import conninfo as libpq_conninfo
from psycopg.pq import TransactionStatus

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres import record
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.errors import ServerError, classify, classify_connect, mask_message
from dbmigration.postgres.settings import Settings

if TYPE_CHECKING:
    from dbmigration.migrations.model import MigrationFile
    from dbmigration.postgres.reading import Source
    from dbmigration.postgres.trace import Trace
    from dbmigration.postgres.transactional import Made
    from dbmigration.postgres.watch import Watch

OLDEST_SERVER = 140000
"""server_version_num of the floor: client_connection_check_interval and idle_session_timeout came with PostgreSQL 14."""

CHECK_INTERVAL = "client_connection_check_interval"
_KEPT_WARNINGS = 20


class Server(NamedTuple):
    """The other end. `identity`: system identifier and database oid, the same through every host name (a physical copy has it too)."""

    version: str
    version_num: int
    major: int
    identity: str
    database: str
    user: str


class StopRequest:
    """A person or kubelet said stop. Setting it is safe in a signal handler and from another thread, and wakes who waits for it.

    No threading.Event: its lock is not reentrant, so a handler that sets it while the same thread enters wait() would hang for ever.
    """

    def __init__(self) -> None:
        self._asked = False
        self.wakes, self._write = socket.socketpair()
        self._write.setblocking(False)

    def set(self) -> None:
        """What is written is never read: `wakes` stays readable from now on."""
        self._asked = True
        with contextlib.suppress(OSError):  # full: it was woken already; closed: nobody waits any more
            self._write.send(b"!")

    def is_set(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> bool:
        """Sleep, at most so long. True: stop was asked."""
        if not self._asked:
            select.select([self.wakes], [], [], max(seconds, 0))
        return self._asked

    def close(self) -> None:
        self.wakes.close()
        self._write.close()


class Session:
    """A connection in autocommit with everything that must be known about it. Made by `connect()`; not shared between threads.

    `ready_for` is the history table whose place and shape were checked and that this session need not make any more. `used`: SQL of a file
    ran, and what it left in the session was not cleared yet. `unfinished`: keys of the scripts of which an earlier run did a part, as
    `history.read_history` found them. `sources` keeps what `apply.read_ahead` found of scripts, by name,
    checksum and header; `kept_bytes` of them are in memory. `watch` is called while the server is waited for;
    `unwatched`: no second connection could be had, so none is tried again. `while_waiting` is called once, while the server works on a
    message, and `ahead` is the next file with the message that was made then. `trace` measures each statement of the files.
    """

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", conninfo: ConnInfo, settings: Settings, server: Server) -> None:
        self.connection = connection
        self.conninfo = conninfo
        self.settings = settings
        self.server = server
        self.stop = StopRequest()
        self.lock_held = False
        self.lock_lost = False
        self.used = False
        self.ready_for: HistoryTable | None = None
        self.unfinished: frozenset[str] = frozenset()
        self.sources: dict[tuple[str, str, bool | None], Source] = {}
        self.kept_bytes = 0
        self.watch: Watch | None = None
        self.unwatched = False
        self.while_waiting: Callable[[], None] | None = None
        self.ahead: tuple[MigrationFile, Made] | None = None
        self.trace: Trace | None = None
        self._warnings: list[str] = []
        connection.add_notice_handler(self._keep_warning)

    @property
    def pid(self) -> int:
        return self.connection.pgconn.backend_pid

    @property
    def actor(self) -> str:
        return self.settings.actor or self.server.user

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """One statement of ours, its rows. Raises what `errors.classify` makes of the server's error."""
        try:
            cursor = self.connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as error:
            raise classify(ServerError.from_exception(error)) from None

    def request_stop(self) -> None:
        """Safe in a signal handler and from another thread: the running statement is cancelled, the next one never starts."""
        self.stop.set()

    def raise_if_stopped(self, *, after_sql: bool = False) -> None:
        if self.stop.is_set():
            raise Transient(Reason.INTERRUPTED, "the run was asked to stop", after_sql=after_sql)

    def cancel(self) -> None:
        """Ask the server to cancel what runs. Best effort: the outcome is read from the results."""
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=5)

    def take_warnings(self) -> list[str]:
        """The server's WARNINGs since the last call, masked as errors are; at most 20 are kept."""
        taken, self._warnings = self._warnings, []
        return taken

    def warn(self, message: str) -> None:
        """A WARNING of our own among the server's."""
        self._warnings.append(message)

    def clear(self) -> None:
        """After a file, whatever became of it: out of its transaction, and everything that it set for its session is undone.

        A connection that is gone needs neither. Raises as `query` does.
        """
        self.roll_back()
        if self.used and self.connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self.query(";".join((*record.AS_OURSELVES, *record.FORGET_OBJECTS)))
            self.used = False

    def roll_back(self) -> None:
        """Out of a transaction, if the connection is in one and still lives."""
        if self.connection.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            self.query("ROLLBACK")

    def close(self) -> None:
        self.connection.close()
        self.stop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _keep_warning(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING" and len(self._warnings) < _KEPT_WARNINGS:
            self._warnings.append(mask_message(notice.sqlstate, notice.message_primary or ""))


def connect(conninfo: ConnInfo, *, application_name: str, settings: Settings) -> Session:
    """Connect and make sure that it is a PostgreSQL 14 or newer, itself and no pooler, that takes writes.

    The settings go into the connection's start-up options, so that RESET ALL comes back to them. Raises Transient DATABASE_UNAVAILABLE,
    AUTHENTICATION_FAILED, PERMISSION_DENIED, POOLER_DETECTED, DATABASE_READ_ONLY, and Permanent SPEC_INVALID for an older server.
    """
    return _connect(conninfo, application_name, settings)


def _connect(conninfo: ConnInfo, application_name: str, settings: Settings, options: dict[str, str] | None = None) -> Session:
    connection = _open(conninfo, application_name, settings, options)
    try:
        server, bounded = _examine(connection, conninfo, application_name, settings)
        if not bounded:
            return Session(connection, conninfo, settings, server)
    except psycopg.Error as error:
        connection.close()
        raise classify(ServerError.from_exception(error)) from None
    except BaseException:
        connection.close()
        raise
    # Whatever the database or the role was given would end a long file. Only PostgreSQL 17 and newer know the setting, and an older server
    # refuses a connection that names it: so it is named to those that have one.
    connection.close()
    return _connect(conninfo, application_name, settings, _options(settings) | {"transaction_timeout": "0"})


def connect_beside(session: Session, purpose: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """A second connection to the very server that the session reached, to look at things: short timeouts, pg_catalog its only schema.

    Its application name is the session's and `purpose`. Safe in another thread. Raises as `connect` does.
    """
    info = session.connection.info
    name = info.get_parameters().get("application_name", "dbmigration")
    place = {"host": info.host, "port": str(info.port), **({"hostaddr": info.hostaddr} if info.hostaddr else {})}
    parameters = {**session.conninfo.parameters, **place, "target_session_attrs": "any"}
    room = 62 - len(purpose)  # of a name's 63 bytes (NAMEDATALEN)
    return _open(
        ConnInfo(parameters),
        f"{name.encode()[:room].decode(errors='ignore')} {purpose}",
        session.settings._replace(writable=False),
        {"search_path": "pg_catalog", "statement_timeout": "5s", "lock_timeout": "1s", CHECK_INTERVAL: "1s"},
    )


def _options(settings: Settings) -> dict[str, str]:
    execution = settings.execution
    return {
        CHECK_INTERVAL: "1s",  # a killed client's statement and lock go away at once
        "idle_session_timeout": "0",  # the session that holds the lock sits through a long dump
        "idle_in_transaction_session_timeout": "0",
        "statement_timeout": str(execution.statement_timeout_ms),
        "lock_timeout": str(execution.lock_timeout_ms),
        # A lost node sends no FIN, and the server's own default is two hours.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "60s",
    }


def _open(
    conninfo: ConnInfo, application_name: str, settings: Settings, options: dict[str, str] | None = None
) -> "psycopg.Connection[tuple[Any, ...]]":
    parameters: dict[str, Any] = {"connect_timeout": settings.connect_timeout_s} | dict(conninfo.parameters)
    chosen = _options(settings) if options is None else options
    parameters |= {
        "application_name": application_name.encode()[:63].decode(errors="ignore"),
        "client_encoding": "UTF8",
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
        "options": " ".join([conninfo.parameters.get("options", ""), *(f"-c {name}={value}" for name, value in chosen.items())]).strip(),
    }
    if settings.writable and "," in parameters.get("host", ""):
        parameters.setdefault("target_session_attrs", "read-write")
    try:
        # Prepared statements would be pulled from under psycopg by the reset after each file.
        return psycopg.Connection.connect(libpq_conninfo.make_conninfo(**parameters), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        if options is None and CHECK_INTERVAL in str(error):
            return _open(conninfo, application_name, settings, {})  # `_examine` tells an old server from a pooler
        raise classify_connect(error, conninfo.password) from None


_EXAMINE = """
SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num')::int,
    (SELECT system_identifier FROM pg_catalog.pg_control_system()), d.oid, d.datname, session_user,
    pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')::bool,
    pg_catalog.current_setting('client_connection_check_interval', true), pg_catalog.current_setting('idle_session_timeout', true),
    coalesce(pg_catalog.current_setting('transaction_timeout', true), '0') <> '0'
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
"""


def _examine(
    connection: "psycopg.Connection[tuple[Any, ...]]", conninfo: ConnInfo, application_name: str, settings: Settings
) -> tuple[Server, bool]:
    """The server, and whether it ends transactions that take long."""
    row = connection.execute(_EXAMINE).fetchone()
    if row is None:
        raise Transient(Reason.DATABASE_UNAVAILABLE, "the database was given another name while it was asked for it; it is asked again")
    pid, version, version_num, system, oid, database, user, in_recovery, read_only, check_interval, idle_timeout, bounded = row
    if version_num < OLDEST_SERVER:
        raise Permanent(Reason.SPEC_INVALID, f"PostgreSQL {version} is too old: 14 is the oldest that is supported")
    if (check_interval, idle_timeout) != ("1s", "0"):
        raise Transient(
            Reason.POOLER_DETECTED,
            "the connection's settings did not reach the server: a pooler is in between; give the server's own address",
        )
    if pid != connection.pgconn.backend_pid and _shares_backends(connection, conninfo, application_name, settings):
        raise Transient(
            Reason.POOLER_DETECTED,
            "two connections share one server process: a pooler in transaction mode is in between; give the server's own address",
        )
    if settings.writable and (in_recovery or read_only):
        why = "it is a replica" if in_recovery else "default_transaction_read_only is on"
        raise Transient(Reason.DATABASE_READ_ONLY, f"the database takes no writes: {why}")
    return Server(version, version_num, version_num // 10000, f"{system}/{oid}", database, user), bounded


def _shares_backends(
    connection: "psycopg.Connection[tuple[Any, ...]]", conninfo: ConnInfo, application_name: str, settings: Settings
) -> bool:
    """Something answers with a process id that is not the server's (some honest proxies do): do two open connections get one backend?

    A pooler in transaction mode hands the backend used last to who asks next; without one it can never be the same.
    """
    with _open(conninfo, application_name, settings) as other:
        pids = [c.execute("SELECT pg_catalog.pg_backend_pid()").fetchone() for c in (connection, other, connection, other)]
    return len(set(pids)) < 2 or pids[0] == pids[3]
