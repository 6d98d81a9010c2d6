"""The comment block at the top of a migration: what a person wrote there, read strictly where a typo would do harm.

The form is the house template's: `-- Field: text`, where Purpose may go on over the next comment lines and Dependencies is a list. A
field that no one knows is free text, except one that looks like a misspelt Environment, Dependencies or Transaction: those would
silently change what runs.

Files of other tools' layouts were written without it: their numbers may be said otherwise, and only what ends in .sql is a dependency.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.layout import number_of
from dbmigration.migrations.model import Dependency, Header

_LINE = re.compile(r"[ \t\f\v]*(?:--([^\r\n]*))?\r?(?:\n|\Z)")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_FIELD = re.compile(r"[-\s]*([A-Za-z]+)[ \t]*:(.*)")
_RULE = re.compile(r"[-=*#_~\s]*")
_FIELDS = ("migration", "purpose", "dependencies", "rollback", "environment", "transaction")
_NEAR = {"envir": "Environment", "depend": "Dependencies", "transac": "Transaction"}
_BULLET = re.compile(r"[-*\u2022]\s*")
_NUMBER = re.compile(r"#?(\d+)\s*(?:[-\u2013\u2014:._]\s*|\Z)|(\d{3,})\s+")
_DEPENDENCY = re.compile(r"(?:requires\s+)?([`'\"]?)(\d{3,}(?:_[\w-]+)?)(?:\.sql)?\1", re.IGNORECASE)
_SQL_FILE = re.compile(r"[\w.-]+\.sql\b")
_REMARK = re.compile(r"\s*(?:\Z|[(\u2013\u2014:;#]|-)")
_NEXT = re.compile(r"\s*(?:,|\band\b|&)\s*")
_NONE = re.compile(r"(?:none|n/a|-)\b.*|-?", re.IGNORECASE)
_ONLY = re.compile(r"[\s-]+(?:only|specific)\Z")


class _Line(NamedTuple):
    number: int
    text: str


def parse_header(text: str, *, name: str, number: int, environments: Sequence[str], foreign: bool = False) -> Header:
    """The header of the migration `name`, whose file name says `number`, in a set that knows these `environments`.

    `foreign`: the set has another tool's layout. A dependency given by its number only stands in the result as its digits. Raises Permanent
    with file and line: SOURCE_INVALID for a field that cannot be understood or contradicts the file's number, UNKNOWN_ENVIRONMENT.
    """
    title = purpose = rollback = None
    dependencies: tuple[Dependency, ...] = ()
    allowed: tuple[str, ...] = ()
    environment_line = transaction = None
    for field, lines in _fields(text, name):
        if field == "migration":
            title = lines[0].text or None if foreign else _title(lines[0], name, number)
        elif field == "purpose":
            purpose = _prose(lines)
        elif field == "rollback":
            rollback = _prose(lines)
        elif field == "dependencies":
            dependencies += _files_named(lines) if foreign else _dependencies(lines, name)
        elif field == "environment":
            environment_line = lines[0].number
            allowed = _environments(lines, name, environments)
        else:
            transaction = _transaction(lines[0], name)
    return Header(title, purpose, dependencies, rollback, allowed, environment_line, transaction)


def parse_transaction(text: str, *, name: str) -> bool | None:
    """Only the Transaction field: all that the header of a rollback or verify script decides. Raises as `parse_header` does."""
    transaction = None
    for field, lines in _fields(text, name):
        if field == "transaction":
            transaction = _transaction(lines[0], name)
    return transaction


def _fields(text: str, name: str) -> Iterator[tuple[str, list[_Line]]]:
    """Each known field with its own text and the comment lines that go with it. A rule (-----) ends a field."""
    field, lines = "", list[_Line]()
    for number, text_line in _comment_lines(text):
        match = _FIELD.match(text_line) if ":" in text_line else None
        if match:
            key = match[1].lower()
            if key in _FIELDS:
                if field:
                    yield field, lines
                field, lines = key, [_Line(number, match[2].strip())]
                continue
            _refuse_near_miss(match[1], name, number)
        if not field:
            continue
        stripped = text_line.strip()
        if len(stripped) > 2 and _RULE.fullmatch(stripped):
            yield field, lines
            field = ""
        else:
            lines.append(_Line(number, stripped))
    if field:
        yield field, lines


def _comment_lines(text: str) -> Iterator[tuple[int, str]]:
    """The `--` lines before the first SQL, without their dashes. Block comments are passed over: they hold no fields."""
    at, number, end = 0, 1, len(text)
    while at < end:
        match = _LINE.match(text, at)
        if match:
            if match[1] is not None:
                yield number, match[1]
            number += 1
            at = match.end()
            continue
        start = at
        while text[at] in " \t\f\v":
            at += 1
        if not text.startswith("/*", at):
            return
        depth = 0
        while True:
            edge = _COMMENT_EDGE.search(text, at)
            if edge is None:
                return
            depth += 1 if edge[0] == "/*" else -1
            at = edge.end()
            if depth == 0:
                break
        number += text.count("\n", start, at)


def _refuse_near_miss(word: str, name: str, line: int) -> None:
    for prefix, meant in _NEAR.items():
        if word.lower().startswith(prefix):
            raise Permanent(Reason.SOURCE_INVALID, f"unknown header field {word!r}: write {meant!r}", place=Place(name, line))


def _title(line: _Line, name: str, number: int) -> str | None:
    match = _NUMBER.match(line.text)
    if match is None:
        return line.text or None
    said = match[1] or match[2]
    if number_of(said) != number:
        message = f"the header says migration {said[:80]} but the file's name says {name.split('_')[0]}: make them agree"
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(name, line.number))
    return line.text[match.end() :].strip() or None


def _prose(lines: list[_Line]) -> str | None:
    """The field's text up to the first empty comment line, on one line."""
    words = list[str]()
    for line in lines:
        if line.text:
            words.append(line.text)
        elif words:
            break
    return " ".join(words) or None


