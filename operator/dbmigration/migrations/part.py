"""A script that is a part of a file: tools that keep the way up and the way down in one file have two scripts in each."""

import io
from pathlib import Path
from typing import Final, NamedTuple


class Part(NamedTuple):
    """The bytes from `start` up to `end` (None: to the file's end) of a file, the first of which stands on line `line`."""

    start: int = 0
    end: int | None = None
    line: int = 1

    def size_in(self, path: Path) -> int:
        """In bytes. Raises OSError."""
        return (path.stat().st_size if self.end is None else self.end) - self.start


WHOLE: Final = Part()


def open_part(path: Path | str, part: Part = WHOLE) -> io.FileIO:
    """The part as a stream of its own, which knows nothing of what stands around it. Raises OSError."""
    return io.FileIO(path) if part is WHOLE else _Cut(path, part)


def read_part(path: Path, part: Part = WHOLE) -> bytes:
    """The same in memory. Raises OSError."""
    with open_part(path, part) as file:
        return file.readall()


class _Cut(io.FileIO):
    """Begins and ends where the part does."""

    def __init__(self, path: Path | str, part: Part) -> None:
        super().__init__(path)
        self.seek(part.start)
        self._end = part.end

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._left()
        if left is not None and (size is None or size < 0 or size > left):
            size = left
        return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        return self.read() if self._end is not None else super().readall()

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _left(self) -> int | None:
        return None if self._end is None else max(0, self._end - self.tell())
