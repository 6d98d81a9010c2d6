"""A second connection in a thread of its own that looks at the first while that one is busy. It only reads."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import psycopg

from dbmigration.errors import DbmigrationError
from dbmigration.postgres.activity import Seen, look
from dbmigration.postgres.errors import ServerError
from dbmigration.postgres.session import Session, connect_beside

_SOONEST_S = 0.5
_LATEST_S = 5.0
_SHARE = 20
"""A look every twentieth of the time so far, between half a second and five: what is told is that precise, and hours cost little."""

_ENDS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen, and when it was asked for (`time.monotonic`)."""

    at: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class Blind:
    """There is no second connection, or no more. `why` in words."""

    why: str


class Monitor(threading.Thread):
    """Puts into `found` what it sees of the session, until `close`. Never calls anybody: who waits for the session takes it from there."""

    def __init__(self, session: Session) -> None:
        super().__init__(name="dbmigration monitor", daemon=True)
        self._session = session
        self._pid = session.pid
        self._ended = threading.Event()
        self.found: SimpleQueue[Sight | Blind] = SimpleQueue()

    def close(self) -> None:
        """A monitor that hangs with its server delays the run by two seconds at most: the thread is a daemon."""
        self._ended.set()
        self.join(_ENDS_WITHIN_S)

    def run(self) -> None:
        try:
            with connect_beside(self._session, "monitor") as connection:
                self._watch(connection)
        except DbmigrationError as error:
            self.found.put(Blind(error.message))
        except psycopg.Error as error:
            self.found.put(Blind(ServerError.from_exception(error).masked))

    def _watch(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        def query(statement: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
            return connection.execute(statement.encode(), parameters).fetchall()

        began = time.monotonic()
        if not query("SELECT FROM pg_stat_activity WHERE pid = %(pid)s", {"pid": self._pid}):
            self.found.put(Blind("a second connection does not see the first: a proxy stands in between"))
            return
        pause = 0.0
        while not self._ended.wait(pause):
            at = time.monotonic()
            try:
                self.found.put(Sight(at, look(query, self._pid)))
            except psycopg.Error:
                if connection.closed:
                    raise
                # One look is missing: its timeout was up, or the migration has locked a catalog.
            pause = min(max((at - began) / _SHARE, _SOONEST_S), _LATEST_S)
