"""A database that is made for one piece of work and dropped whatever becomes of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.temporary import definition_of, temporary_database

PREFIX: Final = "dbmigration_scratch_"


@dataclass(frozen=True, slots=True)
class ScratchServer:
    """Where scratch databases may be made: `conninfo` names a database to give the orders from, which is not touched itself.

    `shared`: others use the server, so files that reach beyond their database are not for it.
    """

    conninfo: ConnInfo
    shared: bool


@contextmanager
def scratch_database(server: ScratchServer, say: Callable[[str], None]) -> Iterator[ConnInfo]:
    """A new database, with encoding, locale and settings of the one that the server's connection names; dropped at the end.

    `say` and what is raised: as of `temporary_database`.
    """
    remedy = "ALTER ROLE … CREATEDB, or name another server with --scratch-dsn, or use a private one with --private"
    with temporary_database(server.conninfo, PREFIX, definition_of, say, denied=remedy) as made:
        yield made.conninfo
