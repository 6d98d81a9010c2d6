"""Where a scratch database shall be: on a server that was named, or on a private one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.scratch.binaries import choose_binaries
from dbmigration.scratch.database import ScratchServer
from dbmigration.scratch.server import private_server


@dataclass(frozen=True, slots=True)
class GivenServer:
    """The server of this connection, which others use."""

    conninfo: ConnInfo


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A private server of this major (None: the newest there is), its superuser named so, with these roles."""

    major: int | None = None
    superuser: str = "postgres"
    roles: tuple[str, ...] = ()


Place = GivenServer | OwnServer


@contextmanager
def scratch_server(place: Place, say: Callable[[str], None]) -> Iterator[ScratchServer]:
    """The server, started if need be and then stopped at the end. Raises as `choose_binaries` and `private_server` do."""
    if isinstance(place, GivenServer):
        yield ScratchServer(place.conninfo, shared=True)
        return
    binaries = choose_binaries(place.major)
    say(f"starting a private PostgreSQL {binaries.version} ({binaries.directory})")
    with private_server(binaries, superuser=place.superuser) as server:
        _create_roles(server.conninfo, (role for role in place.roles if role != place.superuser))
        yield ScratchServer(server.conninfo, shared=False)


def _create_roles(conninfo: ConnInfo, roles: Iterable[str]) -> None:
    names = sorted({role for role in roles if not role.startswith("pg_")})
    if not names:
        return
    with connect(conninfo, application_name="dbmigration/roles", settings=Settings()) as session:
        for name in names:
            session.query(f"CREATE ROLE {identifier(name)}")
