"""Somebody wants the run to end: SIGTERM in a pod, Ctrl-C at a keyboard."""

import threading
from typing import Protocol

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient


class Stoppable(Protocol):
    def request_stop(self) -> None: ...


class StopRequest:
    """Set once, from a signal handler or another thread; a session attached to it cancels its running statement at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._session: Stoppable | None = None

    def set(self) -> None:
        self.event.set()
        if self._session is not None:
            self._session.request_stop()

    def attach(self, session: Stoppable) -> None:
        self._session = session
        if self.event.is_set():
            session.request_stop()

    def check(self) -> None:
        """Raises Transient(Interrupted) once a stop was asked for."""
        if self.event.is_set():
            raise Transient(Reason.INTERRUPTED, "the run was asked to stop; what is applied stays applied, the next run goes on from there")
