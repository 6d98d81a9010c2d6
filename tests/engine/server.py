"""A PostgreSQL server of our own for tests and benchmarks: made in a temporary folder, on a free port, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OWNER = "platform_owner"
SUPERUSER = "postgres"
PASSWORD = "p@ss:/?#%&'\" \\word"
"""Of both roles: every test connects with a password that breaks what is not quoted."""

_START_WITHIN_S = 60
_STOP_WITHIN_S = 30


class NoServer(Exception):
    """There are no server binaries, and what to do about it."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `log` holds every statement that it was sent, with the name of the application that sent it."""

    binaries: Path
    directory: Path
    port: int
    pid: int

    @property
    def log(self) -> Path:
        return self.directory / "log" / "server.log"

    @property
    def sockets(self) -> Path:
        return self.directory / "sockets"

    def environment(self, database: str, user: str = OWNER) -> dict[str, str]:
        """PG* variables for a client program, beside what the process has (without its own PG* variables).

        A Python program may keep its compiled modules, as it does wherever it is installed: else each start compiles them anew.
        """
        left_out = ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
        own = {name: value for name, value in os.environ.items() if not name.startswith("PG") and name not in left_out}
        return own | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": database,
        }

    def run(self, program: str, *arguments: str, database: str, user: str = OWNER, stdin: str | None = None) -> str:
        """Run psql, pg_dump … against the server; what it wrote. Raises AssertionError with what it complained of."""
        done = subprocess.run(
            [self.binaries / program, *arguments],
            env=self.environment(database, user),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def psql(self, statement: str, *, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Rows of a statement, unaligned, without the last line end."""
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, database=database, user=user).rstrip("\n")


def find_binaries() -> Path | None:
    """The newest server's programs on this machine: pg_config's, else Debian's place for them."""
    found = []
    if config := shutil.which("pg_config"):
        found.append(Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()))
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    return next((p for p in found if (p / "initdb").exists() and (p / "postgres").exists()), None)


def require_binaries() -> Path:
    """The same; where there are none, root installs them. Raises NoServer with the remedy."""
    if found := find_binaries():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install("postgresql")
        if found := find_binaries():
            return found
    raise NoServer("engine tests need a PostgreSQL server (14 or newer): apt-get install postgresql, or put its pg_config on PATH")


def install(package: str) -> None:
    """Install a Debian package, as root."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]):
        subprocess.run(command, env=quiet, check=True, stdout=subprocess.DEVNULL, timeout=600)


def unprivileged() -> dict[str, str | int | list[str]]:
    """For subprocess: as who the server runs. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CONFIGURATION = """
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
fsync = {fsync}
max_connections = 60
logging_collector = off
log_min_messages = warning
log_statement = {log_statement}
log_line_prefix = '%p [%a] '
timezone = 'UTC'
autovacuum = off
max_prepared_transactions = 5
"""


@contextlib.contextmanager
def running_server(
    *, fsync: bool = False, log_statements: bool = True, settings: Mapping[str, str] | None = None, binaries: Path | None = None
) -> Iterator[PostgresServer]:
    """A fresh server with a superuser and a plain role that owns the databases. Stopped, by its process id, and removed afterwards.

    Without `fsync` it forgets what it did when the machine crashes, which a test's server may; a benchmark's may not. `binaries`: the
    folder of its programs, None for this machine's own.
    """
    binaries = binaries or require_binaries()
    account = unprivileged()
    directory = Path(tempfile.mkdtemp(prefix="dbmigration-pg-"))
    if account:
        os.chown(directory, int(str(account["user"])), int(str(account["group"])))
    try:
        password_file = directory / "password"
        password_file.write_text(PASSWORD + "\n")
        password_file.chmod(0o644)
        data = directory / "data"
        _checked(
            [binaries / "initdb", "-D", data, "-U", SUPERUSER, f"--pwfile={password_file}", "-A", "scram-sha-256", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            account,
        )  # fmt: skip
        password_file.unlink()
        configuration = _CONFIGURATION.format(fsync="on" if fsync else "off", log_statement="all" if log_statements else "none")
        configuration += "".join(f"{name} = '{value}'\n" for name, value in (settings or {}).items())
        (data / "conf.d").mkdir()
        with (data / "postgresql.conf").open("a") as file:
            file.write(configuration)
        for folder in ("log", "sockets"):
            (directory / folder).mkdir()
            if account:
                os.chown(directory / folder, int(str(account["user"])), int(str(account["group"])))
        port = free_port()
        with (directory / "log" / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-p", str(port), "-k", directory / "sockets"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,  # type: ignore[call-overload]
            )
        server = PostgresServer(binaries, directory, port, process.pid)
        try:
            _wait_until_ready(server, process)
            server.psql(f"CREATE ROLE {OWNER} LOGIN CREATEDB PASSWORD {quoted(PASSWORD)}")
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def quoted(text: str) -> str:
    """An SQL literal."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 30) -> None:
    """Wait for a condition that another process brings about. Raises AssertionError at the deadline."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"the server ended at once: {server.log.read_text()}"
        return (
            subprocess.run([server.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(server.port)], check=False).returncode == 0
        )

    wait_until(answers, "the server answers", _START_WITHIN_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # fast shutdown: disconnects who is still there
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(_STOP_WITHIN_S)


def _checked(command: list[object], account: dict[str, str | int | list[str]]) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/", **account)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
