"""The statements of a script on their way to the server."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Place, Transient
from dbmigration.migrations.checksum import TextHash, line_at, text_checksum
from dbmigration.migrations.model import MigrationFile, Script
from dbmigration.migrations.part import Part, read_part
from dbmigration.migrations.script import Piece as Read
from dbmigration.migrations.script import inspect, read_statements, split_bytes
from dbmigration.migrations.statements import CopyData, Kind, Shape, Statement
from dbmigration.postgres.batch import Piece, Sender
from dbmigration.postgres.progress import Ticker
from dbmigration.postgres.session import Session

_WHOLE_BYTES = 1024 * 1024
"""Up to this size a script is read and split once, and kept; a larger one is streamed, and so read several times."""

_KEPT_BYTES = 16 * 1024 * 1024
"""Of all scripts together that were read ahead."""

_PIECE_BYTES = 200
"""What a statement costs beside its text."""


class Source(NamedTuple):
    """A script that is about to run. `checksum` is what the plan was made with; `parts` None: too large to keep, it is read once more.

    `name` is the file's, for a person; `key` is what its progress is recorded under. `size` in bytes.
    """

    name: str
    path: Path
    checksum: str
    shape: Shape
    parts: Sequence[Read] | None
    key: str
    part: Part
    size: int


class Fed(NamedTuple):
    """What was handed over: how many statements, and the line where the last one began."""

    statements: int
    last_line: int


def source_of(session: Session, script: MigrationFile | Script, *, transaction: bool | None) -> Source:
    """What was read of it before, or is read now. Raises as `script.inspect` does, and Transient SOURCE_CHANGING."""
    key = _key(script, transaction)
    kept = session.sources.get(key)
    if kept is not None:
        return kept
    try:
        size = script.part.size_in(script.path)
        text = read_part(script.path, script.part) if size <= _WHOLE_BYTES else None
    except OSError as exc:
        message = f"the file that was planned cannot be read any more: {exc.strerror or exc}"
        raise Transient(Reason.SOURCE_CHANGING, message, place=Place(script.name)) from exc
    if text is not None:
        _check(text_checksum(text, script.name), script.checksum, script.name)
        shape, parts = split_bytes(text, transaction, name=script.name, line=script.part.line)
    else:
        parts = None
        shape = inspect(script.path, transaction, script.part)
    if shape.transactional and script.key in session.unfinished:
        # It could have one transaction as it is now; as it was, it could not. From its beginning it would do twice what is done.
        shape = Shape(False, "an earlier run did a part of it", False, shape.statements)
    source = Source(script.name, script.path, script.checksum, shape, parts, script.key, script.part, size)
    session.kept_bytes += 0 if parts is None else size + len(parts) * _PIECE_BYTES
    # Past the limit the bytes are read again, and compared again with the plan's, when they are sent.
    session.sources[key] = source if session.kept_bytes <= _KEPT_BYTES else source._replace(parts=None)
    return source


def is_read(session: Session, script: MigrationFile | Script, *, transaction: bool | None) -> bool:
    """Whether `source_of` will find it without reading anything."""
    return _key(script, transaction) in session.sources


def _key(script: MigrationFile | Script, transaction: bool | None) -> tuple[str, str, bool | None]:
    return script.name, script.checksum, transaction


def _check(found: str, planned: str, name: str) -> None:
    if found != planned:
        raise Transient(Reason.SOURCE_CHANGING, "the file is not the one that was planned: it was changed meanwhile", place=Place(name))


def statements_with_data(source: Source) -> Iterator[tuple[Statement, Iterable[bytes]]]:
    """Each statement with the data of its COPY, which are to be taken before the next statement is asked for.

    The bytes that are sent have to be those that were planned, and a ConfigMap's folder can be swapped while we read: what is read once
    more is hashed once more, on the way. Raises Transient SOURCE_CHANGING behind the last statement.
    """
    if source.parts is not None:
        yield from _with_data(source.parts)
        return
    hashes = TextHash(source.name, partial(line_at, source.path), offset=source.part.start)
    yield from _with_data(read_statements(source.path, source.part, hashes.add))
    _check(hashes.finish()[0], source.checksum, source.name)


def _with_data(read: Iterable[Read]) -> Iterator[tuple[Statement, Iterable[bytes]]]:
    parts = iter(read)
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
                yield current, data()
            else:
                yield current, ()
            current = following


def feed(sender: Sender, source: Source, ticker: Ticker | None, *, verifies: bool = False) -> Fed:
    """Hand the script's statements to `sender`, without its own outer BEGIN and COMMIT, or a verify script's ROLLBACK.

    What was sent of them has run afterwards. Raises as `statements_with_data` does.
    """
    outer = (Kind.BEGIN, Kind.ROLLBACK if source.shape.undoes_itself else Kind.COMMIT)
    bytes_done = 0
    count = 0
    line = 1
    try:
        for statement, chunks in statements_with_data(source):
            bytes_done += len(statement.sql)
            if source.shape.strip_outer and statement.kind in outer:
                continue
            count += 1
            line = statement.line
            piece = Piece(statement.sql, source.name, line, verifies)
            if statement.kind is Kind.COPY_IN:
                sender.copy(piece, chunks)
                sent = True
            else:
                sent = sender.stream(piece)
            if statement.kind is Kind.SESSION and b"standard_conforming_strings" in statement.sql:
                sender.flush()  # a message is read as a whole, with the setting from before it
            if sent and ticker is not None:
                ticker.at(statement.index, line, bytes_done)
    finally:
        sender.wait()
    return Fed(count, line)
