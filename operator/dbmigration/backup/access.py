"""How a client program of ours reaches a database: libpq's variables, and the password in a file that nobody else has a name for.

The environment of a process is copied to all that it starts, is kept by systemd-coredump, and is written down by tools that watch what a
machine runs. So the password is not in it. docs/decisions/046 says why it is a file without a name, and when it is not.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.backup.stream import Command
from dbmigration.errors import Transient
from dbmigration.postgres.conninfo import ConnInfo

_SAME_TEXT: Final = ("-c TimeZone=UTC", "-c bytea_output=hex")
_NOT_FOR_CHILDREN: Final = ("DATABASE_URL", "PGPASSWORD")
_MODE: Final = 0o600
"""libpq ignores a password file that others may read."""


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What a child needs to connect: its whole `environment`, the `descriptors` that it inherits, and what to `hide` in its words."""

    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()
    hide: tuple[str, ...] = ()

    def command(self, name: str, argv: Sequence[str]) -> Command:
        """A child that can connect. Its words are to be read with `hide`."""
        return Command(name, argv, self.environment, self.descriptors)


@contextlib.contextmanager
def access_to(conninfo: ConnInfo) -> Iterator[Access]:
    """For children that are started, and have ended, within the context; any number of them, with any number of connections.

    Raises Transient BACKUP_FAILED where the password has to be written to the disk and cannot be.
    """
    variables = conninfo.libpq_environment()
    password = variables.pop("PGPASSWORD", "") or os.environ.get("PGPASSWORD", "")
    if not password:
        yield Access(_environment(variables))
    elif not _fits_a_line(password):
        yield Access(_environment(variables | {"PGPASSWORD": password}), hide=(password,))
    else:
        with _password_file(_line(password)) as (path, descriptors):
            yield Access(_environment(variables | {"PGPASSFILE": path}), descriptors, (password, path))


def no_access() -> dict[str, str]:
    """The environment of a child that reads a file and talks to nobody: no connection, no password."""
    return {name: value for name, value in _environment({}).items() if not name.startswith("PG")}


def _environment(libpq: Mapping[str, str]) -> dict[str, str]:
    """Ours without what a child must not read, libpq's variables, and messages in English."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
    # The same text of the same value whatever the server, the database and the role are set to: a restored row is compared with it.
    options = " ".join(filter(None, (libpq.get("PGOPTIONS", inherited.get("PGOPTIONS", "")), *_SAME_TEXT)))
    return inherited | {"LC_ALL": "C"} | dict(libpq) | {"PGOPTIONS": options}


def _fits_a_line(password: str) -> bool:
    """A password file has a line for each password, and no escape for the end of one (manual, 34.16)."""
    return "\n" not in password and "\r" not in password


def _line(password: str) -> bytes:
    """For every host, port, database and user, as PGPASSWORD is: a child is told one connection, by however many hosts."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return os.fsencode(f"*:*:*:*:{escaped}\n")


@contextlib.contextmanager
def _password_file(content: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Its path for a child, and the descriptors that the child has to inherit for that path to lead there."""
    with contextlib.ExitStack() as stack:
        descriptor = _in_memory(content)
        if descriptor is not None:
            stack.callback(os.close, descriptor)
            path = f"/proc/self/fd/{descriptor}"
            if _can_be_read(path, content):
                yield path, (descriptor,)
                return
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbmigration-"))
            file = Path(folder, "pgpass")
            file.touch(_MODE, exist_ok=False)
            file.write_bytes(content)
        except OSError as exc:
            raise Transient(
                Reason.BACKUP_FAILED,
                f"The password for pg_dump cannot be kept in a temporary file ({exc.strerror}): set TMPDIR to a folder that user id "
                f"{os.geteuid()} may write to",
            ) from None
        yield str(file), ()


def _in_memory(content: bytes) -> int | None:
    """A file in memory that has no name and is gone with the last process that has it open, however that ends; None: not here."""
    try:
        descriptor = os.memfd_create("pgpass", os.MFD_CLOEXEC)
    except (OSError, AttributeError):
        return None
    try:
        os.fchmod(descriptor, _MODE)
        os.write(descriptor, content)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _can_be_read(path: str, content: bytes) -> bool:
    """As a child would: a security module may forbid to open what it allowed to make."""
    try:
        return Path(path).read_bytes() == content
    except OSError:
        return False
