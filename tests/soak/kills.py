"""The ways in which a run ends before its time."""

import contextlib
import random
import signal
import subprocess
from collections.abc import Callable
from enum import StrEnum

import psycopg

from tests.soak.proxy import Proxy, Trigger, When
from tests.soak.server import CrashingServer

_DURING_S = 0.012
"""Most statements of the sets take some milliseconds."""

_LONG_S = 0.25
"""With an old snapshot about, an index build waits, and the strike finds it waiting."""


class Kill(StrEnum):
    SIGKILL = "SIGKILL of the runner"
    SIGTERM = "SIGTERM of the runner"
    TERMINATE = "pg_terminate_backend"
    CRASH = "immediate stop and restart of the server"
    DROP = "dropped socket"
    LOST_NODE = "dropped socket that the server hears of later"


def choose_kill(rng: random.Random) -> Kill:
    """The quick ones more often than a crash of the server, which takes half a second."""
    return rng.choices(list(Kill), weights=[5, 3, 4, 2, 4, 2])[0]


def choose_trigger(rng: random.Random, messages: int, *, waits: bool) -> Trigger:
    """One of the first `messages` messages. `waits`: something makes index builds wait."""
    when = rng.choices(list(When), weights=[2, 4, 3])[0]
    delay_s = rng.uniform(0, _LONG_S if waits else _DURING_S)
    return Trigger(rng.randint(1, messages), when, delay_s)


def strike(
    kill: Kill,
    proxy: Proxy,
    server: CrashingServer,
    runner: "subprocess.Popen[str]",
    database: str,
    held_s: float,
) -> Callable[[], None]:
    """What the proxy is to call at the chosen message."""

    def terminate() -> None:
        with psycopg.connect(conninfo(server, "postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'dbmigration/%%'",
                (database,),
            )

    def now() -> None:
        match kill:
            case Kill.SIGKILL:
                runner.kill()
            case Kill.SIGTERM:
                with contextlib.suppress(ProcessLookupError):
                    runner.send_signal(signal.SIGTERM)
            case Kill.TERMINATE:
                terminate()
            case Kill.CRASH:
                server.crash()
            case Kill.DROP:
                proxy.cut()
            case Kill.LOST_NODE:
                proxy.cut(held_s=held_s)

    return now


def conninfo(server: CrashingServer, database: str) -> str:
    """For the soak's own connections, as the superuser and past the proxy."""
    environment = server.running.environment(database, "postgres")
    return psycopg.conninfo.make_conninfo(
        host=environment["PGHOST"],
        port=environment["PGPORT"],
        user=environment["PGUSER"],
        password=environment["PGPASSWORD"],
        dbname=database,
    )
