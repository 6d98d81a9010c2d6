"""A generated section in a file that people write: all that stands between two markers, and nothing else, is replaced."""

from typing import Final

BEGIN: Final = "<!-- dbmigration docs: begin -->"
END: Final = "<!-- dbmigration docs: end -->"


class NoPlace(Exception):
    """The markers are not there, or not once and in order. The text says what to do."""


def spliced(text: str, section: str) -> str:
    """`text` with `section` between the markers, in the line ends that `text` has. Raises NoPlace."""
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        found = f"{text.count(BEGIN)} and {text.count(END)} of them are there" if BEGIN in text or END in text else "they are not there"
        raise NoPlace(f"put these two lines, once each and in this order, where the section belongs ({found}): {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{BEGIN}\n\n{section.strip()}\n\n{END}"
    return before + (made.replace("\n", "\r\n") if "\r\n" in text else made) + after
