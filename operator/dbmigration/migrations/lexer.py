"""Where statements end: a script cut into single statements while it streams by, as psql would cut it.

A semicolon ends a statement unless it stands in quotes ('', E'', "", $tag$ $tag$), in a comment, in parentheses (CREATE RULE … DO (a; b))
or in the body of BEGIN ATOMIC … END. Two dashes begin a comment wherever they stand. standard_conforming_strings is taken to be on.

Most statements of a big file are of one simple form, which one regular expression takes in one step. What it cannot take, or what is cut
by the end of a block, goes the slow way, one token at a time. A block that ends in the middle of a token is lengthened by at least its own
size, so that a statement of any length costs time in proportion to it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations import tokens
from dbmigration.migrations.checksum import BLOCK_BYTES, BOM
from dbmigration.migrations.meta_command import is_skipped, refusal

COPY_CHUNK_BYTES: Final = 64 * 1024

_CUT: Final = -1  # the block ends before the token does
_C_LETTERS: Final = (ord("c"), ord("C"))
_SEMICOLON, _OPEN, _CLOSE, _BACKSLASH, _DOT, _NEWLINE = b";()\\.\n"
_QUOTE, _DOUBLE_QUOTE, _DOLLAR, _DASH, _SLASH, _STAR = b"'\"$-/*"
_WORD_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$") | frozenset(range(0x80, 0x100))
_DIGITS: Final = frozenset(b"0123456789")


class Splitter:
    """Reads a script through `read(bytes at most)` in blocks of `block` bytes, which holds a block and the longest statement in memory.

    Its first byte stands on line `line` of the file `name`.

    Errors are Permanent with `name` and a line: META_COMMAND for psql's backslash commands, SOURCE_INVALID for a quote, comment,
    parenthesis or BEGIN ATOMIC that is never closed, with the line where it began, and for SQL on the line of a COPY … FROM STDIN.
    """

    def __init__(self, read: Callable[[int], bytes], name: str, *, block: int = BLOCK_BYTES, line: int = 1) -> None:
        self._read = read
        self._name = name
        self._block = block
        self._buffer = b""
        self._at = 0  # where the next statement, or the space before it, begins in the buffer
        self._counted = 0  # up to here in the buffer, newlines are in self._line
        self._line = line
        self._closed = 0  # behind the last dollar quote of this statement: an identifier reaches back no further
        self._ended = False

    def statements(self) -> Iterator[tuple[int, bytes, bytes]]:
        """(line of the first word, the first word or b"", the statement with its semicolon) of each.

        After a COPY … FROM STDIN was yielded, `copy_data` must be used up before the next one is asked for.
        """
        while len(self._buffer) < len(BOM) and self._more():
            pass
        if self._buffer.startswith(BOM):
            self._at = self._counted = len(BOM)
        match_simple = tokens.SIMPLE.match
        while True:
            buffer, at, counted, line = self._buffer, self._at, self._counted, self._line
            while match := match_simple(buffer, at):
                start, end = match.span(1)
                sql, word = match.groups()
                if word[0] in _C_LETTERS:
                    if tokens.ATOMIC.search(sql):
                        break
                    line += buffer.count(b"\n", counted, start)
                    self._at, self._counted, self._line = end, start, line
                    yield line, word, sql
                    buffer, at, counted, line = self._buffer, self._at, self._counted, self._line
                    continue
                line += buffer.count(b"\n", counted, start)
                counted, at = start, end
                yield line, word, sql
            self._at, self._counted, self._line = at, counted, line
            if not self._find_statement():
                return
            sql = self._scan_statement()
            first = tokens.FIRST_WORD.match(sql)
            yield self._line, first[0] if first else b"", sql

    def copy_data(self) -> Iterator[bytes]:
        """The lines under the COPY statement that was yielded last, up to `\\.` or the end of the file, in chunks of whole lines."""
        self._pass_line_of_copy()
        while True:
            buffer, at = self._buffer, self._at
            end = self._copy_end()
            if end is not None and end.end() == len(buffer) and buffer[-1] != _NEWLINE and not self._ended:
                end = None
            whole_lines = len(buffer) if self._ended else max(buffer.rfind(b"\n", at) + 1, at)
            stop = whole_lines if end is None else end.start()
            while at < stop:
                cut = stop
                if stop - at > COPY_CHUNK_BYTES:
                    cut = buffer.rfind(b"\n", at, at + COPY_CHUNK_BYTES) + 1 or buffer.index(b"\n", at) + 1
                yield buffer[at:cut]
                at = cut
            self._at = end.end() if end is not None else at
            if end is not None or self._ended:
                return
            self._more()

    def _copy_end(self) -> re.Match[bytes] | None:
        """The first `\\.` line from `_at` on, where a line begins. Searched for as bytes: a pattern is ten times slower over much data."""
        buffer, at = self._buffer, self._at
        found = tokens.COPY_END.match(buffer, at)
        while found is None and (newline := buffer.find(b"\n\\.", at)) >= 0:
            at = newline + 1
            found = tokens.COPY_END.match(buffer, at)
        return found

    def _more(self) -> bool:
        """Forgets what is before `_at`, which becomes 0, and reads on. False when there is nothing more to read."""
        at = self._at
        if at > self._counted:
            self._line += self._buffer.count(b"\n", self._counted, at)
            self._counted = at
        rest = self._buffer[at:]
        more = b"" if self._ended else self._read(max(self._block, len(rest)))
        self._ended = not more
        self._buffer = rest + more
        self._counted -= at
        self._closed -= at
        self._at = 0
        return not self._ended

    def _line_of(self, at: int) -> int:
        if at >= self._counted:
            return self._line + self._buffer.count(b"\n", self._counted, at)
        return self._line - self._buffer.count(b"\n", at, self._counted)

    def _find_statement(self) -> bool:
        """Moves `_at` over space, comments and empty statements to a statement's first byte. False at the end of the script."""
        while True:
            match = tokens.LEAD.match(self._buffer, self._at)
            self._at = at = match.end() if match else self._at
            if at == len(self._buffer):
                if not self._more():
                    return False
                continue
            byte = self._buffer[at]
            if byte in (_DASH, _SLASH):
                end = self._token_end(at)
                if end != _CUT and not self._is_comment(at):
                    break
                if end == _CUT:
                    self._more()
                else:
                    self._at = end
            elif byte == _BACKSLASH:
                end = self._buffer.find(b"\n", at)
                if end < 0 and self._more():
                    continue
                end = end if end >= 0 else len(self._buffer)
                if not is_skipped(self._buffer[self._at : end]):
                    raise self._meta_command(self._at)
                self._at = end
            else:
                break
        self._line += self._buffer.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return True

    def _scan_statement(self) -> bytes:
        """The statement at `_at`, which moves behind it."""
        while (word := tokens.FIRST_WORD.match(self._buffer, self._at)) and word.end() == len(self._buffer) and self._more():
            pass
        routine = _Routine() if word and word[0].lower() == b"create" else None
        at = end = self._at  # `end`: behind the last token that is no space or comment
        self._closed = at
        opened = list[int]()  # the parentheses that are open, as offsets from the statement's beginning
        while True:
            run = (tokens.RUN if routine is None else tokens.WORDLESS_RUN).match(self._buffer, at)
            if run is not None:
                at = run.end()
                if run.lastindex:
                    end = at
                    if routine is not None:
                        routine.other()
            token = _CUT if at == len(self._buffer) else self._token_end(at)
            if token == _CUT:
                start = self._at
                more = self._more()
                at, end = at - start, end - start
                if not more and at == len(self._buffer):
                    break
                continue
            byte = self._buffer[at]
            if byte == _SEMICOLON and not opened and not (routine and routine.depth):
                sql = self._buffer[self._at : token]
                self._at = token
                return sql
            if byte == _OPEN:
                opened.append(at - self._at)
            elif byte == _CLOSE and opened:
                opened.pop()
            elif byte == _BACKSLASH:
                raise self._meta_command(at)
            if routine is not None:
                if tokens.FIRST_WORD.match(self._buffer, at):
                    routine.word(self._buffer[at:token].lower(), after_dot=self._buffer[at - 1] == _DOT, nested=bool(opened))
                    routine = None if routine.is_none else routine
                elif not self._is_comment(at):
                    routine.other()
            end = end if self._is_comment(at) else token
            at = token
        if opened:
            raise self._unclosed(self._at + opened[-1], "parenthesis", "a )")
        if routine is not None and routine.depth:
            raise self._unclosed(self._at, "BEGIN ATOMIC", "an END;")
        sql = self._buffer[self._at : end].rstrip()
        self._at = len(self._buffer)
        return sql

    def _is_comment(self, at: int) -> bool:
        return self._buffer.startswith((b"--", b"/*"), at)

    def _token_end(self, at: int) -> int:
        """Where the token at `at` ends, or _CUT when the block ends first. A token that never ends is an error."""
        buffer, ended = self._buffer, self._ended
        byte = buffer[at]
        if byte == _QUOTE:
            if tokens.E_PREFIX.search(buffer[max(at - 2, 0) : at]):
                return self._e_string_end(at)
            match = tokens.PLAIN_STRING.match(buffer, at)
            return match.end() if match else self._cut_or_unclosed(at, "quote", "a '")
        if byte == _DOUBLE_QUOTE:
            return buffer.find(b'"', at + 1) + 1 or self._cut_or_unclosed(at, "quoted name", 'a "')
        if byte == _DOLLAR:
            return self._dollar_end(at)
        if byte in (_DASH, _SLASH):
            if at + 1 == len(buffer) and not ended:
                return _CUT
            if buffer.startswith(b"--", at):
                match = tokens.LINE_END.search(buffer, at)
                return match.end() if match else len(buffer) if ended else _CUT
            if buffer.startswith(b"/*", at):
                return self._comment_end(at)
            return at + 1
        if word := tokens.FIRST_WORD.match(buffer, at):
            return _CUT if word.end() == len(buffer) and not ended else word.end()
        return at + 1

    def _e_string_end(self, at: int) -> int:
        """A string with backslash escapes, which another quote on a later line goes on with."""
        match = tokens.E_STRING.match(self._buffer, at)
        if match:
            following = tokens.NO_SPACE.search(self._buffer, match.end())
            if following is None:
                return match.end() if self._ended else _CUT
            lines = self._buffer[match.end() : following.start()]
            if following[0] != b"'" or not tokens.LINE_END.search(lines):
                return match.end()
        return self._cut_or_unclosed(at, "quote", "a '")

    def _dollar_end(self, at: int) -> int:
        buffer = self._buffer
        begin = at
        while begin > self._closed and buffer[begin - 1] in _WORD_BYTES:
            begin -= 1
        if begin < at and buffer[begin] not in _DIGITS and buffer[begin] != _DOLLAR:
            return at + 1  # a dollar inside an identifier
        tag = tokens.DOLLAR.match(buffer, at)
        if tag is None:
            return _CUT if not self._ended and tokens.DOLLAR_BEGUN.match(buffer, at) else at + 1
        close = buffer.find(tag[0], tag.end())
        if close >= 0:
            self._closed = close + len(tag[0])
            return self._closed
        return self._cut_or_unclosed(at, f"{tag[0].decode('utf-8', 'replace')} quote", "the same again")

    def _comment_end(self, at: int) -> int:
        depth = 0
        for edge in tokens.COMMENT_EDGE.finditer(self._buffer, at):
            depth += 1 if edge[0] == b"/*" else -1
            if depth == 0:
                return edge.end()
        return self._cut_or_unclosed(at, "comment", "a */ for each /*")

    def _cut_or_unclosed(self, at: int, what: str, end: str) -> int:
        if not self._ended:
            return _CUT
        raise self._unclosed(at, what, end)

    def _unclosed(self, at: int, what: str, end: str) -> Permanent:
        message = f"the {what} that begins here never ends: it wants {end}"
        return Permanent(Reason.SOURCE_INVALID, message, place=Place(self._name, self._line_of(at)))

    def _meta_command(self, at: int) -> Permanent:
        while at + 80 > len(self._buffer) and not self._ended:
            start = self._at
            self._more()
            at -= start
        return refusal(self._buffer[at : at + 80], name=self._name, line=self._line_of(at))

    def _pass_line_of_copy(self) -> None:
        """COPY's data begin on the next line; psql would run SQL on the same line after them, which nobody means."""
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if not self._more():
                end = len(self._buffer) - 1
                break
        rest = self._buffer[self._at : end + 1].strip()
        if rest and not rest.startswith(b"--"):
            message = "SQL on the line of COPY … FROM STDIN: its data begin on the next line, put the SQL after the closing \\."
            raise Permanent(Reason.SOURCE_INVALID, message, place=Place(self._name, self._line_of(self._at)))
        self._at = end + 1


class _Routine:
    """How deep the words of a CREATE FUNCTION or PROCEDURE are inside BEGIN ATOMIC … END. Fed with lower-case words in order."""

    def __init__(self) -> None:
        self.depth = 0
        self.is_none = False  # it creates something else
        self._decided = False
        self._before = b""

    def word(self, word: bytes, *, after_dot: bool, nested: bool) -> None:
        """`nested`: in parentheses, where CASE and END come in pairs anyway. `x.end` and `AS end` are names."""
        before, self._before = self._before, word
        if not self._decided:
            self._decided = word in (b"function", b"procedure")
            self.is_none = not self._decided and word not in (b"create", b"or", b"replace")
        elif nested or after_dot or before == b"as":
            return
        elif self.depth == 0:
            self.depth = int(word == b"atomic" and before == b"begin")
        elif word == b"case":
            self.depth += 1
        elif word == b"end":
            self.depth -= 1

    def other(self) -> None:
        """Something that is no word, space or comment stands here."""
        self._before = b""
