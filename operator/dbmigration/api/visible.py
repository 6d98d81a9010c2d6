"""Text of strangers, made safe to show: a file, a server or a pod may have put escape sequences into it that move a cursor, clear a screen,
name a window or turn a line around. No third-party import.
"""

import re
from typing import Final

_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Controls but tab and line feed, what changes the direction of writing, line ends that only some programs know, halves of characters."""


def visible(text: str) -> str:
    """The text with what cannot be seen as \\u001b, as JSON spells it; tab and line feed stay. Nothing changes in a text without any."""
    return text if text.isprintable() else _UNSEEN.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
