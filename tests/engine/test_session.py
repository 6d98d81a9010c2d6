"""Connecting: what is refused and as what, and what never shows."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Execution, Settings
from tests.engine.conftest import Database
from tests.engine.server import OWNER, PASSWORD, PostgresServer, free_port, install, quoted, running_server, unprivileged, wait_until


def refused(conninfo: ConnInfo, *, writable: bool = True) -> Transient:
    with pytest.raises(Transient) as caught:
        connect(conninfo, application_name="dbmigration/test", settings=Settings(writable=writable, connect_timeout_s=5))
    assert caught.value.after_sql is False
    return caught.value


def changed(database: Database, **parameters: str) -> ConnInfo:
    return ConnInfo({**database.conninfo().parameters, **parameters})


def test_the_server_is_described_and_known_by_the_same_identity_through_every_way(database: Database) -> None:
    with database.connect() as one, database.connect(user="postgres") as two:
        assert one.server.identity == two.server.identity
        assert one.server.identity == database.psql(
            "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_system()"
        )
        assert (one.server.database, one.server.user) == (database.name, OWNER)
        assert one.server.major == one.server.version_num // 10000 == int(one.server.version.split(".")[0])


def test_the_sessions_settings_are_what_reset_all_comes_back_to(database: Database) -> None:
    wanted = {
        "client_connection_check_interval": "1s",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "lock_timeout": "3s",
        "statement_timeout": "1min",
        "tcp_user_timeout": "60000",
        "tcp_keepalives_idle": "30",
        "client_encoding": "UTF8",
        "application_name": "dbmigration/run-7",
    }
    for name in ("idle_session_timeout", "lock_timeout"):
        database.psql(f"ALTER ROLE {OWNER} IN DATABASE {database.name} SET {name} = '1h'")
    with database.connect("dbmigration/run-7", execution=Execution(lock_timeout_ms=3000, statement_timeout_ms=60_000)) as session:
        session.query("SET lock_timeout = '9h'")
        session.query("SET idle_session_timeout = '9h'")
        session.query("RESET ALL")
        assert {name: session.query(f"SHOW {name}")[0][0] for name in wanted} == wanted


def test_a_persons_own_options_are_kept(database: Database) -> None:
    with connect(
        changed(database, options="-c work_mem=5MB -c statement_timeout=1h"), application_name="x" * 100, settings=Settings()
    ) as session:
        shown = [session.query(f"SHOW {name}")[0][0] for name in ("work_mem", "statement_timeout", "idle_session_timeout")]
        assert shown == ["5MB", "0", "0"]


def test_wrong_password_is_authentication_failed_and_heals(database: Database) -> None:
    error = refused(changed(database, password="wrong horse"))
    assert error.reason is Reason.AUTHENTICATION_FAILED
    assert "wrong horse" not in str(error)
    assert refused(changed(database, user="nobody_there")).reason is Reason.AUTHENTICATION_FAILED
    with database.connect() as session:
        assert session.query("SELECT 1") == [(1,)]


def test_database_down_or_missing_is_database_unavailable(database: Database) -> None:
    assert refused(changed(database, port=str(free_port()))).reason is Reason.DATABASE_UNAVAILABLE
    assert refused(changed(database, dbname="not_there")).reason is Reason.DATABASE_UNAVAILABLE
    assert refused(changed(database, host="no-such-host.invalid")).reason is Reason.DATABASE_UNAVAILABLE
    assert refused(changed(database, sslmode="verify-full")).reason is Reason.DATABASE_UNAVAILABLE


def test_no_right_to_connect_is_permission_denied(database: Database) -> None:
    database.psql(f"ALTER DATABASE {database.name} OWNER TO postgres; REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
    assert refused(database.conninfo()).reason is Reason.PERMISSION_DENIED


def test_a_database_that_takes_no_writes_is_refused_unless_only_reading(database: Database) -> None:
    database.psql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    assert refused(database.conninfo()).reason is Reason.DATABASE_READ_ONLY
    with database.connect(writable=False) as session:
        assert session.query("SELECT 1") == [(1,)]


def test_a_replica_is_read_only(server: PostgresServer, database: Database, tmp_path: Path) -> None:
    """A real standby, cloned from the test's server."""
    data = server.directory / f"standby-{database.name}"
    server.run("pg_basebackup", "-D", str(data), "-c", "fast", "-R", "-X", "stream", database="postgres", user="postgres")
    account = unprivileged()
    if account:
        for path in (data, *data.rglob("*")):
            os.chown(path, int(str(account["user"])), int(str(account["group"])))
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [server.binaries / "postgres", "-D", data, "-p", str(port), "-k", server.sockets],
            stdout=log,
            stderr=log,
            **account,  # type: ignore[call-overload]
        )
    try:
        ready = [str(server.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "the standby answers")
        assert refused(changed(database, port=str(port))).reason is Reason.DATABASE_READ_ONLY
        with connect(changed(database, port=str(port)), application_name="x", settings=Settings(writable=False)) as session:
            assert session.query("SELECT pg_is_in_recovery()") == [(True,)]
        hosts = changed(database, host="127.0.0.1,127.0.0.1", port=f"{port},{server.port}")
        with connect(hosts, application_name="x", settings=Settings()) as session:
            assert session.query("SELECT pg_is_in_recovery()") == [(False,)]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(data)


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer in front of the test's server."""

    port: int


@pytest.fixture
def pooler(server: PostgresServer, database: Database, tmp_path: Path) -> Iterator[Callable[[str, str], Pooler]]:
    """Start a PgBouncer with a pool mode and a list of start-up parameters that it ignores."""
    if shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        install("pgbouncer")
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None
    running: list[subprocess.Popen[bytes]] = []
    account = unprivileged()

    def start(mode: str, ignored: str) -> Pooler:
        port = free_port()
        folder = server.directory / f"pooler-{port}"
        folder.mkdir()
        (folder / "users.txt").write_text(f'"{OWNER}" "{PASSWORD.replace(chr(34), chr(34) * 2)}"\n')
        (folder / "pooler.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"unix_socket_dir =\nauth_type = plain\nauth_file = {folder}/users.txt\npool_mode = {mode}\n"
            f"ignore_startup_parameters = {ignored}\nlogfile = {folder}/log\n"
        )
        if account:
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
        running.append(
            subprocess.Popen([program, str(folder / "pooler.ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account)  # type: ignore[call-overload]
        )
        ready = [str(server.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "the pooler answers")
        return Pooler(port)

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("ignored", ["extra_float_digits", "extra_float_digits, options"], ids=["rejects-options", "drops-options"])
def test_pooler_in_between_is_refused(database: Database, pooler: Callable[[str, str], Pooler], mode: str, ignored: str) -> None:
    assert refused(changed(database, port=str(pooler(mode, ignored).port))).reason is Reason.POOLER_DETECTED


def test_a_pooler_that_passes_the_options_on_is_known_by_shared_backends(database: Database, pooler: Callable[[str, str], Pooler]) -> None:
    """As if every setting came through: the database itself has them as its defaults."""
    for setting in ("client_connection_check_interval = '1s'", "idle_session_timeout = 0"):
        database.psql(f"ALTER DATABASE {database.name} SET {setting}")
    ignored = "extra_float_digits, options"
    assert refused(changed(database, port=str(pooler("transaction", ignored).port))).reason is Reason.POOLER_DETECTED
    with connect(changed(database, port=str(pooler("session", ignored).port)), application_name="x", settings=Settings()) as session:
        assert session.query("SELECT 1") == [(1,)]


def test_password_with_special_characters_works_in_keys_and_in_a_uri_and_never_shows(database: Database, tmp_path: Path) -> None:
    password = database.conninfo().parameters["password"]
    assert set("@:/?#%&'\" \\") <= set(password)
    keys = {"host": "127.0.0.1", "port": str(database.server.port), "dbname": database.name, "username": OWNER, "password": password}
    uri = {"uri": database.dsn + "\n"}
    words = " ".join(f"{name}={libpq_quoted(value)}" for name, value in database.conninfo().parameters.items())
    ways = [
        ConnInfo.from_secret(secret(tmp_path / "keys", keys)),
        ConnInfo.from_secret(secret(tmp_path / "uri", uri)),
        ConnInfo.from_secret(secret(tmp_path / "both", keys | uri | {"jdbc-uri": "jdbc:postgresql://x/y"})),
        ConnInfo.from_dsn(database.dsn),
        ConnInfo.from_dsn(words),
        ConnInfo.from_environment({"DATABASE_URL": database.dsn, "PGHOST": "elsewhere"}),
        ConnInfo.from_environment(database.server.environment(database.name)),
    ]
    for conninfo in ways:
        with connect(conninfo, application_name="x", settings=Settings()) as session:
            assert session.server.database == database.name
        assert password not in f"{conninfo} {conninfo!r}"
        assert quote(password, safe="") not in f"{conninfo} {conninfo!r}"
        own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        row = subprocess.run(
            [database.server.binaries / "psql", "-XAtc", "SELECT current_database()"],
            env=own | conninfo.libpq_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert row.stdout.strip() == database.name


def secret(directory: Path, keys: dict[str, str]) -> Path:
    """As kubelet mounts one: links to a hidden folder of its own."""
    data = directory / "..2026_01_01"
    data.mkdir(parents=True)
    (directory / "..data").symlink_to(data.name)
    for name, value in keys.items():
        (data / name).write_bytes(value.encode())
        (directory / name).symlink_to(f"..data/{name}")
    return directory


def libpq_quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_a_server_that_is_too_old_is_refused_for_good(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbmigration.postgres.session.OLDEST_SERVER", 990_000)
    with pytest.raises(Permanent) as caught:
        database.connect()
    assert caught.value.reason is Reason.SPEC_INVALID


def test_the_roles_password_is_what_the_tests_think(database: Database) -> None:
    """Scram, not trust: else every test of a password would pass with any."""
    assert database.psql(f"SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = '{OWNER}'") == "t"
    assert quoted("a'b\\c") == "E'a''b\\\\c'"
    with pytest.raises(DbmigrationError):
        connect(changed(database, password=""), application_name="x", settings=Settings())


def test_servers_are_stopped_and_leave_nothing_behind() -> None:
    with running_server(log_statements=False) as other:
        assert other.psql("SELECT 1") == "1"
    assert not other.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(other.pid, 0)


def test_a_role_that_may_not_even_ask_who_the_server_is_is_told_so(database: Database) -> None:
    """pg_control_system() is for everybody unless somebody took it away: without it nobody can tell two databases apart."""
    database.psql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with pytest.raises(Transient) as caught:
        database.connect()
    assert (caught.value.reason, caught.value.place.sqlstate) == (Reason.PERMISSION_DENIED, "42501")
    assert database.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'platform_owner'") == "0"
