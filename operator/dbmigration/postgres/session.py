"""One connection that does everything: lock, history, SQL."""

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.settings import Settings


@dataclass(frozen=True, slots=True)
class Server:
    """The other end. `identity`: system identifier and database oid, the same through every host name (a physical copy has it too)."""

    version: str
    version_num: int
    major: int
    identity: str
    database: str
    user: str


class Session:
    server: Server
    stop: threading.Event

    def request_stop(self) -> None:
        """Safe in a signal handler and from another thread: the running statement is cancelled, the next one never starts."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def connect(conninfo: ConnInfo, *, application_name: str, settings: Settings) -> Session:
    raise NotImplementedError
