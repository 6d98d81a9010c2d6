"""Names in one line of text, however many there are: a set has hundreds of files, and a message has 1 KiB."""

from collections.abc import Iterable


def listed(names: Iterable[str], most: int = 10) -> str:
    """The first `most` of them, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
