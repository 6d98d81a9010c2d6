"""Somebody wants the run to end: SIGTERM in a pod, Ctrl-C at a keyboard."""

from typing import Protocol

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient


class Stoppable(Protocol):
    def request_stop(self) -> None: ...


class StopRequest:
    """Set once, from a signal handler or another thread; a session attached to it cancels its running statement at once.

    A plain flag and no threading.Event: that one's lock would hang a handler that interrupts its `wait`.
    """

    def __init__(self) -> None:
        self._asked = False
        self._session: Stoppable | None = None

    def is_set(self) -> bool:
        return self._asked

    def set(self) -> None:
        self._asked = True
        if self._session is not None:
            self._session.request_stop()

    def attach(self, session: Stoppable) -> None:
        self._session = session
        if self._asked:
            session.request_stop()

    def check(self) -> None:
        """Raises Transient(Interrupted) once a stop was asked for."""
        if self._asked:
            raise Transient(Reason.INTERRUPTED, "the run was asked to stop; what is applied stays applied, the next run goes on from there")
