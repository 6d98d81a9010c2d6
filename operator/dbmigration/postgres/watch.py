"""What a file waits for and which locks it holds, told while it runs and measured at its end. A quick file is not looked at."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from dbmigration.postgres.progress import Ticker
from dbmigration.postgres.session import Session

if TYPE_CHECKING:
    from dbmigration.postgres.activity import Hold, Seen, Waiting
    from dbmigration.postgres.monitor import Monitor, Sight

LOOKS_AFTER_S = 1.0
"""Nothing is opened, asked or computed for a file that is quicker: its own duration is how long it can have held a lock."""

_EVERY_S = 0.5
_REPEATS_WAIT_S = 10.0
_REPEATS_WORK_S = 30.0
_KEPT = 5


class Held(NamedTuple):
    """A lock that kept writers (ACCESS EXCLUSIVE: readers, too) away from a table that was there before, for at most `ms` milliseconds."""

    mode: str
    table: str
    ms: int

    def __str__(self) -> str:
        return f"{self.mode} on {self.table} for up to {self.ms / 1000:.1f} s"


@contextmanager
def watching(session: Session, ticker: Ticker) -> "Iterator[Watch]":
    """Let `wire` call the watch of one file while it waits for the server."""
    watch = Watch(session, ticker)
    session.watch = watch
    try:
        yield watch
    finally:
        session.watch = None
        watch.close()


class Watch:
    """Of one file. All its methods belong to the thread that runs the file; what the monitor found is taken over by `look` and `end`."""

    def __init__(self, session: Session, ticker: Ticker) -> None:
        self._session = session
        self._ticker = ticker
        self._monitor: Monitor | None = None
        self._look_at = time.monotonic() + LOOKS_AFTER_S
        self._began = 0.0
        self._looked = 0.0
        self._since: dict[Hold, float] = {}
        self._longest: dict[tuple[str, str], float] = {}
        self._waiting: Waiting | None = None
        self._blocked: Waiting | None = None
        self._waits_since = 0.0
        self._tell_wait_at = 0.0
        self._tell_behind_at = 0.0
        self._tell_work_at = 0.0

    def begin(self) -> None:
        """A try begins."""
        self._began = self._looked = time.monotonic()
        self._waiting = self._blocked = None

    def end(self) -> None:
        """It is over, and its locks are free. `blocked_by` still tells what was in its way."""
        self._take(tell=False)
        now = time.monotonic()
        for hold in list(self._since):
            self._let_go(hold, now)

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def due_in(self) -> float | None:
        """Seconds until `look` has something to do; None: never."""
        if self._session.unwatched:
            return None
        return max(self._look_at - time.monotonic(), 0.0)

    def look(self) -> None:
        """Start the monitor, or tell what it found meanwhile."""
        if self._session.unwatched or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _EVERY_S
        if self._monitor is None:
            from dbmigration.postgres.monitor import Monitor  # few files need it

            self._monitor = Monitor(self._session)
            self._monitor.start()
        self._take(tell=True)

    def blocked_by(self) -> str | None:
        """Who was in the way of the try when it was last seen waiting, and what it waited for."""
        found = self._blocked
        return f"{'; '.join(found.blockers)}, of {found.what}" if found is not None else None

    def held(self) -> tuple[Held, ...]:
        """What was held for a second or longer, longest first, five at most. On one table a weaker lock counts only if held longer."""
        if not self._longest:
            return ()
        from dbmigration.postgres.activity import STRENGTH

        found = [Held(mode, table, int(s * 1000)) for (mode, table), s in self._longest.items() if s >= LOOKS_AFTER_S]
        kept = [
            each
            for each in found
            if not any(o.table == each.table and STRENGTH[o.mode] > STRENGTH[each.mode] and o.ms >= each.ms for o in found)
        ]
        return tuple(sorted(kept, key=lambda each: (-each.ms, -STRENGTH[each.mode], each.table))[:_KEPT])

    def _take(self, *, tell: bool) -> None:
        monitor = self._monitor
        if monitor is None:
            return
        from dbmigration.postgres.monitor import Blind

        while not monitor.found.empty():
            found = monitor.found.get()
            if isinstance(found, Blind):
                self._session.unwatched = True
                self._ticker.say(f"no second connection, so who is in the way is named only after a lock timeout: {found.why}")
                self.close()
            elif found.at >= self._began:  # else it may tell of the try before
                self._measure(found)
                if found.seen.waiting is not None and found.seen.waiting.blockers:
                    self._blocked = found.seen.waiting
                if tell:
                    self._tell(found.at, found.seen)

    def _measure(self, sight: "Sight") -> None:
        for hold in sight.seen.holds - self._since.keys():
            self._since[hold] = self._looked  # it may have been taken right after the look before
        for hold in self._since.keys() - sight.seen.holds:
            self._let_go(hold, sight.at)
        self._looked = sight.at

    def _let_go(self, hold: "Hold", at: float) -> None:
        key = (hold.mode, hold.table)
        self._longest[key] = max(self._longest.get(key, 0.0), at - self._since.pop(hold))

    def _tell(self, at: float, seen: "Seen") -> None:
        before, self._waiting = self._waiting, seen.waiting
        if seen.waiting is not None:
            changed = before is None or (before.what, before.pids) != (seen.waiting.what, seen.waiting.pids)
            if before is None or before.what != seen.waiting.what:
                self._waits_since = at
            if changed or at >= self._tell_wait_at:
                self._tell_wait_at = at + _REPEATS_WAIT_S
                self._ticker.say(self._wait_in_words(at, seen, seen.waiting), blocked_by="; ".join(seen.waiting.blockers) or None)
        elif before is not None:
            self._ticker.say(f"has what it waited for: {before.what}")
        elif seen.behind and at >= self._tell_behind_at:
            self._tell_behind_at = at + _REPEATS_WAIT_S
            self._ticker.say(f"{_sessions(seen.behind)} for what it holds: {self._holds_in_words(at)}")
        elif seen.work is not None:
            notice = at >= self._tell_work_at
            if notice:
                self._tell_work_at = at + _REPEATS_WORK_S
            self._ticker.say(seen.work.words, notice=notice, percent=seen.work.percent)

    def _wait_in_words(self, at: float, seen: "Seen", waiting: "Waiting") -> str:
        by = f", blocked by {'; '.join(waiting.blockers)}" if waiting.blockers else ""
        behind = f"; {_sessions(seen.behind)} behind it" if seen.behind else ""
        work = f" ({seen.work})" if seen.work else ""
        since = f" {at - self._waits_since:.0f} s" if at - self._waits_since >= _EVERY_S else ""
        return f"waiting{since} for {waiting.what}{by}{behind}{work}"

    def _holds_in_words(self, at: float) -> str:
        from dbmigration.postgres.activity import STRENGTH

        strongest = sorted(self._since.items(), key=lambda item: (-STRENGTH[item[0].mode], item[1]))[:_KEPT]
        held = (Held(hold.mode, hold.table, int((at - since) * 1000)) for hold, since in strongest)
        return ", ".join(map(str, held)) or "rows that it has changed"


def _sessions(number: int) -> str:
    return "1 session waits" if number == 1 else f"{number} sessions wait"