def _files_named(lines: list[_Line]) -> tuple[Dependency, ...]:
    return tuple(Dependency(match[0], line.number) for line in lines for match in _SQL_FILE.finditer(line.text))


def _dependencies(lines: list[_Line], name: str) -> tuple[Dependency, ...]:
    found = list[Dependency]()
    said = False  # an item or "None" has been read
    for line in lines:
        bullet = _BULLET.match(line.text)
        item = line.text[bullet.end() :] if bullet else line.text
        if not line.text:
            if said:
                break
        elif _NONE.fullmatch(item):
            said = True
        elif _DEPENDENCY.match(item):
            said = True
            found += _dependency_items(item, line.number, name)
        elif bullet or not said:
            raise _bad_dependency(item, line.number, name)
    return tuple(found)


def _dependency_items(item: str, line: int, name: str) -> Iterator[Dependency]:
    """`001_a.sql`, `001`, several with commas, each followed by a remark or by nothing."""
    at = 0
    while True:
        match = _DEPENDENCY.match(item, at)
        if match is None:
            raise _bad_dependency(item[at:], line, name)
        yield Dependency(match[2] if match[2].isdigit() else f"{match[2]}.sql", line)
        following = _NEXT.match(item, match.end())
        if following is None:
            break
        at = following.end()
    if not _REMARK.match(item, match.end()):
        raise _bad_dependency(item, line, name)


def _bad_dependency(item: str, line: int, name: str) -> Permanent:
    message = f"{item[:80]!r} is no dependency: write a file's name such as 001_create_platform_schema.sql, or None"
    return Permanent(Reason.SOURCE_INVALID, message, place=Place(name, line))


def _environments(lines: list[_Line], name: str, known: Sequence[str]) -> tuple[str, ...]:
    """`production`, `staging, production`, `Production-specific`, `production only`; `all` is every environment."""
    text, line = lines[0].text, lines[0].number
    if not text:
        items = [(item.number, _BULLET.sub("", item.text, count=1)) for item in lines[1:] if _BULLET.match(item.text)]
    else:
        items = [(line, word) for word in re.split(r"\s*(?:[,;/&]|\band\b)\s*", re.sub(r"\([^)]*\)", "", text))]
    allowed = list[str]()
    for at, item in items:
        word = item.strip().rstrip(".").lower()
        for candidate in (word, _ONLY.sub("", word)):
            if candidate in known:
                allowed.append(candidate)
                break
        else:
            if word == "all" and len(items) == 1:
                return ()
            message = f"unknown environment {item!r}: this set knows {', '.join(known)}; mend the header or add it to dbmigration.toml"
            raise Permanent(Reason.UNKNOWN_ENVIRONMENT, message, place=Place(name, at))
    if not allowed:
        message = f"Environment names none: write one of {', '.join(known)}, or leave the field out"
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(name, line))
    return tuple(dict.fromkeys(allowed))


def _transaction(line: _Line, name: str) -> bool:
    word = re.match(r"[\w-]*", line.text)
    choice = word[0].lower() if word else ""
    if choice not in ("none", "single", "required") or not _REMARK.match(line.text, len(choice)):
        message = (
            f"Transaction says {line.text[:80]!r}: write none (each statement on its own) or single (one transaction), or leave it out"
        )
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(name, line.number))
    return choice != "none"
