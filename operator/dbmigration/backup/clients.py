"""Which pg_dump and pg_restore: the server's own major, or none.

An older pg_dump refuses a newer server; a newer one writes what an older server cannot restore (17 writes `SET transaction_timeout`).
"""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient

# Where packages of several majors stand side by side: Debian, Red Hat (PGDG), Alpine, Homebrew.
WELL_KNOWN = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_VERSION = re.compile(rb"\(PostgreSQL\) ((\d+)\S*)")
_PROBE_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Client:
    """A folder that holds pg_dump and pg_restore of one version ("15.18", major 15)."""

    directory: Path
    version: str
    major: int

    @property
    def pg_dump(self) -> Path:
        return self.directory / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        return self.directory / "pg_restore"


def choose_dump_client(server_version: str, server_major: int, clients: Iterable[Client] | None = None) -> Client:
    """The client of exactly the server's major.

    Raises Transient(CLIENT_VERSION_MISMATCH) that names what the server is, what was found and what to do.
    """
    found = tuple(find_clients() if clients is None else clients)
    for client in found:
        if client.major == server_major:
            return client
    raise Transient(
        Reason.CLIENT_VERSION_MISMATCH,
        f"The server is PostgreSQL {server_version} and {_listing(found)}: a backup needs pg_dump of major {server_major}. "
        f"Use an image that holds it, or install postgresql-client-{server_major}, or put its folder on PATH.",
    )


def choose_restore_client(dump_version: str, clients: Iterable[Client] | None = None) -> Client:
    """The client that reads a dump made by pg_dump `dump_version`: that major, else the nearest newer one.

    Raises Transient(CLIENT_VERSION_MISMATCH).
    """
    major = int(dump_version.partition(".")[0])
    found = tuple(find_clients() if clients is None else clients)
    able = [client for client in found if client.major >= major]
    if not able:
        raise Transient(
            Reason.CLIENT_VERSION_MISMATCH,
            f"The dump was made by pg_dump {dump_version} and {_listing(found)}: reading it needs pg_restore of major {major} or newer.",
        )
    return min(able, key=lambda client: client.major)


def find_clients(path: str | None = None) -> tuple[Client, ...]:
    """Every usable client: the well-known folders first, then each folder of `path` (default: the PATH variable)."""
    folders = dict.fromkeys(_folders(os.environ.get("PATH", "") if path is None else path))
    return tuple(client for folder in folders if (client := _probe(folder)) is not None)


def _folders(path: str) -> Iterator[Path]:
    for pattern in WELL_KNOWN:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    for entry in path.split(os.pathsep):
        if entry:
            yield Path(entry)


@lru_cache(maxsize=64)
def _probe(folder: Path) -> Client | None:
    """None when the folder has no pair of programs that tell a version.

    Debian's /usr/bin/pg_dump is a chooser (pg_wrapper) whose version depends on the local clusters: it is no client.
    """
    dump, restore = folder / "pg_dump", folder / "pg_restore"
    if not (os.access(dump, os.X_OK) and os.access(restore, os.X_OK)) or dump.resolve().name == "pg_wrapper":
        return None
    try:
        shown = subprocess.run([dump, "--version"], capture_output=True, check=False, timeout=_PROBE_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(shown)
    return None if match is None else Client(directory=folder, version=match[1].decode(), major=int(match[2]))


def _listing(found: tuple[Client, ...]) -> str:
    if not found:
        return "no PostgreSQL client was found here"
    return "here is " + ", ".join(f"pg_dump {client.version} ({client.directory})" for client in found)
