"""A server for a rehearsal on this machine, from programs that are installed here; it is gone afterwards, with every row."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient
from dbmigration.postgres.roles import bootstrap_superuser
from dbmigration.postgres.session import Session
from dbmigration.postgres.sizes import database_bytes
from dbmigration.run.progress import Step
from dbmigration.run.rehearsal_server import OwnPlace, is_disk_full, is_lost, make_alike, make_way, settings_like
from dbmigration.scratch.binaries import Binaries, choose_binaries
from dbmigration.scratch.server import private_server

if TYPE_CHECKING:
    from dbmigration.run.steps import Steps

_ROOM_OF_ITS_OWN: Final = 128 * 2**20
"""What an empty server takes, and its first WAL."""
_CONNECTIONS: Final = 20
"""Beside those of pg_restore."""
_KILLED: Final = "was terminated by signal 9"


def look_at_machine(steps: "Steps", live: Session) -> None:
    """Refuse, before a backup is taken for it, what this machine cannot do.

    Raises Transient DATABASE_UNAVAILABLE without the programs of the database's major version, REHEARSAL_SERVER_FAILED without room.
    """
    _binaries(live)
    folder = tempfile.gettempdir()
    size = database_bytes(live)
    free = shutil.disk_usage(folder).free
    if free < size + _ROOM_OF_ITS_OWN:
        raise Transient(
            Reason.REHEARSAL_SERVER_FAILED,
            f"the database has {size / 1e6:.0f} MB, and {folder}, where the private server would be, has {free / 1e6:.0f} MB left: make "
            "room there, or name a folder with more in TMPDIR",
        )
    steps.say(Step.REHEARSE, f"the copy will take about {size / 1e6:.0f} MB in {folder} of this machine", finished=True)


@contextmanager
def private_place(steps: "Steps", live: Session, jobs: int) -> Iterator[OwnPlace]:
    """A server like the database's, with its roles; gone when the context ends. `jobs`: connections of pg_restore.

    Raises as `choose_binaries` and `private_server` do.
    """
    binaries = _binaries(live)
    where = f"a private PostgreSQL {binaries.version}"
    steps.say(Step.REHEARSE, f"starting {where} ({binaries.directory})", finished=True)
    settings = settings_like(live, {"max_connections": str(_CONNECTIONS + jobs)})
    with private_server(binaries, superuser=bootstrap_superuser(live), settings=settings) as server:
        place = OwnPlace(make_way(server.conninfo, live.server.database), live, steps, partial(_why_gone, server.log))
        make_alike(place, server.directory, where)
        yield place


def _binaries(live: Session) -> Binaries:
    return choose_binaries(live.server.major, otherwise="rehearse beside the database, without --private")


def _why_gone(log: Path, error: DbmigrationError) -> str | None:
    if is_disk_full(error):
        return f"the disk of this machine is full ({error.message}): make room, or name a folder with more in TMPDIR"
    if is_lost(error) and _KILLED in log.read_text(encoding="utf-8", errors="replace"):
        return "a process of the private PostgreSQL was killed, most likely because this machine ran out of memory"
    return None
