"""psql's backslash commands: a server does not know them, so a migration cannot hold them."""

import re
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place

_COMMAND: Final = re.compile(rb"\\(?:[A-Za-z_]+\+?|.)?")

_SKIPPED: Final = re.compile(rb"\\(?:un)?restrict(?=\s|\Z)")
"""What every pg_dump since the minor releases of August 2025 writes around its output. It binds psql, not the server."""

_REMEDIES: Final = {
    "i": "put the other file's SQL here, or give it a number of its own",
    "ir": "put the other file's SQL here, or give it a number of its own",
    "include": "put the other file's SQL here, or give it a number of its own",
    "include_relative": "put the other file's SQL here, or give it a number of its own",
    "copy": "write COPY … FROM STDIN; with the data under it and a line \\. after them",
    "c": "a migration runs in the database that the run is connected to; remove it",
    "connect": "a migration runs in the database that the run is connected to; remove it",
    "gexec": "write a DO block that runs the made statements with EXECUTE",
    "g": "end the statement with a semicolon",
    "gset": "write a DO block with a variable",
    "set": "write the value where it is used; SQL's own SET and DO blocks have variables",
    "if": "write a DO block with IF",
    "elif": "write a DO block with IF",
    "else": "write a DO block with IF",
    "endif": "write a DO block with IF",
    ";": "end each statement with a plain semicolon",
    ".": "the line that ends COPY data stands here with no COPY … FROM STDIN before it",
    "!": "a migration is SQL only; remove it",
    "password": "write ALTER ROLE, without the password: set that outside of migrations",
}


def is_skipped(text: bytes) -> bool:
    """Whether the backslash command at the beginning of `text` is one that changes nothing here: \\restrict, \\unrestrict."""
    return _SKIPPED.match(text) is not None


def refusal(text: bytes, *, name: str, line: int) -> Permanent:
    """META_COMMAND for the backslash at the beginning of `text`, with what to write instead."""
    match = _COMMAND.match(text)
    command = match[0].decode("utf-8", "replace") if match else "\\"
    remedy = _REMEDIES.get(command[1:].rstrip("+"), "it works in psql only; remove it")
    return Permanent(Reason.META_COMMAND, f"{command} is a command of psql, not SQL: {remedy}", place=Place(name, line))
