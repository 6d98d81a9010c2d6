"""When each step and each file of a run began and ended, and what it waited for, from what it says of its progress: spans as data."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dbmigration.run.progress import Progress, Step

Value = str | int | float | bool

MOST_FILES: Final = 1000
"""Files that get a span of their own; the others are counted."""
MOST_EVENTS: Final = 50
"""Events of one span."""
MESSAGE_LIMIT: Final = 300
"""Characters of an event's text."""

_WITH_FILES: Final = (Step.REHEARSE, Step.APPLY, Step.SEED, Step.ROLLBACK, Step.VERIFY)


class Event(NamedTuple):
    """Something at one moment. Times are nanoseconds since 1970."""

    at: int
    name: str
    attributes: dict[str, Value]


@dataclass(slots=True)
class Span:
    """From `start` to `end`. `file`: whose work it is. `finished`: the run said so; else it was cut off by what came next."""

    name: str
    start: int
    end: int = 0
    step: Step | None = None
    file: str | None = None
    finished: bool = False
    events: list[Event] = field(default_factory=list)
    children: list["Span"] = field(default_factory=list)


class Timeline:
    """Is told every Progress of one run. A step lasts from its first word to the next step's, or until the last of its files is done.

    Costs a run nothing but a few objects a file: nothing is imported, sent or written here. `spans` are the steps in the order in which
    they began, each with its files. `left_out`: files beyond MOST_FILES.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self.spans: list[Span] = []
        self.left_out = 0
        self._files = 0
        self._step: Span | None = None
        self._file: Span | None = None
        self._files_done_at: int | None = None
        self._blocked_since: int | None = None

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        step = self._begin_step(progress.step, now)
        if progress.file is not None and progress.step in _WITH_FILES:
            self._begin_file(step, progress.file, now)
        self._note(self._file or step, progress, now)
        if progress.finished:
            self._finish(step, progress, now)

    def end(self) -> None:
        """The run is over. What it did after its last file (recording the schema, giving the lock back) is a span `finish`."""
        now = self._clock()
        self._end_step(now)
        if self._files_done_at is not None:
            self.spans.append(Span("finish", self._files_done_at, now, finished=True))
            self._files_done_at = None

    def _begin_step(self, step: Step, now: int) -> Span:
        if self._step is not None and self._step.step is step:
            return self._step
        self._end_step(now)
        self._files_done_at = None
        self._step = Span(step.value, now, step=step)
        self.spans.append(self._step)
        return self._step

    def _begin_file(self, step: Span, name: str, now: int) -> None:
        if self._file is not None and self._file.file == name:
            return
        self._end_file(now)
        self._file = Span(f"{step.name} {name}", now, step=step.step, file=name)
        self._files += 1
        if self._files <= MOST_FILES:
            step.children.append(self._file)
        else:
            self.left_out += 1

    def _note(self, span: Span, progress: Progress, now: int) -> None:
        """When it begins to wait for a lock and for whom, when it goes on, and what else a log is told."""
        if progress.blocked_by is not None and self._blocked_since is None:
            self._blocked_since = now
            _add(span, now, "lock wait", {"dbmigration.blocked_by": progress.blocked_by[:MESSAGE_LIMIT]})
        elif progress.blocked_by is None and self._blocked_since is not None:
            waited = (now - self._blocked_since) // 1_000_000
            self._blocked_since = None
            _add(span, now, "lock wait over", {"dbmigration.lock_wait_ms": waited})
        if progress.notice and progress.message and progress.blocked_by is None:
            _add(span, now, "notice", {"message": progress.message[:MESSAGE_LIMIT]})

    def _finish(self, step: Span, progress: Progress, now: int) -> None:
        if self._file is not None and progress.file == self._file.file:
            self._file.finished = True
            self._end_file(now)
            if progress.done is not None and progress.done == progress.total:
                step.finished = True
                self._end_step(now)
                self._files_done_at = now
        elif progress.file is None:
            step.finished = True

    def _end_file(self, now: int) -> None:
        if self._file is not None:
            self._file.end = now
            self._file = None
        self._blocked_since = None

    def _end_step(self, now: int) -> None:
        self._end_file(now)
        if self._step is not None:
            self._step.end = now
            self._step = None


def _add(span: Span, at: int, name: str, attributes: dict[str, Value]) -> None:
    if len(span.events) < MOST_EVENTS:
        span.events.append(Event(at, name, attributes))
