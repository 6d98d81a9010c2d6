"""Files that hold the way up and the way down: where one ends and the other begins, and the checksum of each.

The markers are comments that goose and dbmate look for at the beginning of a line, whatever stands around it; so do we. What else goose
marks, StatementBegin and StatementEnd, needs no attention: statements are told apart by PostgreSQL's grammar here.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.checksum import BLOCK_BYTES, BOM, FileText, TextHash, line_at
from dbmigration.migrations.layout import Layout
from dbmigration.migrations.part import Part

_GOOSE: Final = re.compile(rb"--\s*\+goose\s+(.*\S)", re.IGNORECASE)
_DBMATE: Final = re.compile(rb"--\s*migrate:(up|down)(?:\s+(.*\S))?\s*\Z")
_NEGATED: Final = re.compile(rb"transaction\s*:\s*false", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Half:
    """One way. `transaction` False: its marker says that it cannot run in one."""

    text: FileText
    part: Part
    transaction: bool | None


@dataclass(frozen=True, slots=True)
class Halves:
    """Both ways, and the SHA-256 (hex) of the whole file's raw bytes. `down` None: the file has no marker for it."""

    up: Half
    down: Half | None
    raw_sha256: str


@dataclass(frozen=True, slots=True)
class _Marker:
    """`way`: "up", "down", or "" for one that is about the file. `transaction` as in `Half`. `problem`: why it cannot be followed."""

    way: str
    transaction: bool | None = None
    problem: str = ""


def read_halves(path: str, name: str, layout: Layout) -> Halves:
    """Reads the file once, line by line. `name` is what errors call it.

    The way up is the file from its first byte, header and all, to the line that marks the way down; the rest is the way down. Raises
    Permanent SOURCE_INVALID as `read_text` does, and for SQL before the first marker, a file without one, a marker that comes twice, the
    way down before the way up, and what of goose is not done here (ENVSUB).
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as in read_text
            return _Reader(name, layout, partial(line_at, path)).read(file)
    except OSError as exc:
        raise Permanent(
            Reason.SOURCE_INVALID, f"cannot be read: {exc.strerror or exc}; make it a readable file or remove it", place=Place(name)
        ) from exc


class _Reader:
    def __init__(self, name: str, layout: Layout, line_of: Callable[[int], int | None]) -> None:
        self._name = name
        self._layout = layout
        self._line_of = line_of
        self._transactions = dict[str, bool | None]()

    def read(self, lines: Iterable[bytes]) -> Halves:
        find = _FINDERS[self._layout]
        raw = hashlib.sha256()
        way = ""
        up, down = _Growing(TextHash(self._name, self._line_of)), None
        growing = up
        for number, line in enumerate(lines, 1):
            raw.update(line)
            stripped = (line.removeprefix(BOM) if number == 1 else line).strip()
            marker = find(stripped) if stripped.startswith(b"--") else None
            if marker is not None and marker.problem:
                raise self._invalid(marker.problem, number)
            if marker is not None:
                self._transactions.setdefault(marker.way, marker.transaction)
                if marker.way == "down" and way == "up":
                    growing = down = _Growing(TextHash(self._name, self._line_of, offset=up.end), up.end, number)
                elif marker.way:
                    self._check_order(marker.way, way, number)
                way = marker.way or way
            elif not way and stripped and not stripped.startswith(b"--"):
                raise self._invalid(f"there is SQL before {_WORDS[self._layout][0]}: put it behind", number)
            growing.add(line)
        if not way:
            raise self._invalid(f"has no line {_WORDS[self._layout][0]}: add it, or set layout to whose files these are", None)
        return Halves(
            up.finish(self._choice("up"), None if down is None else up.end),
            None if down is None else down.finish(self._choice("down"), None),
            raw.hexdigest(),
        )

    def _choice(self, way: str) -> bool | None:
        said = self._transactions.get(way)
        return said if said is not None else self._transactions.get("")

    def _check_order(self, found: str, way: str, line: int) -> None:
        up, down = _WORDS[self._layout]
        if found == "down" and not way:
            raise self._invalid(f"{down} stands before {up}: change the order", line)
        if way:
            raise self._invalid(f"a second {up if found == 'up' else down}: put what follows into a file of its own", line)

    def _invalid(self, message: str, line: int | None) -> Permanent:
        return Permanent(Reason.SOURCE_INVALID, message, place=Place(self._name, line))


class _Growing:
    """A half while it is read."""

    def __init__(self, hashes: TextHash, start: int = 0, line: int = 1) -> None:
        self._hash = hashes
        self._head = bytearray()
        self._start = start
        self._line = line
        self.end = start

    def add(self, line: bytes) -> None:
        self._hash.add(line)
        self.end += len(line)
        if len(self._head) < BLOCK_BYTES:
            self._head += line

    def finish(self, transaction: bool | None, end: int | None) -> Half:
        checksum, raw = self._hash.finish()
        text = FileText(checksum, raw, self.end - self._start, bytes(self._head[:BLOCK_BYTES]).removeprefix(BOM))
        return Half(text, Part(self._start, end, self._line), transaction)


def _goose(line: bytes) -> _Marker | None:
    match = _GOOSE.match(line)
    words = match[1].lower().split() if match else []
    if words in ([b"up"], [b"down"]):
        return _Marker(words[0].decode())
    if words == [b"no", b"transaction"]:
        return _Marker("", transaction=False)
    if words == [b"envsub", b"on"]:
        return _Marker("", problem="goose would put variables of its environment into the SQL here, which is not done: write the values")
    return None


def _dbmate(line: bytes) -> _Marker | None:
    match = _DBMATE.match(line)
    if match is None:
        return None
    return _Marker(match[1].decode(), transaction=False if _NEGATED.search(match[2] or b"") else None)


_FINDERS: Final[Mapping[Layout, Callable[[bytes], _Marker | None]]] = {Layout.GOOSE: _goose, Layout.DBMATE: _dbmate}
_WORDS: Final = {Layout.GOOSE: ("-- +goose Up", "-- +goose Down"), Layout.DBMATE: ("-- migrate:up", "-- migrate:down")}
