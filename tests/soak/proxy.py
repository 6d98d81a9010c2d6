"""A TCP proxy between the runner and the server that strikes at a chosen message.

Messages are counted, not seconds: the n-th message of a run is the same one on every machine.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

_COUNTED = frozenset(b"QSdc")
"""Query, Sync, CopyData, CopyDone (manual, 55.7): one for each thing that the runner asks, whichever protocol it uses."""

_READ_BYTES = 64 * 1024


class When(StrEnum):
    """At which point of a message's way the strike falls."""

    BEFORE = "before the message reaches the server"
    DURING = "while the server works on it"
    ANSWERED = "after the server's answer, which the runner never sees"


@dataclass(frozen=True)
class Trigger:
    """The strike falls at the `message`-th message (from 1); `delay_s` is waited after the message was passed on (DURING)."""

    message: int
    when: When
    delay_s: float = 0.0


class _Frontend:
    """Finds the messages in what a client sends, however the bytes are cut."""

    def __init__(self) -> None:
        self._typed = False  # after the start-up packet
        self._head = b""
        self._left = 0  # bytes of the present message that are still to come

    def feed(self, data: bytes) -> list[int]:
        """Offsets in `data` where counted messages begin (0 when one began in earlier data)."""
        found = []
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            wanted = 5 if self._typed else 8
            start = at - len(self._head)
            step = min(wanted - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) < wanted:
                break
            if self._typed:
                if self._head[0] in _COUNTED:
                    found.append(max(start, 0))
                self._left = struct.unpack("!I", self._head[1:])[0] - 4
            else:
                length, code = struct.unpack("!II", self._head)
                self._left = length - 8
                self._typed = code >> 16 == 3  # what asks for encryption comes before the start-up packet proper
            self._head = b""
        return found


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket
    frontend: _Frontend = field(default_factory=_Frontend)
    gone_until: float | None = None
    """The client is gone, and when the server is told."""


class Proxy:
    """Listens on `port`. Everything happens in one thread of its own; `arm` is called from another while no runner runs."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._pairs: set[_Pair] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._trigger: Trigger | None = None
        self._strike: Callable[[], None] = lambda: None
        self._struck = threading.Event()
        self._strike_at: float | None = None
        self._on_answer: _Pair | None = None
        self._striking = threading.Lock()
        self.failure: BaseException | None = None
        self.messages = 0
        self.last_at = 0.0
        """time.monotonic() of the last message that was counted."""

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join()
        for pair in list(self._pairs):
            self._close(pair)
        self._listening.close()

    def arm(self, trigger: Trigger | None, strike: Callable[[], None]) -> None:
        """Forget what was counted, and let `strike` be called, once, in the proxy's thread. None: only count."""
        self._trigger, self._strike = trigger, strike
        self._struck.clear()
        self._strike_at, self._on_answer = None, None
        self.messages = 0
        self.last_at = 0.0

    def disarm(self) -> None:
        """No strike from now on; one that is just falling is waited for."""
        with self._striking:
            self._trigger, self._strike_at, self._on_answer = None, None, None

    @property
    def struck(self) -> bool:
        return self._struck.is_set()

    def cut(self, *, held_s: float = 0.0) -> None:
        """Reset the runner's connections; only for a strike. `held_s`: the server hears of it later, as when a node is lost."""
        for pair in list(self._pairs):
            if held_s:
                self._forget(pair.client)
                pair.gone_until = time.monotonic() + held_s
            else:
                self._close(pair)

    def _serve(self) -> None:
        try:
            while not self._ended:
                wait = 0.05 if self._strike_at is None else max(self._strike_at - time.monotonic(), 0)
                for key, _ in self._selector.select(wait):
                    if key.data is None:
                        self._accept()
                    elif key.data in self._pairs:
                        self._pass_on(key.data, key.fileobj)
                if self._strike_at is not None and time.monotonic() >= self._strike_at:
                    self._strike_now()
                for pair in list(self._pairs):
                    if pair.gone_until is not None and time.monotonic() >= pair.gone_until:
                        self._close(pair)
        except BaseException as error:
            self.failure = error
            self._struck.set()
            raise

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = _Pair(client, server)
        self._pairs.add(pair)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, pair)

    def _pass_on(self, pair: _Pair, source: object) -> None:
        from_client = source is pair.client
        receiver, sender = (pair.client, pair.server) if from_client else (pair.server, pair.client)
        try:
            data = receiver.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._close(pair)
            return
        if from_client:
            data = self._count(pair, data)
        elif pair is self._on_answer:
            self._strike_now()
        if pair in self._pairs and data and not (sender is pair.client and pair.gone_until is not None):
            with contextlib.suppress(OSError):
                sender.sendall(data)

    def _count(self, pair: _Pair, data: bytes) -> bytes:
        """What is still to be passed on of `data`."""
        for offset in pair.frontend.feed(data):
            self.messages += 1
            self.last_at = time.monotonic()
            trigger = self._trigger
            if trigger is None or self.messages != trigger.message:
                continue
            if trigger.when is When.BEFORE:
                with contextlib.suppress(OSError):
                    pair.server.sendall(data[:offset])
                self._strike_now()
                return data[offset:]
            if trigger.when is When.ANSWERED:
                self._on_answer = pair
            else:
                self._strike_at = time.monotonic() + trigger.delay_s
        return data

    def _strike_now(self) -> None:
        with self._striking:
            armed = self._trigger is not None
            self._strike_at, self._on_answer, self._trigger = None, None, None
            if armed:
                self._strike()
                self._struck.set()

    def _forget(self, end: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(end)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an orderly end
        end.close()

    def _close(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for end in (pair.client, pair.server):
            self._forget(end)
