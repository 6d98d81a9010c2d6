"""The server under fire: it can be stopped as a crash would stop it, and comes back on the same port with the same data."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.engine.server import PostgresServer, running_server, unprivileged, wait_until


@dataclass
class CrashingServer:
    """`running` is the server as tests know it; its process is another one after each crash."""

    running: PostgresServer
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def crash(self) -> None:
        """Immediate stop (every backend ends where it is, nothing is written down), then a start that has to recover from the log."""
        pid_file = self.running.directory / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGQUIT)
        if self._process is not None:
            self._process.wait(60)
        wait_until(lambda: not pid_file.exists(), "the server has stopped", 60)
        running = self.running
        with running.log.open("ab") as log:
            self._process = subprocess.Popen(
                [running.binaries / "postgres", "-D", running.directory / "data", "-p", str(running.port), "-k", running.sockets],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **unprivileged(),  # type: ignore[call-overload]
            )
        wait_until(self._answers, "the server has recovered", 60)

    def stop(self) -> None:
        """Ends what `crash` started; the first process is its owner's."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def _answers(self) -> bool:
        ready = [str(self.running.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.running.port)]
        return subprocess.run(ready, check=False).returncode == 0


@contextlib.contextmanager
def crashing_server() -> Iterator[CrashingServer]:
    """A fresh one, gone afterwards. A statement's locks and roles are as in the engine tests."""
    with running_server(log_statements=False) as running:
        server = CrashingServer(running)
        try:
            yield server
        finally:
            server.stop()
