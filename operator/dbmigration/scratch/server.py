"""A PostgreSQL server for one command: made in a temporary folder, reached through a socket in it, gone afterwards."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.scratch.account import Account, account
from dbmigration.scratch.binaries import Binaries

_INITDB_WITHIN_S: Final = 120
_START_WITHIN_S: Final = 60
_STOP_WITHIN_S: Final = 10
_LINES_SHOWN: Final = 3
_PR_SET_PDEATHSIG: Final = 1
_LOG: Final = "server.log"

# Nobody reaches it but through a socket in a folder that only its account and root may enter. It may forget everything in a crash.
_CONFIGURATION: Final = """
listen_addresses = ''
unix_socket_directories = '{directory}'
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
shared_buffers = 32MB
max_connections = 20
logging_collector = off
log_destination = stderr
"""


@dataclass(frozen=True, slots=True)
class PrivateServer:
    """A running server and its superuser's connection to database postgres. All of it is in `directory`, what it says in `log`."""

    conninfo: ConnInfo
    binaries: Binaries
    pid: int
    directory: Path

    @property
    def log(self) -> Path:
        return self.directory / _LOG


@contextlib.contextmanager
def private_server(binaries: Binaries, *, superuser: str = "postgres", settings: str = "") -> Iterator[PrivateServer]:
    """Make, start, and whatever happens stop and remove a server. About a second. `settings`: more lines for its postgresql.conf.

    When this very process is killed, the server goes with it (on Linux), and only the folder stays. Raises Transient DATABASE_UNAVAILABLE
    with the server's own words.
    """
    who = account()
    directory = Path(tempfile.mkdtemp(prefix="dbmigration-scratch-"))
    try:
        who.give(directory)
        data = directory / "data"
        if not binaries.within_reach:
            binaries = _copy(binaries, directory / "programs")
        _initdb(binaries, data, superuser, who)
        with (data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(directory=directory) + settings)
        with (directory / _LOG).open("wb") as log:
            process = subprocess.Popen(
                [binaries.postgres, "-D", data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for us: we stop it when its databases are dropped
                preexec_fn=_die_with_parent(),
                **who.for_subprocess(),
            )
        try:
            _wait_until_ready(process, data, directory / _LOG)
            parameters = {"host": str(directory), "port": "5432", "dbname": "postgres", "user": superuser}
            yield PrivateServer(ConnInfo(parameters), binaries, process.pid, directory)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _copy(binaries: Binaries, to: Path) -> Binaries:
    """With the libraries and shared files beside them, which the programs find from where they are themselves."""
    shutil.copytree(binaries.directory.parent, to, symlinks=True)
    return replace(binaries, directory=to / binaries.directory.name, within_reach=True)


def _initdb(binaries: Binaries, data: Path, superuser: str, who: Account) -> None:
    """UTF-8 with a locale that knows letters beyond ASCII where the system has it."""
    words: list[str | Path] = [binaries.initdb, "-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-sync"]
    complaint = ""
    for locale in ("--locale=C.UTF-8", "--no-locale"):
        try:
            done = subprocess.run(
                [*words, locale], capture_output=True, text=True, check=False, timeout=_INITDB_WITHIN_S, cwd="/", env=_environment(),
                **who.for_subprocess(),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise _unavailable(f"initdb could not be run: {error}") from None
        if done.returncode == 0:
            return
        complaint = done.stderr
        shutil.rmtree(data, ignore_errors=True)
    raise _unavailable(f"initdb of PostgreSQL {binaries.version} failed: {_last_lines(complaint)}")


def _environment() -> dict[str, str]:
    """Without PG* variables: PGDATA or PGPORT of the caller would be the server's. Nor has it any use for another server's password."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG") and name != "DATABASE_URL"}


def _die_with_parent() -> "Callable[[], object] | None":
    """prctl(2): the kernel tells the server to quit when we are gone without having stopped it."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """The last line of postmaster.pid says so (manual, 73.1), without a connection that would fill the log."""
    deadline = time.monotonic() + _START_WITHIN_S
    pid_file = data / "postmaster.pid"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _unavailable(f"the private server ended at once: {_last_lines(log.read_text(errors='replace'))}")
        with contextlib.suppress(OSError):
            if pid_file.read_text().splitlines()[7:8] == ["ready   "]:
                return
        time.sleep(0.01)
    raise _unavailable(f"the private server was not ready within {_START_WITHIN_S} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """What is in it is thrown away, so it need not say goodbye to it."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-_LINES_SHOWN:]) or "it said nothing"


def _unavailable(message: str) -> Transient:
    return Transient(Reason.DATABASE_UNAVAILABLE, message)
