"""Our own work queue: kopf retries no `on.event` handler, and one resource must never be worked on twice at once.

A key is in it at most once; while it is worked on, new events wait for that to end. Failures back off by key.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF = timedelta(seconds=1)
MOST_BACKOFF = timedelta(minutes=1)


class Again(Exception):
    """Raised by the work to be called again `after` that time, or after this key's backoff."""

    def __init__(self, after: timedelta | None = None) -> None:
        super().__init__(after)
        self.after = after


class WorkQueue(Generic[Key]):
    """Calls `work(key)` for every added key, with at most `workers` at a time. `work` returns when to call it again, or None."""

    def __init__(self, work: Callable[[Key], Awaitable[timedelta | None]], *, workers: int) -> None:
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        """Work on `key` as soon as may be. Call it on the event loop's thread."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Keys that are worked on."""
        return len(self._busy)

    async def run(self) -> None:
        """Work until cancelled. An exception other than Again ends it: it is a bug, and the process is better restarted."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._worker())
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._busy.add(key)
            self._cancel_timer(key)
            try:
                again = await self._work(key)
                self._failures.pop(key, None)
            except Again as asked:
                again = asked.after if asked.after is not None else self._backoff(key)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif again is not None:
                self._add_after(key, again)

    def _backoff(self, key: Key) -> timedelta:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(FIRST_BACKOFF * (1 << min(failures, 10)), MOST_BACKOFF)

    def _add_after(self, key: Key, delay: timedelta) -> None:
        if delay <= timedelta(0):
            self.add(key)
        else:
            self._timers[key] = asyncio.get_running_loop().call_later(delay.total_seconds(), self._fire, key)

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        with contextlib.suppress(KeyError):
            self._timers.pop(key).cancel()
