"""graphile-migrate: graphile_migrate.migrations, a row for each committed file, with SHA-1 of it and the one before."""

import hashlib
import re
from typing import Final

from dbmigration.adopt.foreign import ForeignRow, ForeignTable, Pairs, Tool, Verdicts
from dbmigration.postgres.session import Session

_HEADER: Final = re.compile(r"(?:--! [^\n]*\n)+\n*")
_PREVIOUS: Final = re.compile(r"^--! Previous: (\S+)$", re.MULTILINE)


def read(session: Session, table: ForeignTable) -> tuple[ForeignRow, ...]:
    rows = session.query(f"SELECT filename, hash, date FROM {table.sql} ORDER BY filename")
    found = list[ForeignRow]()
    for filename, checksum, at in rows:
        number = re.match(r"\d+", filename)
        found.append(ForeignRow(filename, number[0] if number else None, filename, at, checksum))
    return tuple(found)


def verify(pairs: Pairs) -> Verdicts:
    """Only a file that still has graphile-migrate's own header can be compared: the hash covers the one before it."""
    verdicts = dict[str, bool]()
    for row, file in pairs:
        text = file.path.read_bytes().decode("utf-8-sig")
        previous = _PREVIOUS.search(text)
        if previous is not None:
            before = "" if previous[1] == "-" else previous[1]
            body = f"{before}\n{_HEADER.sub('', text, count=1).strip()}".strip()
            digest = hashlib.sha1(f"{body}\n".encode(), usedforsecurity=False).hexdigest()
            verdicts[file.name] = f"sha1:{digest}" == row.checksum
    return verdicts


TOOL: Final = Tool(
    "graphile-migrate", {"hash": "text", "previous_hash": "text", "filename": "text", "date": "timestamp"}, read, exact=True, verify=verify
)
