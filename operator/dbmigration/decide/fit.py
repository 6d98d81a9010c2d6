"""Whether files whose times are known from a rehearsal fit into what is left of a window. Pure.

Together if any whole window is long enough for that, else as many as fit, file by file.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

MARGIN: Final = 1.5
"""A copy has no other sessions, and its server may be another: files are given half as much time again as they took there."""


class Fit(Enum):
    """NOW: begin. LATER: wait for the next window. NEVER: the first file is longer than a window."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


def with_margin(ms: int) -> int:
    return int(ms * MARGIN)


def fit(files_ms: Sequence[int], *, left_ms: float, whole_ms: float) -> Fit:
    """`files_ms` in order of the files. `left_ms` of this window, `whole_ms` of the next one, without what is spent before the files."""
    needed = with_margin(sum(files_ms))
    if needed > whole_ms:
        needed = with_margin(files_ms[0]) if files_ms else 0
    if needed <= left_ms:
        return Fit.NOW
    return Fit.LATER if needed <= whole_ms else Fit.NEVER


def lasting(ms: float) -> str:
    """For a person: 350 ms, 12.3 s, 4 min, 2 h 5 min."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes = round(ms / 60_000)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
