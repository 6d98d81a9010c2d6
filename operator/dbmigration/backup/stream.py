"""pg_dump's output on its way: to the disk, into a hash and through pg_restore at once, in one thread and flat memory."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient

CHUNK_BYTES = 1 << 20
PROGRESS_EVERY_S = 0.5
STDERR_LIMIT_BYTES = 8192
"""What is kept of a child's stderr: its first words name the cause."""

MESSAGE_LIMIT = 500
_STOP_POLL_MS = 100
_ABOUT_OUR_FILE = 'password retrieved from file "***"'
_TERMINATE_GRACE_S = 2.0


class StopRequest(Protocol):
    """threading.Event has this. Looked at every 100 ms while a child works."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Command:
    """A child process: `name` for messages, `argv` (never a Secret in it), its whole environment, and `descriptors` that it inherits."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()


class Child:
    """A running child whose stderr is drained, so that it can never block on it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self._stderr = bytearray()
        self._drain = threading.Thread(target=self._read_stderr, name=f"{name}-stderr", daemon=True)
        self._drain.start()

    @property
    def output(self) -> IO[bytes]:
        """Its stdout, which must have been asked for as a pipe."""
        return _of(self.process.stdout)

    @property
    def lines(self) -> Iterator[bytes]:
        """Its stdout, line by line, each with its end. The iterator can be handed on: what it gave is gone."""
        return iter(self.output)

    def failure(self, hide: Sequence[str]) -> str | None:
        """Why it failed, in its own first words with every string of `hide` replaced; None: exit status 0. Call when it has ended."""
        status = self.process.returncode
        if status == 0:
            return None
        self._drain.join(_TERMINATE_GRACE_S)
        ended = f"was killed by signal {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        said = first_words(bytes(self._stderr), hide)
        return f"{self.name} {ended}: {said}" if said else f"{self.name} {ended}"

    def wait(self, stop: StopRequest, tick: Callable[[], None] = lambda: None) -> None:
        """Until it has ended. `tick` is called every 100 ms. Raises Transient(INTERRUPTED)."""
        while True:
            raise_if_stopped(stop)
            tick()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_POLL_MS / 1000)
                return

    def end(self) -> None:
        """Terminate, then kill, then reap. Nothing happens to one that has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_TERMINATE_GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._drain.join(_TERMINATE_GRACE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read_stderr(self) -> None:
        pipe = _of(self.process.stderr)
        while data := pipe.read1(4096):  # type: ignore[attr-defined]
            self._stderr += data[: STDERR_LIMIT_BYTES - len(self._stderr)]


@contextlib.contextmanager
def running(command: Command, *, stdin: int | IO[bytes] = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL) -> Iterator[Child]:
    """The child, ended and reaped when the block ends, whatever ended it. Raises Transient(BACKUP_FAILED) when it cannot be started."""
    try:
        process = subprocess.Popen(
            command.argv,
            env=command.environment,
            bufsize=CHUNK_BYTES,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            pass_fds=command.descriptors,
            umask=0o077,  # pg_dump makes the files of a directory itself
            # Its own group: Ctrl-C on a terminal reaches us alone, and we end the children in order.
            process_group=0,
        )
    except OSError as exc:
        raise Transient(Reason.BACKUP_FAILED, f"{command.name} cannot be started: {exc.strerror or type(exc).__name__}") from exc
    child = Child(command.name, process)
    try:
        yield child
    finally:
        child.end()


def stream_dump(
    dump: Command,
    restore: Command,
    *,
    sink: Callable[[memoryview], None],
    on_progress: Callable[[int], None],
    stop: StopRequest,
    hide: Sequence[str],
) -> int:
    """Run `dump`, give each piece of its output to `sink` and to `restore`, and return the number of bytes.

    Raises Transient(BACKUP_FAILED) unless both end with status 0 and there was output, Transient(INTERRUPTED) on a stop request, and
    whatever `sink` raises. `on_progress` gets the bytes so far, at most every 0.5 s.
    """
    with running(restore, stdin=subprocess.PIPE) as reader, running(dump, stdout=subprocess.PIPE) as writer:
        source, copy = _of(writer.process.stdout).fileno(), _of(reader.process.stdin).fileno()
        _widen(source, copy)
        os.set_blocking(copy, False)
        total = 0
        with contextlib.suppress(BrokenPipeError):  # pg_restore gave up on what it read: its exit status and words say why.
            total = _pump(source, copy, sink=sink, on_progress=on_progress, stop=stop)
            _of(reader.process.stdin).close()
            writer.wait(stop)
            if why := writer.failure(hide):
                raise Transient(Reason.BACKUP_FAILED, why)
        reader.wait(stop)
        if why := reader.failure(hide):
            raise Transient(Reason.BACKUP_FAILED, f"The dump cannot be read back: {why}")
        if total == 0 or writer.process.poll() != 0:
            raise Transient(Reason.BACKUP_FAILED, "pg_dump wrote nothing that pg_restore wanted to read to its end")
        return total


def raise_if_stopped(stop: StopRequest) -> None:
    if stop.is_set():
        raise Transient(Reason.INTERRUPTED, "Stopped before it was done: nothing of it is left, and nothing was applied.")


def first_words(stderr: bytes, hide: Sequence[str]) -> str:
    """The first lines on one line, at most 500 characters, every string of `hide` replaced by ***.

    Where the password stood is not for who reads them, when that is hidden: it is a file of ours.
    """
    text = stderr.decode("utf-8", "replace")
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = text.replace(secret, "***")
    words = " | ".join(line.strip() for line in text.splitlines() if line.strip() and _ABOUT_OUR_FILE not in line)
    return words if len(words) <= MESSAGE_LIMIT else words[: MESSAGE_LIMIT - 1] + "…"


def _pump(source: int, copy: int, *, sink: Callable[[memoryview], None], on_progress: Callable[[int], None], stop: StopRequest) -> int:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    readable, writable = select.poll(), select.poll()
    readable.register(source, select.POLLIN)
    writable.register(copy, select.POLLOUT)
    total, told_at = 0, time.monotonic()
    while True:
        _await(readable, stop)
        count = os.readv(source, [buffer])
        if count == 0:
            return total
        piece = buffer[:count]
        sink(piece)
        while piece:
            _await(writable, stop)
            piece = piece[os.write(copy, piece) :]
        total += count
        if (now := time.monotonic()) - told_at >= PROGRESS_EVERY_S:
            told_at = now
            on_progress(total)


def _await(ready: select.poll, stop: StopRequest) -> None:
    raise_if_stopped(stop)
    while not ready.poll(_STOP_POLL_MS):
        raise_if_stopped(stop)


def _widen(*pipes: int) -> None:
    """Pipes of 1 MiB: 16 times fewer switches between the processes. A system that refuses keeps its 64 KiB."""
    for pipe in pipes:
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the child was started without this pipe")
    return pipe
