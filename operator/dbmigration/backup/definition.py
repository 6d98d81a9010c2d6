"""How the database that a dump was made of was itself made: encoding, locale and settings, from the dump, for it may be gone."""

import re
import subprocess
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.backup.access import no_access
from dbmigration.backup.clients import Client
from dbmigration.backup.stream import Command, running
from dbmigration.errors import Permanent
from dbmigration.postgres.temporary import Definition

_NAME: Final = r'(?:"(?:[^"]|"")+"|\w+)'
_CREATE: Final = re.compile(rf"^CREATE DATABASE {_NAME} WITH (.*);$", re.MULTILINE)
_SETTING: Final = re.compile(rf"^ALTER DATABASE {_NAME} SET (.*);$", re.MULTILINE)
_CONNECT: Final = b"\\connect "


def read_definition(dump: Path, client: Client) -> Definition:
    """From what pg_restore would send to make the database; the dump's own words, since pg_dump knows every version's options.

    Settings of one role in this database are not among them. Raises Permanent RESTORE_FAILED.
    """
    argv = (str(client.pg_restore), "--create", "--schema-only", "--file=-", str(dump))
    head, connects = [], 0
    with running(Command("pg_restore", argv, no_access()), stdout=subprocess.PIPE) as child:
        for line in child.lines:
            # Its database's entries come first: the second time that it connects, the objects inside begin.
            connects += line.startswith(_CONNECT)
            if connects == 2:
                break
            head.append(line)
    text = b"".join(head).decode("utf-8", "replace")
    created = _CREATE.search(text)
    if created is None:
        raise Permanent(Reason.RESTORE_FAILED, f"The backup {dump.name} does not say how its database was made.")
    return Definition(created[1], _SETTING.findall(text))
