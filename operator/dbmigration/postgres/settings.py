"""What a person may choose about a session and about running a file."""

from typing import NamedTuple


class Execution(NamedTuple):
    """How files run. Times in milliseconds, 0 means no limit, as in PostgreSQL.

    `lock_timeout_ms` is the first try's and grows to five times that; `lock_retries` counts the tries after the first. Only a lock timeout,
    a deadlock and a serialization failure are tried again, with the whole file rolled back in between.
    """

    lock_timeout_ms: int = 2000
    statement_timeout_ms: int = 0
    lock_retries: int = 10


class Settings(NamedTuple):
    """What holds for a whole session.

    `actor` is written into every event (None: the database user). `writable` False lets a session read from a replica: for status and plan.
    `connect_timeout_s` bounds one attempt to connect, per host.
    """

    execution: Execution = Execution()
    actor: str | None = None
    writable: bool = True
    connect_timeout_s: int = 10
