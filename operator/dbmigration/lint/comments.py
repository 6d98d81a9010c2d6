"""`-- dbmigration: ignore RULE because …`: a finding that a person has looked at, and why it is no danger here.

The comment stands above a statement, inside it or behind it on its last line, and is about that statement; `ignore-file` is about the
whole file. Several rules are parted by commas. Without a reason it ignores nothing and is itself a finding, and so is one that nothing
needs any more. In a string or in COPY data it is no comment.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dbmigration.migrations.part import WHOLE, Part, open_part
from dbmigration.migrations.statements import Statement

MARKER: Final = b"dbmigration:"

_COMMENT = re.compile(rb"--[ \t]*dbmigration:[ \t]*([^\r\n]*)")
_IGNORE = re.compile(r"(ignore(?:-file)?)\s+([\w-]+(?:\s*,\s*[\w-]+)*)\s*(?:\bbecause\b\s*(.*))?", re.IGNORECASE)
_WORDY: Final = 8
"""Characters of the shortest reason that can be one ("too small")."""


@dataclass(slots=True)
class Ignore:
    """One rule of one comment. `lines`: the first and last of the statement it is about, None: the whole file. `problem`: why it ignores
    nothing."""

    rule: str
    reason: str
    line: int
    lines: tuple[int, int] | None
    problem: str = ""
    used: bool = False


def may_hold_ignores(data: bytes) -> bool:
    return MARKER in data


class IgnoreFinder:
    """Is shown the statements of the file at `path` in order, then asked for its ignores."""

    def __init__(self, path: Path, part: Part = WHOLE) -> None:
        self._marks = _marks(path, part)
        self._at = 0
        self._found = list[Ignore]()
        self._end = 0  # the last line of the statement before, and of its data

    def see(self, statement: Statement) -> None:
        end = statement.line + statement.sql.count(b"\n")
        while self._at < len(self._marks) and self._marks[self._at][0] <= end:
            line, text = self._marks[self._at]
            self._at += 1
            if line < statement.line or line == end or _is_comment_in(statement, line):
                self._add(line, text, (statement.line, end))
        self._end = end

    def see_data(self, data: bytes) -> None:
        """Lines of COPY: what they hold is no comment."""
        self._end += data.count(b"\n")
        while self._at < len(self._marks) and self._marks[self._at][0] <= self._end:
            self._at += 1

    def finish(self) -> list[Ignore]:
        """Comments below the last statement are about the file."""
        for line, text in self._marks[self._at :]:
            self._add(line, text, None)
        return self._found

    def _add(self, line: int, text: str, lines: tuple[int, int] | None) -> None:
        match = _IGNORE.fullmatch(text.strip())
        if match is None:
            self._found.append(Ignore("", "", line, None, "is not `ignore RULE because …` or `ignore-file RULE because …`"))
            return
        word, rules, reason = match.groups()
        reason = (reason or "").strip(" .")
        problem = "" if len(reason) >= _WORDY else "says no reason: write `because` and why it is no danger here"
        where = None if word.lower() == "ignore-file" else lines
        for rule in re.split(r"\s*,\s*", rules):
            self._found.append(Ignore(rule.lower(), reason, line, where, problem))


def _marks(path: Path, part: Part) -> list[tuple[int, str]]:
    """(line, text behind the marker) of everything that looks like our comment, in order."""
    found = list[tuple[int, str]]()
    with io.BufferedReader(open_part(path, part)) as file:
        for number, line in enumerate(file, part.line):
            if MARKER in line and (match := _COMMENT.search(line)):
                found.append((number, match[1].decode("utf-8", "replace")))
    return found


def _is_comment_in(statement: Statement, line: int) -> bool:
    """Whether the marker on that line of the statement is a comment, and not a part of a string."""
    import postgast
    from postgast import pg_query_pb2 as pb

    try:
        tokens = postgast.scan(statement.sql.decode("utf-8", "replace")).tokens
    except postgast.PgQueryError:
        return False
    for token in tokens:
        marked = token.token == pb.SQL_COMMENT and MARKER in statement.sql[token.start : token.end]
        if marked and statement.line + statement.sql.count(b"\n", 0, token.start) == line:
            return True
    return False
