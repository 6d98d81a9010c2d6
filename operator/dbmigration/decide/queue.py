"""How many runs there are at once, for the whole operator and on each server: whose turn it is. The oldest goes first.

Who waits for a server that is busy holds up nobody who wants another one.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from dbmigration.api.status import Status
from dbmigration.decide.observed import Line, Observed, Place, PodState

RUNS_SETTING: Final = "DBMIGRATION_MAX_RUNS"
RUNS_PER_SERVER_SETTING: Final = "DBMIGRATION_MAX_RUNS_PER_SERVER"


def enough_run(o: Observed, since: datetime) -> str | None:
    """Why `o`, whose run has waited `since` then, has to wait for others; None: it is its turn. The words are the same at each look."""
    line = o.line
    if line is None:
        return None
    mine = place_of(o, since)
    if mine in going(line.under_way, (*line.waiting, mine), line):
        return None
    limits, server = line.limits, mine.server
    if limits.runs and len(line.under_way) >= limits.runs:
        why = f"{limits.runs} runs are under way, as many as this operator may have ({RUNS_SETTING})"
    elif limits.per_server and server is not None and _on(server, line.under_way) >= limits.per_server:
        why = f"{limits.per_server} runs are under way on this database's server, as many as it may have ({RUNS_PER_SERVER_SETTING})"
    else:
        why = "runs that have waited longer go first"
    return f"{why}; it has waited since {since:%Y-%m-%dT%H:%M:%SZ} and starts by itself"


def going(under_way: Sequence[Place], waiting: Sequence[Place], line: Line) -> tuple[Place, ...]:
    """Those of `waiting` for whom there is room now, the oldest first."""
    return tuple(_going(list(under_way), waiting, line))


def _going(under_way: list[Place], waiting: Sequence[Place], line: Line) -> Iterator[Place]:
    for place in sorted(waiting, key=lambda each: (each.since, each.name)):
        if line.limits.runs and len(under_way) >= line.limits.runs:
            return
        if line.limits.per_server and place.server is not None and _on(place.server, under_way) >= line.limits.per_server:
            continue
        under_way.append(place)
        yield place


def place_of(o: Observed, since: datetime) -> Place:
    return Place(f"{o.namespace}/{o.name}", server_of(o.status), since)


def server_of(status: Status) -> str | None:
    """The server's system identifier; None until a run has met it."""
    return status.database.identity.partition("/")[0] if status.database is not None else None


def is_under_way(o: Observed) -> bool:
    """Its newest Job works, or will at once. A pod that cannot start takes nobody's turn, however long that lasts."""
    job = o.newest_job
    if job is None or job.ended or job.deleting:
        return False
    return job.pod.state is PodState.RUNNING or job.pod.blocked is None


def _on(server: str, places: Sequence[Place]) -> int:
    return sum(place.server == server for place in places)
