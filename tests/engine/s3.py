"""A real S3 server (versitygw) and what can go wrong between it and us."""

import resource
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dbmigration.backup.s3 import Bucket
from tests.cluster.local.programs import VERSITYGW, built
from tests.engine.server import wait_until

BUCKET = "backups"
ACCESS_KEY = "AKIATESTONLY"
SECRET_KEY = secrets.token_hex(20)


@dataclass(frozen=True)
class S3Server:
    """`root`: where the objects are, as files."""

    port: int
    root: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bucket(self) -> Bucket:
        keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        return Bucket(BUCKET, "db", endpoint=self.endpoint, region="us-east-1", secrets=keys)

    def through(self, port: int) -> Bucket:
        return replace(self.bucket, endpoint=f"http://127.0.0.1:{port}")

    def objects(self) -> list[str]:
        folder = self.root / BUCKET
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".sgwtmp" not in path.parts)

    def parts(self) -> list[Path]:
        """What is left of uploads that are not done."""
        return [path for path in (self.root / BUCKET / ".sgwtmp").rglob("*") if path.is_file()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_s3(folder: Path, *, file_limit: int | None = None) -> Iterator[S3Server]:
    """`file_limit`: no file of the store can be longer, as on a full disk."""
    server = S3Server(free_port(), folder / "s3")
    (server.root / BUCKET).mkdir(parents=True)
    command = [str(built(VERSITYGW)), "--port", f"127.0.0.1:{server.port}", "posix", str(server.root)]

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with (folder / "s3.log").open("w") as log, subprocess.Popen(command, env=keys, stdout=log, stderr=log, preexec_fn=limit) as process:
        try:
            wait_until(lambda: answers(server.port), "the S3 server answers")
            yield server
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Proxy:
    """Hands on what goes both ways until `spoil(direction, bytes)` changes it: "up" or "down"; None from it ends that connection."""

    def __init__(self, target: int, spoil: Callable[[str, bytes], bytes | None]) -> None:
        self.port = free_port()
        self._target = target
        self._spoil = spoil
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        with socket.create_server(("127.0.0.1", self.port)) as listener:
            accepting = threading.Thread(target=self._accept, args=(listener,))
            accepting.start()
            try:
                yield self
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                accepting.join()
                for each in self._sockets:
                    _end(each)
                for thread in self._threads:
                    thread.join()
                for each in self._sockets:
                    each.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink, direction in ((near, far, "up"), (far, near, "down")):
                    thread = threading.Thread(target=self._copy, args=(source, sink, direction))
                    self._threads.append(thread)
                    thread.start()

    def _copy(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                changed = self._spoil(direction, data)
                if changed is None:
                    break
                sink.sendall(changed)
        _end(source)
        _end(sink)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
