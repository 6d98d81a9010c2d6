"""A script read for lint: its statements as operations. INSERTs and long runs of UPDATE and DELETE are counted, not parsed.

Memory follows the number of different statements, not the size of the file.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from dbmigration.errors import Permanent
from dbmigration.lint.comments import Ignore, IgnoreFinder, may_hold_ignores
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Insert, Operation, Query, Use
from dbmigration.migrations.checksum import BLOCK_BYTES, BOM
from dbmigration.migrations.model import Script as ScriptFile
from dbmigration.migrations.part import WHOLE, Part, open_part, read_part
from dbmigration.migrations.script import inspect, inspect_bytes, read_statements, read_statements_from
from dbmigration.migrations.shape import verify_shape
from dbmigration.migrations.statements import CopyData, Kind, Statement

WHOLE_BYTES: Final = 1024 * 1024
"""Files up to this size are read once into memory; bigger ones are streamed twice."""
PARSED_CHANGES: Final = 500
"""So many UPDATE, DELETE and MERGE of a file are parsed; of those after, only the ones without the word WHERE."""
PARSED_BYTES: Final = 4 * 1024 * 1024
"""Statements longer than this are not parsed: nobody writes them, and the tree of one takes 50 times its size."""

_COMMENT_LINES = re.compile(r"(?:[ \t]*(?:--[^\n]*)?\r?\n)*")
_FIRST_WORD = re.compile(rb"[A-Za-z]+")
_NAME = rb'("(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
_INSERT_INTO = re.compile(rb"insert\s+into\s+" + _NAME + rb"(?:\s*\.\s*" + _NAME + rb")?\s*(\(|values\b|default\b)?", re.IGNORECASE)
_INSERTED_ROWS = re.compile(rb"[^'()]*(?:\([^'()]*\))?\s*(?:overriding\s+\w+\s+value\s*)?(?:values\b|default\s+values\b)", re.IGNORECASE)
_WHERE = re.compile(rb"\bwhere\b", re.IGNORECASE)
_CHANGES: Final = (b"UPDATE", b"DELETE", b"MERGE")
_CONTROL: Final = (Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK)


class Role(Enum):
    """What a script is for."""

    MIGRATION = "migration"
    ROLLBACK = "rollback"
    VERIFY = "verify"
    SEED = "seed"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement that matters. `problem`: why it could not be parsed, with the offset in bytes.

    `opened`: the line of the BEGIN of the script's own transaction that it stands in, 0 for none.
    """

    index: int
    line: int
    kind: Kind
    word: bytes
    sql: bytes
    operations: tuple[Operation, ...] = ()
    problem: tuple[str, int] | None = None
    opened: int = 0

    def line_at(self, at: int) -> int:
        return self.line + self.sql.count(b"\n", 0, at)


@dataclass(slots=True)
class Script:
    """A script, read. `transactional`: it runs in one transaction; `wrapped`: by its own BEGIN and COMMIT.

    `statements` are those that do something or control transactions; `count` is all of them but BEGIN and COMMIT. `refused`: why it could
    not be read to its end, or cannot be run at all.
    """

    name: str
    role: Role
    statements: list[Parsed] = field(default_factory=list)
    ignores: list[Ignore] = field(default_factory=list)
    head: str = ""
    count: int = 0
    transactional: bool = True
    wrapped: bool = False
    refused: Permanent | None = None
    transaction_header: bool | None = None

    def has_field(self, field: str) -> bool:
        """Whether the comment block at the top has a line `-- Field: …`, whatever it says."""
        top = _COMMENT_LINES.match(self.head)
        return top is not None and re.search(rf"^\s*--[-\s]*{field}[ \t]*:", top[0], re.MULTILINE | re.IGNORECASE) is not None

    def in_transaction(self, statement: Parsed) -> bool:
        return self.transactional or bool(statement.opened)


