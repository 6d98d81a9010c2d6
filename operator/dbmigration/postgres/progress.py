"""How far a file is, told often enough to see it move and seldom enough to cost nothing."""

import time
from collections.abc import Callable
from typing import NamedTuple

_EVERY_S = 0.5


class FileProgress(NamedTuple):
    """Where a file stands. `statements` None: not counted. `message`: a warning of the server's or why we wait, without values.

    `blocked_by`: sessions that hold what we wait for. `notice`: `message` is worth a line of its own in a log. `percent`: how far the
    server is with the statement, where it counts that.
    """

    file: str
    statement: int
    statements: int | None
    line: int
    bytes_done: int
    bytes_total: int
    message: str | None = None
    blocked_by: str | None = None
    notice: bool = False
    percent: int | None = None


OnProgress = Callable[[FileProgress], None]


class Ticker:
    """Tells `on_progress` at the start of a file, then at most every 0.5 s, and of every message."""

    def __init__(self, on_progress: OnProgress, file: str, statements: int | None, bytes_total: int) -> None:
        self._on_progress = on_progress
        self._file = file
        self._statements = statements
        self._bytes_total = bytes_total
        self._next_at = 0.0
        self._last = (0, 1, 0)

    def at(self, statement: int, line: int, bytes_done: int) -> None:
        self._last = (statement, line, min(bytes_done, self._bytes_total))
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + _EVERY_S
            self._tell(None)

    def say(self, message: str, *, blocked_by: str | None = None, notice: bool = True, percent: int | None = None) -> None:
        self._tell(message, blocked_by=blocked_by, notice=notice, percent=percent)

    def _tell(self, message: str | None, *, blocked_by: str | None = None, notice: bool = False, percent: int | None = None) -> None:
        statement, line, done = self._last
        total = self._bytes_total
        self._on_progress(FileProgress(self._file, statement, self._statements, line, done, total, message, blocked_by, notice, percent))
