"""One read of a file: is it text, what is its checksum, what are its raw bytes' hash and its first lines."""

import codecs
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.part import WHOLE, Part, open_part

BLOCK_BYTES = 128 * 1024
"""What is in memory of a file at a time, and how much of it may be header."""

BOM = codecs.BOM_UTF8


class FileText(NamedTuple):
    """What one read of a file gives.

    `checksum` is `model.CHECKSUM_ALGORITHM` (hex), `raw_sha256` that of the bytes as they are (hex), `size` in bytes, `head` the first
    `BLOCK_BYTES` without a BOM.
    """

    checksum: str
    raw_sha256: str
    size: int
    head: bytes


def read_text(path: Path | str, name: str, part: Part = WHOLE) -> FileText:
    """Reads `path`, or a part of it, once, a block at a time, whatever its size. `name` is what errors call it.

    Raises Permanent SOURCE_INVALID for what cannot be read, is not UTF-8 or holds a NUL byte (PostgreSQL's text has none), with the line.
    """
    try:
        with open_part(path, part) as file:
            head = file.read(BLOCK_BYTES)
            hashes = TextHash(name, partial(line_at, path), offset=part.start)
            hashes.add(head)
            size = len(head)
            while block := file.read(BLOCK_BYTES):
                size += len(block)
                hashes.add(block)
    except OSError as exc:
        raise Permanent(
            Reason.SOURCE_INVALID, f"cannot be read: {exc.strerror or exc}; make it a readable file or remove it", place=Place(name)
        ) from exc
    checksum, raw = hashes.finish()
    return FileText(checksum, raw, size, head.removeprefix(BOM))


def text_checksum(data: bytes, name: str = "text") -> str:
    """The checksum of text in memory. Raises as `read_text` does."""
    hashes = TextHash(name, lambda offset: 1 + data.count(b"\n", 0, offset))
    hashes.add(data)
    return hashes.finish()[0]


def line_at(path: Path | str, offset: int) -> int | None:
    """The line of the file's byte at `offset`, from 1; None where the file cannot be read any more.

    Only an error asks for it: to count the lines of every file that is read costs more than its hash.
    """
    line = 1
    try:
        with open_part(path) as file:
            while offset > 0 and (block := file.read(min(offset, BLOCK_BYTES))):
                line += block.count(b"\n")
                offset -= len(block)
    except OSError:
        return None
    return line


class TextHash:
    """Two hashes of one stream. They are one object until the first BOM or CRLF tells them apart, which is seldom."""

    def __init__(self, name: str, line_of: Callable[[int], int | None], *, offset: int = 0) -> None:
        """The stream begins at the byte `offset` of the file `name`; `line_of` finds the line of such an offset, for an error."""
        self._name = name
        self._line_of = line_of
        self._raw = hashlib.sha256()
        self._text = self._raw
        self._started = False
        self._held = b""  # a carriage return at a block's end: its line feed may be the next block's first byte
        self._cut = b""  # the beginning of a character whose end is in the next block
        self._offset = offset

    def add(self, block: bytes) -> None:
        self._check(block, final=False)
        text = block
        if not self._started:
            self._started = True
            text = block.removeprefix(BOM)
        if self._text is self._raw and len(text) == len(block) and b"\r" not in block:
            self._raw.update(block)
            return
        if self._text is self._raw:
            self._text = self._raw.copy()
        self._raw.update(block)
        text = self._held + text
        self._held = b"\r" if text.endswith(b"\r") else b""
        self._text.update(text.removesuffix(b"\r").replace(b"\r\n", b"\n"))

    def finish(self) -> tuple[str, str]:
        """(checksum of the normalised text, SHA-256 of the bytes), both hex."""
        self._check(b"", final=True)
        raw = self._raw.hexdigest()
        if self._text is self._raw:
            return raw, raw
        self._text.update(self._held)
        return self._text.hexdigest(), raw

    def _check(self, block: bytes, *, final: bool) -> None:
        nul = block.find(b"\0")
        if nul >= 0:
            raise self._invalid(self._offset + nul, "a NUL byte", "remove it; is this UTF-16? save the file as UTF-8")
        if not block.isascii() or self._cut:
            data = self._cut + block
            try:
                _, used = codecs.utf_8_decode(data, "strict", final)
            except UnicodeDecodeError as exc:
                at = self._offset - len(self._cut) + exc.start
                raise self._invalid(at, f"the byte 0x{data[exc.start]:02x}, which is not UTF-8", "save the file as UTF-8") from exc
            self._cut = data[used:]
        self._offset += len(block)

    def _invalid(self, at: int, what: str, remedy: str) -> Permanent:
        return Permanent(Reason.SOURCE_INVALID, f"byte {at} is {what}: {remedy}", place=Place(self._name, self._line_of(at)))
