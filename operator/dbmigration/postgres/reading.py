"""The statements of a script on their way to the server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dbmigration.api.reasons import Reason
from dbmigration.errors import Place, Transient
from dbmigration.migrations.checksum import read_text
from dbmigration.migrations.model import MigrationFile, Script
from dbmigration.migrations.script import read_statements
from dbmigration.migrations.statements import CopyData, Kind, Shape, Statement
from dbmigration.postgres.batch import Piece, Sender
from dbmigration.postgres.progress import Ticker


@dataclass(frozen=True, slots=True)
class Source:
    """A script that is about to run. `checksum` is what the plan was made with."""

    name: str
    path: Path
    checksum: str
    shape: Shape


def source_of(script: MigrationFile | Script, *, transaction: bool | None) -> Source:
    """Reads the script once. Raises as `script.inspect` does."""
    from dbmigration.migrations.script import inspect

    return Source(script.name, script.path, script.checksum, inspect(script.path, transaction))


def check_unchanged(source: Source) -> None:
    """The bytes that were sent have to be those that were planned: a ConfigMap's folder can be swapped while we read.

    Called after the last statement was read and before COMMIT. Raises Transient SOURCE_CHANGING.
    """
    if read_text(source.path, source.name).checksum != source.checksum:
        raise Transient(Reason.SOURCE_CHANGING, "the file changed while it was read; nothing of it was kept", place=Place(source.name))


def statements_with_data(path: Path) -> Iterator[tuple[Statement, Iterable[bytes]]]:
    """Each statement with the data of its COPY. What is not taken of the data is skipped."""
    parts = iter(read_statements(path))
    following: Statement | None = None

    def data() -> Iterator[bytes]:
        nonlocal following
        for part in parts:
            if isinstance(part, CopyData):
                yield part.data
            else:
                following = part
                return

    for part in parts:
        current: Statement | None = part if isinstance(part, Statement) else None
        while current is not None:
            following = None
            if current.kind is Kind.COPY_IN:
                chunks = data()
                yield current, chunks
                for _ in chunks:
                    pass
            else:
                yield current, ()
            current = following


def feed(sender: Sender, source: Source, ticker: Ticker | None, *, verifies: bool = False) -> int:
    """Hand the script's statements to `sender`, without its own outer BEGIN and COMMIT. The number of statements."""
    bytes_done = 0
    count = 0
    for statement, chunks in statements_with_data(source.path):
        bytes_done += len(statement.sql)
        if source.shape.strip_outer and statement.kind in (Kind.BEGIN, Kind.COMMIT):
            continue
        count += 1
        piece = Piece(statement.sql, source.name, statement.line, verifies)
        if statement.kind is Kind.COPY_IN:
            sender.copy(piece, chunks)
            sent = True
        else:
            sent = sender.add(piece)
        if statement.kind is Kind.SESSION and b"standard_conforming_strings" in statement.sql:
            sender.flush()  # a message is read as a whole, with the setting from before it
        if sent and ticker is not None:
            ticker.at(statement.index, statement.line, bytes_done)
    return count
