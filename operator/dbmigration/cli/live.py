"""A run while it goes: a bar and finished lines on a terminal, finished lines alone in a pipe, nothing beside a JSON report."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from dbmigration.api.visible import visible
from dbmigration.cli.streams import bare, reader_may_leave
from dbmigration.run.progress import Progress, Step

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_WITH_BAR = (Step.BACKUP, Step.REHEARSE, Step.APPLY, Step.ROLLBACK, Step.VERIFY)


class Display(Protocol):
    """Gets every Progress of a run. As a context manager it leaves the terminal clean."""

    def __call__(self, progress: Progress) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def display(*, silent: bool) -> Display:
    """The one that suits where stdout goes."""
    if silent:
        return Silent()
    return Bars() if sys.stdout.isatty() and sys.stderr.isatty() else Lines()


class Silent:
    def __call__(self, progress: Progress) -> None:
        """The result says all of it at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to clean."""


class Lines(Silent):
    """One line for each finished step or file, flushed at once: a log that is followed shows where the run is.

    A rehearsal connects several times; to which database is said when it is another one.
    """

    def __init__(self) -> None:
        self._connected = ""

    def __call__(self, progress: Progress) -> None:
        if _is_worth_a_line(progress) and self._connected != progress.message:
            if progress.step is Step.CONNECT:
                self._connected = progress.message
            with reader_may_leave():
                sys.stdout.write(progress.message + "\n")
                sys.stdout.flush()


class Bars(Lines):
    """rich is imported when the first bar is drawn: a run with nothing to do never needs it."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None
        self._step: Step | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.step not in _WITH_BAR:
            super().__call__(progress)
            return
        bars = self._bars or self._start()
        if progress.step is not self._step or self._task is None:
            if self._task is not None:
                bars.remove_task(self._task)
            self._step, self._task = progress.step, bars.add_task("", total=None)
        files = progress.step in (Step.REHEARSE, Step.APPLY, Step.ROLLBACK)
        message = visible(progress.message)
        bars.update(self._task, description=message, total=progress.total if files else None, completed=progress.done or 0)
        if _is_worth_a_line(progress):
            bars.console.print(message, markup=False, highlight=False)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _start(self) -> "RichProgress":
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
        self._bars = RichProgress(*columns, transient=True, console=Console(file=bare(sys.stdout)))
        self._bars.start()
        return self._bars


def _is_worth_a_line(progress: Progress) -> bool:
    """What is done, and that we wait for somebody. "Nothing is pending" is the command's own last line."""
    if progress.step is Step.LOCK or progress.notice:
        return True
    return progress.finished and not (progress.step is Step.PLAN and progress.total is None)
