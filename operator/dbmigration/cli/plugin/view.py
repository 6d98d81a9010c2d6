"""What is seen of a run that is watched: bars and finished lines on a terminal, finished lines alone in a pipe."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TextIO

from dbmigration.cli.plugin.resource import CustomResource
from dbmigration.cli.plugin.text import plain, size, span

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar

    from dbmigration.decide.observed import Progress

_BAR: Final = 28
_TIME: Final = 10
"""Columns before a line."""
_FILES: Final = ("rehearse", "apply", "seed", "rollback")
_LEAST_PERCENT: Final = 3
_LEAST_S: Final = 3.0
"""Before that an estimate would only jump about."""


def view_for(stream: TextIO) -> "View":
    return Bars() if stream.isatty() else View(stream.write, stream.flush)


class Estimate:
    """When a file is done, from how its percentage grew. A new file, and a new phase that counts from 0 again, begin anew."""

    def __init__(self) -> None:
        self._file: str | None = None
        self._first = (0.0, 0)
        self._last = (0.0, 0)

    def seen(self, file: str | None, percent: int, at: float) -> None:
        if file != self._file or percent < self._last[1]:
            self._file, self._first = file, (at, percent)
        self._last = (at, percent)

    def left(self, at: float) -> float | None:
        """Seconds, None while nothing can be said."""
        (began, first), (seen, percent) = self._first, self._last
        grown = percent - first
        if grown < _LEAST_PERCENT or seen - began < _LEAST_S:
            return None
        return max((100 - percent) * (seen - began) / grown - (at - seen), 0.0)


class Told(NamedTuple):
    """The line of a resource that is worth to stay on the screen."""

    word: str
    reason: str
    attempt: int


class View:
    """Finished lines, each with its time. As a context manager it leaves the terminal clean."""

    def __init__(self, write: Callable[[str], object], flush: Callable[[], object] = lambda: None) -> None:
        self._write = write
        self._flush = flush
        self._told: Told | None = None
        self._blocked_by: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to clean."""

    def resource(self, resource: CustomResource) -> None:
        """It changed. Only another reason or attempt is worth a line: Ready and Stalled are told at the end."""
        ready = resource.ready
        if ready is None or not resource.current:
            return
        told = Told(resource.word, ready.reason, resource.status.run.attempt if resource.status.run else 0)
        if told != self._told and resource.reconciling:
            self.line(f"{ready.reason}: {ready.message}")
        self._told = told

    def progress(self, progress: "Progress") -> None:
        """The run said so."""
        if progress.blocked_by != self._blocked_by:
            self._blocked_by = progress.blocked_by
            if progress.blocked_by:
                self.line(progress.message or f"blocked by {progress.blocked_by}")
        if progress.finished or progress.step == "lock":
            self.line(progress.message or progress.step)

    def note(self, message: str) -> None:
        self.line(message)

    def tick(self) -> None:
        """Time passes."""

    def line(self, text: str) -> None:
        told = plain(text).replace("\n", f"\n{' ' * _TIME}")
        self._write(f"{datetime.now(UTC):%H:%M:%S}  {told}\n")
        self._flush()


class Bars(View):
    """On a terminal: a bar for all files, one for the file at work, who is in the way, and how long it may take."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False)
        super().__init__(self._print)
        self._live: Live | None = None
        self._at: Progress | None = None
        self._estimate = Estimate()
        self._since: dict[str, float] = {}

    def _print(self, line: str) -> None:
        """Wrapped under its own text, not under its time."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=0)
        grid.add_column(width=_TIME, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(line[:_TIME]), Text(line[_TIME:].rstrip("\n").replace(f"\n{' ' * _TIME}", "\n")))
        self._console.print(Padding(grid, 0, expand=False))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def resource(self, resource: CustomResource) -> None:
        super().resource(resource)
        if not resource.reconciling:
            self._at = None
            self.tick()

    def progress(self, progress: "Progress") -> None:
        super().progress(progress)
        self._at = progress
        moment = time.monotonic()
        self._since.setdefault(_key(progress), moment)
        if progress.percent is not None:
            self._estimate.seen(progress.file, progress.percent, moment)
        self.tick()

    def tick(self) -> None:
        if self._live is None:
            if self._at is None:
                return
            from rich.live import Live

            self._live = Live(console=self._console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(self.drawn())

    def drawn(self) -> "Group":
        """What is below the finished lines now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        at, moment = self._at, time.monotonic()
        if at is None:
            return Group()
        grid = Table.grid(padding=(0, 1))
        elapsed = span(moment - self._since.get(_key(at), moment))
        if at.step not in _FILES or not at.total:
            if not at.finished:
                far = f"{size(at.done)} {elapsed}" if at.step == "backup" and at.done else elapsed
                grid.add_row(Text(at.step), _bar(None), Text(far))
        else:
            if at.total:
                grid.add_row(Text(at.step), _bar(100 * (at.done or 0) / at.total), Text(f"{at.done or 0}/{at.total} files"))
            if at.file and not at.finished:
                left = self._estimate.left(moment) if at.percent is not None else None
                words = (f"{at.percent}%" if at.percent is not None else "", elapsed, f"about {span(left)} left" if left else "")
                grid.add_row(Text(plain(at.file)), _bar(at.percent or None), Text(" ".join(filter(None, words))))
        lines: list[Table | Text] = [grid]
        if at.blocked_by:
            lines.append(Text(f"  blocked by {plain(at.blocked_by)}", style="yellow"))
        if at.message and not at.finished:
            lines.append(Text(f"  {plain(at.message)}", style="dim"))
        return Group(*lines)


def _bar(percent: float | None) -> "ProgressBar":
    """None: it moves, and nobody knows how far it is."""
    from rich.progress_bar import ProgressBar

    if percent is None:
        return ProgressBar(total=None, width=_BAR, pulse=True, animation_time=time.monotonic())
    return ProgressBar(total=100, completed=percent, width=_BAR)


def _key(progress: "Progress") -> str:
    return f"{progress.step}/{progress.file}"
