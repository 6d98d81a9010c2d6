"""Roles, their memberships and settings, and tablespaces: they belong to the server and are in no dump of one database.

They are written beside the dump where the role may read them. Where it may not, the backup is whole all the same, and its record says why.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.backup.access import Access
from dbmigration.backup.clients import Client
from dbmigration.backup.stream import StopRequest, running
from dbmigration.errors import Transient

GLOBALS_SUFFIX: Final = ".globals.sql"

_END: Final = b"-- PostgreSQL database cluster dump complete"
_TAIL: Final = 200
_NOTE_LIMIT: Final = 300


class Globals(NamedTuple):
    """`text` is SQL for psql, without passwords; None: `note` says why there is none."""

    text: bytes | None
    note: str | None = None

    @property
    def sha256(self) -> str | None:
        return None if self.text is None else hashlib.sha256(self.text).hexdigest()


def read_globals(client: Client, access: Access, database: str, stop: StopRequest) -> Globals:
    """What `pg_dumpall --globals-only --no-role-passwords` says, over a connection to `database`. Raises Transient INTERRUPTED."""
    program = client.directory / "pg_dumpall"
    if not os.access(program, os.X_OK):
        return Globals(None, f"there is no pg_dumpall in {client.directory}")
    argv = (str(program), "--globals-only", "--no-role-passwords", "--no-password", f"--database={database}")
    try:
        with TemporaryFile() as output:
            with running(access.command("pg_dumpall", argv), stdin=subprocess.DEVNULL, stdout=output.fileno()) as child:
                child.wait(stop)
                why = child.failure(access.hide)
            output.seek(0)
            text = output.read()
    except Transient as error:
        if error.reason is Reason.INTERRUPTED:
            raise
        return Globals(None, error.message[:_NOTE_LIMIT])
    except OSError as error:
        return Globals(None, f"pg_dumpall has no temporary file to write to: {error.strerror}"[:_NOTE_LIMIT])
    if why is not None:
        return Globals(None, why[:_NOTE_LIMIT])
    if _END not in text[-_TAIL:]:
        return Globals(None, "pg_dumpall ended early")
    return Globals(text)


def globals_path(dump: Path) -> Path:
    """Where the globals of a dump stand."""
    return dump.with_suffix(GLOBALS_SUFFIX)
