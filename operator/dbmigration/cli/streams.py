"""stdout and stderr of the command line: what a file or a server puts into a line can neither move the cursor nor clear the screen."""

import os
import re
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

from dbmigration.api.visible import visible

_OUR_COLOURS: Final = re.compile("(\x1b\\[(?:0|2|3[1-6])m)")
"""What our own tables and messages paint with. From somebody else they do no more than that."""


def visible_line(text: str) -> str:
    """The text with every control character but tab, line feed and our colours spelt out."""
    if "\x1b" not in text:
        return visible(text)
    return "".join(part if at % 2 else visible(part) for at, part in enumerate(_OUR_COLOURS.split(text)))


class VisibleStream:
    """A text stream that writes visible lines; in everything else the one it was made from, `stream`, which has no such care."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(visible_line(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def visible_output() -> Iterator[None]:
    """sys.stdout and sys.stderr are visible streams while the context lasts."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, VisibleStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """For lines about work that goes on when nobody reads them any more (`| head`): they are lost, and its outcome is not."""
    try:
        yield
    except BrokenPipeError:
        forget_reader()


def forget_reader() -> None:
    """What is still written to stdout goes nowhere, at the end of the process, too."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def reader_is_gone() -> bool:
    """Whether stdout leads to nobody."""
    with suppress(OSError):
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))
    return False


def bare(stream: TextIO) -> TextIO:
    """The stream below: for who draws with escape sequences, and makes strangers' words visible before."""
    return stream.stream if isinstance(stream, VisibleStream) else stream
