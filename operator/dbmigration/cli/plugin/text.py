"""Words for a terminal. What a database, a file or a log says may hold anything, escape sequences too: it is made plain first."""

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def plain(text: str) -> str:
    """Without what would move a cursor, change a colour or turn the reading direction; a tab is a space."""
    return _CONTROL.sub("�", text.replace("\t", " "))


def ago(then: datetime, now: datetime) -> str:
    """ "12s ago", "3m ago", "2h ago", "5d ago"."""
    return f"{between(then, now)} ago"


def between(then: datetime, now: datetime) -> str:
    return span((now - then).total_seconds())


def span(seconds: float) -> str:
    """The two largest units: "45s", "3m20s", "2h5m", "5d3h"."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or (parts and len(parts) < 2 and left):
            parts.append(f"{number}{unit}")
        if len(parts) == 2:
            break
    return "".join(part for part in parts if not part.startswith("0")) or "0s"


def size(number: int) -> str:
    """ "812 B", "12.3 kB", "4.5 GB"."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"


def wrapped(text: str, columns: int, indent: str = "") -> Iterator[str]:
    """Lines of at most so many columns. Commands in backquotes stay whole, so that they can be copied, where they fit at all."""
    for paragraph in plain(text).splitlines() or [""]:
        yield from textwrap.wrap(
            paragraph, max(columns, 40), initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
