"""A difference in one line, for a person who is tired."""

import re
from typing import Final

from dbmigration.catalog.compare import COLUMN_ORDER, GRANTS, Change, Drift

_LONGEST: Final = 100
"""Characters of a text that are shown."""

# The names that people write, for those that PostgreSQL prints.
_SHORT_TYPES: Final = (
    ("character varying", "varchar"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("time with time zone", "timetz"),
    ("time without time zone", "time"),
)
_FRACTION: Final = re.compile(r"\b(timestamp|time)\((\d)\) (with|without) time zone")

_NAMED_PLAINLY: Final = frozenset({"column", "table", "view"})
"""Their names speak for themselves: "platform.projects.region: …"."""

_SAID_ALONE: Final = frozenset({"type", "not null", "definition", "values", "columns", "range of"})
"""Parts that need no word of their own: what they are can be seen."""

_NOTHING: Final = {"not null": "nullable", "row security": "off", "fires": "as usual", "persistence": "logged"}
"""What a part that is not there means, where that is more than "none"."""


def sentence(drift: Drift) -> str:
    """ "platform.projects.region: text → varchar(20)", "index platform.x missing", "table platform.notes added, with 4 objects on it"."""
    if drift.change is not Change.CHANGED:
        also = f", with {drift.within} object{'' if drift.within == 1 else 's'} in it" if drift.within else ""
        return f"{drift.kind} {drift.name} {drift.change}{also}"
    return f"{_subject(drift)}: {_what(drift)}"


def _subject(drift: Drift) -> str:
    return drift.name if drift.kind in _NAMED_PLAINLY else f"{drift.kind} {drift.name}"


def _what(drift: Drift) -> str:
    part = drift.part or ""
    if part.startswith(f"{GRANTS} "):
        return _grants(part.removeprefix(f"{GRANTS} "), drift)
    if part == COLUMN_ORDER:
        return f"columns in another order: {drift.expected} → {drift.actual}"
    if part == "state":
        return f"{drift.expected or 'valid'} → {drift.actual or 'valid'}"
    if part == "on":
        return f"moved from {drift.expected} to {drift.actual}"
    label = "" if part in _SAID_ALONE else f"{part} "
    old, new = _texts(drift, _NOTHING.get(part, "none"))
    return f"{label}{old} → {new}"


def _grants(role: str, drift: Drift) -> str:
    """A right that PostgreSQL gives by itself and that was taken stands with a minus before the role."""
    old, new = drift.expected or "nothing", drift.actual or "nothing"
    if role.startswith("-"):
        return f"taken from {role[1:]}: {old} → {new}"
    return f"granted to {role}: {old} → {new}"


def _texts(drift: Drift, nothing: str) -> tuple[str, str]:
    old, new = drift.expected, drift.actual
    if old is None or new is None:
        return _show(old, nothing), _show(new, nothing)
    if "\n" in old or "\n" in new:
        return _first_differing_line(old, new)
    return _around_the_difference(_shorten_types(old), _shorten_types(new))


def _show(text: str | None, nothing: str) -> str:
    if text is None:
        return nothing
    first, _, more = _shorten_types(text).partition("\n")
    return _clip(first) + (" …" if more else "")


def _first_differing_line(old: str, new: str) -> tuple[str, str]:
    """A function's body: "line 4: `NEW.x := 1;`"; a view's text likewise."""
    before, now = old.splitlines(), new.splitlines()
    number = next((n for n, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), min(len(before), len(now)))
    if number == len(before) == len(now):
        return "line ends of one kind", "of another"
    texts = (lines[number].strip() if number < len(lines) else "(ends)" for lines in (before, now))
    first, second = texts
    return f"line {number + 1}: {_clip(first)}", _clip(second)


def _around_the_difference(old: str, new: str) -> tuple[str, str]:
    """Whole when both are short, else from a little before the first character that differs."""
    if len(old) <= _LONGEST and len(new) <= _LONGEST:
        return old, new
    same = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new)))
    start = max(0, same - 30)
    lead = "… " if start else ""
    return f"{lead}{_clip(old[start:])}", f"{lead}{_clip(new[start:])}"


def _clip(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _shorten_types(text: str) -> str:
    text = _FRACTION.sub(lambda match: f"{match[1]}{'tz' if match[3] == 'with' else ''}({match[2]})", text)
    for long, short in _SHORT_TYPES:
        text = text.replace(long, short)
    return text
