"""A script read as a stream: its statements with their kinds and the data of COPY, or how the whole may be run.

Memory is a block of 128 KiB and the longest single statement, whatever the size of the file.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.checksum import BLOCK_BYTES
from dbmigration.migrations.classify import PLAIN_WORDS, classify
from dbmigration.migrations.lexer import Splitter
from dbmigration.migrations.part import WHOLE, Part, open_part
from dbmigration.migrations.shape import ShapeFinder
from dbmigration.migrations.statements import CopyData, Kind, Shape, Statement

Piece = Statement | CopyData

SPLIT_PIECES = 10_000
"""So many pieces of a script are kept in memory at most: each costs some 150 bytes beside its text."""


def inspect(path: Path, transaction: bool | None, part: Part = WHOLE) -> Shape:
    """How the script at `path`, or in a part of that file, may be run. `transaction` is its header's word, None: let the text decide.

    Raises Permanent with file and line: META_COMMAND for psql's backslash commands; SOURCE_INVALID for a quote, comment or parenthesis that
    never ends, for a BEGIN without COMMIT, for what cannot run in a transaction between the file's own BEGIN and COMMIT or under
    `Transaction: single`, and for a file that cannot be read.
    """
    try:
        with open_part(path, part) as file:
            return _inspect(file.read, path.name, transaction, line=part.line)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def inspect_bytes(data: bytes, transaction: bool | None, *, name: str = "script", block: int = BLOCK_BYTES, line: int = 1) -> Shape:
    """The same for a script in memory, which begins on this `line` of the file `name`."""
    return _inspect(io.BytesIO(data).read, name, transaction, block, line)


def split_bytes(data: bytes, transaction: bool | None, *, name: str = "script", line: int = 1) -> tuple[Shape, list[Piece] | None]:
    """`inspect_bytes` and `read_statements_from` in one walk. None for the pieces: there are more than `SPLIT_PIECES`."""
    pieces: list[Piece] = []
    shape = _inspect(io.BytesIO(data).read, name, transaction, line=line, pieces=pieces)
    return shape, pieces if len(pieces) <= SPLIT_PIECES else None


def read_statements(path: Path, part: Part = WHOLE, on_read: Callable[[bytes], None] | None = None) -> Iterator[Piece]:
    """The script's statements in order, each COPY_IN followed by its data. Raises as `inspect` does for what is no SQL.

    `on_read` gets each block of the bytes that are read, all of them by the end.
    """
    try:
        with open_part(path, part) as file:

            def read(size: int) -> bytes:
                block = file.read(size)
                if on_read is not None:
                    on_read(block)
                return block

            yield from _read(read, path.name, line=part.line)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def read_statements_from(data: bytes, *, name: str = "script", block: int = BLOCK_BYTES, line: int = 1) -> Iterator[Piece]:
    """The same for a script in memory, which begins on this `line` of the file `name`."""
    return _read(io.BytesIO(data).read, name, block, line)


def _unreadable(path: Path, error: OSError) -> Permanent:
    return Permanent(Reason.SOURCE_INVALID, f"cannot be read: {error.strerror or error}", place=Place(path.name))


def _read(read: Callable[[int], bytes], name: str, block: int = BLOCK_BYTES, line: int = 1) -> Iterator[Piece]:
    splitter = Splitter(read, name, block=block, line=line)
    plain = Kind.PLAIN
    index = 0
    for line, word, sql in splitter.statements():
        index += 1
        if word in PLAIN_WORDS:
            yield Statement(index, line, sql, plain)
            continue
        kind = classify(word, sql).kind
        yield Statement(index, line, sql, kind)
        if kind is Kind.COPY_IN:
            for data in splitter.copy_data():
                yield CopyData(data)


def _inspect(
    read: Callable[[int], bytes],
    name: str,
    transaction: bool | None,
    block: int = BLOCK_BYTES,
    line: int = 1,
    pieces: list[Piece] | None = None,
) -> Shape:
    """`pieces` gets what is read, one more than `SPLIT_PIECES` at most."""
    splitter = Splitter(read, name, block=block, line=line)
    finder = ShapeFinder(name, transaction)
    for line, word, sql in splitter.statements():
        keeping = pieces if pieces is not None and len(pieces) <= SPLIT_PIECES else None
        if word in PLAIN_WORDS:
            finder.see_plain(line, sql)
            if keeping is not None:
                keeping.append(Statement(finder.count, line, sql, Kind.PLAIN))
            continue
        verdict = classify(word, sql)
        finder.see(line, word, sql, verdict)
        if keeping is not None:
            keeping.append(Statement(finder.count, line, sql, verdict.kind))
        if verdict.kind is Kind.COPY_IN:
            for data in splitter.copy_data():
                if keeping is not None:
                    keeping.append(CopyData(data))
    return finder.shape()