def read_script(path: Path, role: Role, *, transaction: bool | None, size: int, part: Part = WHOLE) -> Script:
    """`size` in bytes; `transaction` is the script's own header's word. Raises nothing for what is wrong with the SQL: see `refused`."""
    script = Script(path.name, role, transaction_header=transaction)
    try:
        if size <= WHOLE_BYTES:
            data = read_part(path, part)
            marked = may_hold_ignores(data)
            blocks = [data]
            parts = read_statements_from(data, name=path.name, line=part.line)
            shape = inspect_bytes(data, transaction, name=path.name, line=part.line)
        else:
            with open_part(path, part) as file:
                blocks = [file.read(BLOCK_BYTES)]
            marked = any(may_hold_ignores(block) for block in _overlapping(path))
            parts = read_statements(path, part)
            shape = inspect(path, transaction, part)
        if role is Role.VERIFY:
            shape = verify_shape(shape, path.name)
    except Permanent as refusal:
        script.refused = refusal
        shape = None
        parts = read_statements_from(data, name=path.name, line=part.line) if size <= WHOLE_BYTES else read_statements(path, part)
    script.head = blocks[0].removeprefix(BOM).decode("utf-8", "replace")
    finder = IgnoreFinder(path, part) if marked else None
    try:
        _Reader(script).read(parts, finder)
    except Permanent as refusal:
        script.refused = script.refused or refusal
    if finder is not None:
        script.ignores = finder.finish()
    if shape is not None:
        script.transactional, script.wrapped = shape.transactional, shape.strip_outer
    else:
        script.transactional = transaction is not False and not any(s.kind is Kind.NO_TRANSACTION for s in script.statements)
    return script


def read_script_file(script: ScriptFile, role: Role) -> Script:
    """The same for a rollback or verify script."""
    size = script.part.size_in(script.path)
    return read_script(script.path, role, transaction=script.transaction, size=size, part=script.part)


class _Reader:
    """Fills a script's statements."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._changes = 0
        self._seen = dict[tuple[Relation, bool], int]()  # INSERT targets since the last other statement -> index in statements
        self._opened = 0

    def read(self, parts: Iterator[Statement | CopyData], finder: IgnoreFinder | None) -> None:
        for part in parts:
            if isinstance(part, CopyData):
                if finder is not None:
                    finder.see_data(part.data)
                continue
            if finder is not None:
                finder.see(part)
            if part.kind not in _CONTROL:
                self._script.count += 1
            self._see(part)

    def _see(self, part: Statement) -> None:
        found = _FIRST_WORD.match(part.sql)
        word = found[0].upper() if found else b""
        # Of a seed's INSERT the end counts: ON CONFLICT.
        if word == b"INSERT" and self._script.role is not Role.SEED and self._see_insert(part, word):
            return
        if word in _CHANGES:
            self._changes += 1
            if self._changes > PARSED_CHANGES and _WHERE.search(part.sql):
                return
        if part.kind in _CONTROL:
            self._keep(part, word)
            self._opened = (self._opened or part.line) if part.kind is Kind.BEGIN else 0
            return
        self._seen.clear()
        if len(part.sql) > PARSED_BYTES:
            self._keep(part, word, (Query(0),))
            return
        from dbmigration.lint.reading.statement import NotSql, read_operations

        try:
            self._keep(part, word, read_operations(part.sql))
        except NotSql as error:
            self._keep(part, word, problem=(error.message, error.at or 0))

    def _see_insert(self, part: Statement, word: bytes) -> bool:
        """False: it has to be parsed."""
        match = _INSERT_INTO.match(part.sql)
        if match is None:
            return False
        first, second, follows = match.groups()
        rows = bool(follows) and (follows != b"(" or _INSERTED_ROWS.match(part.sql, match.end() - 1) is not None)
        if not rows:
            return False
        table = Relation(_identifier(first), _identifier(second)) if second else Relation("", _identifier(first))
        key = (table, bool(self._opened))
        before = self._seen.get(key)
        if before is None:
            self._seen[key] = len(self._script.statements)
            self._keep(part, word, (Use(0, table), Insert(0, table)))
        else:
            old = self._script.statements[before]
            insert = old.operations[-1]
            if isinstance(insert, Insert):
                grown = (*old.operations[:-1], Insert(insert.at, insert.table, rows=insert.rows + 1))
                self._script.statements[before] = Parsed(old.index, old.line, old.kind, old.word, old.sql, grown, opened=old.opened)
        return True

    def _keep(self, part: Statement, word: bytes, operations: tuple[Operation, ...] = (), problem: tuple[str, int] | None = None) -> None:
        self._script.statements.append(Parsed(part.index, part.line, part.kind, word, part.sql, operations, problem, self._opened))


def _identifier(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _overlapping(path: Path) -> Iterator[bytes]:
    """Blocks of a file, each with the end of the one before, so that no marker is cut."""
    tail = b""
    with io.FileIO(path) as file:
        while block := file.read(BLOCK_BYTES):
            yield tail + block
            tail = block[-64:]
