"""How long each step of a run took and how often it waited for a lock, from what it says of its progress."""

from collections.abc import Callable
from time import monotonic

from dbmigration.run.progress import Progress, Step


class RunClock:
    """Is told every Progress of one run. A step lasts from its first word to the next step's; one that comes again adds up."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._step: Step | None = None
        self._since = 0.0
        self._took: dict[Step, float] = {}
        self._blocked_since: float | None = None
        self._waited = 0.0
        self.lock_waits = 0

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if progress.step is not self._step:
            self._end_step(now)
            self._step, self._since = progress.step, now
        if progress.blocked_by is not None and self._blocked_since is None:
            self._blocked_since = now
            self.lock_waits += 1
        elif progress.blocked_by is None and self._blocked_since is not None:
            self._end_wait(now)

    def end(self) -> None:
        """The run is over."""
        now = self._clock()
        self._end_step(now)
        self._end_wait(now)

    @property
    def steps_ms(self) -> dict[str, int]:
        """Milliseconds by step, in the order in which they began."""
        return {step.value: round(seconds * 1000) for step, seconds in self._took.items()}

    @property
    def lock_wait_ms(self) -> int:
        return round(self._waited * 1000)

    def _end_step(self, now: float) -> None:
        if self._step is not None:
            self._took[self._step] = self._took.get(self._step, 0.0) + now - self._since
            self._step = None

    def _end_wait(self, now: float) -> None:
        if self._blocked_since is not None:
            self._waited += now - self._blocked_since
            self._blocked_since = None
