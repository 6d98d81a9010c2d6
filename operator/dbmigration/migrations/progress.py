"""How the statements of an unfinished file are recognised when it is taken up again."""

import hashlib
from pathlib import Path

from dbmigration.migrations.part import WHOLE, Part
from dbmigration.migrations.script import read_statements
from dbmigration.migrations.statements import CopyData


class StatementHash:
    """SHA-256 of one statement and, for COPY, of the data after it; CRLF counts as LF, as in a file's checksum."""

    def __init__(self, sql: bytes) -> None:
        self._hash = hashlib.sha256(sql.replace(b"\r\n", b"\n"))

    def add(self, data: bytes) -> None:
        """A `CopyData.data`: whole lines, so no CRLF is cut in two."""
        self._hash.update(data.replace(b"\r\n", b"\n"))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def finished_unchanged(path: Path, hashes: tuple[str, ...], part: Part = WHOLE) -> bool:
    """Whether the script still begins with the statements that have these hashes. Reads no further than those.

    Raises as `script.read_statements` does.
    """
    done = 0
    current: StatementHash | None = None
    for piece in read_statements(path, part):
        if isinstance(piece, CopyData):
            if current is not None:
                current.add(piece.data)
            continue
        if current is not None:
            if current.hexdigest() != hashes[done]:
                return False
            done += 1
        if done == len(hashes):
            return True
        current = StatementHash(piece.sql)
    if current is None:
        return not hashes
    return done + 1 == len(hashes) and current.hexdigest() == hashes[done]
