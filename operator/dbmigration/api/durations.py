"""Durations as people write them in the resource: `500ms`, `2s`, `1h30m`. No third-party import."""

import re

DURATION_PATTERN = r"^([0-9]+(ms|s|m|h))+$"
"""What the resource accepts; also in the CRD."""

_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def milliseconds(text: str) -> int:
    """The length of `text` in milliseconds. Raises ValueError, naming the text, when it is no duration."""
    if not re.fullmatch(DURATION_PATTERN.strip("^$"), text):
        raise ValueError(f"{text!r} is no duration: write it like 500ms, 2s, 1m30s or 4h")
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text))
