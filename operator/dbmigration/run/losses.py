"""What rolling back would lose: what the rollback scripts drop or overwrite, and how much of it the database holds now.

It is an answer for a person who is about to agree. What only running the script could tell is said to be unknown, never left out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dbmigration.errors import DbmigrationError
from dbmigration.lint import operations as op
from dbmigration.lint.definitions import Object
from dbmigration.lint.names import Relation, quoted
from dbmigration.lint.operations import Operation
from dbmigration.lint.script import PARSED_CHANGES, Parsed, Role, Script, read_script_file
from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.postgres.session import Session
from dbmigration.postgres.sizes import TableSize, column_values, schema_tables, table_sizes

CANNOT_TELL: Final = "cannot tell what is lost"

_CALLED: Final = re.compile(rb"([A-Za-z_][\w$.]*)\s*\(")
_HARMLESS: Final = frozenset({"set_config", "current_setting", "setval", "values", "count", "exists", "now", "coalesce", "in", "as"})
_ALL_OF_IT: Final = re.compile(rb"DROP\s+(?:DATABASE|OWNED)\b", re.IGNORECASE)
_CASTS_OFF: Final = (Object.TYPE, Object.DOMAIN, Object.EXTENSION)


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing, with the place in the rollback script that takes it away."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.what} ({self.file}:{self.line})"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a script takes away, before anybody looked how much that is. `how`: a sentence around {size}; `column` "" for whole rows."""

    file: str
    line: int
    how: str
    table: Relation | None = None
    column: str = ""
    schema: str = ""
    optional: bool = False


def losses(session: Session, chosen: Iterable[MigrationFile], table: HistoryTable) -> tuple[Loss, ...]:
    """What the rollback scripts of `chosen`, run in this order, would take away. Reads catalogs, and counts in tables up to 8 MiB.

    The history table is left out. Raises as `Session.query` does when the catalogs cannot be read.
    """
    reader = _Reader()
    for file in chosen:
        if file.rollback is not None:
            reader.read(read_script_file(file.rollback, Role.ROLLBACK))
    return tuple(_measured(session, reader.taken, Relation(table.schema, table.table)))


class _Reader:
    """Goes through the scripts in the order in which they would run, and follows what is renamed on the way."""

    def __init__(self) -> None:
        self.taken: list[_Taken] = []
        self._was: dict[Relation, Relation] = {}  # what a table is called by then -> what it is called now
        self._made: set[Relation] = set()

    def read(self, script: Script) -> None:
        changes = 0
        for statement in script.statements:
            changes += statement.word in (b"UPDATE", b"DELETE", b"MERGE")
            if statement.problem is not None or _hidden(statement):
                what = "DO" if statement.word == b"DO" else statement.word.decode("ascii", "replace")
                self._take(script, statement.line, f"{what} …: {CANNOT_TELL}")
            for operation in statement.operations:
                self._look(operation, script, statement.line_at(operation.at))
        if changes >= PARSED_CHANGES:
            self._take(script, script.statements[-1].line, f"more than {changes} UPDATE and DELETE statements: {CANNOT_TELL}")

    def _look(self, operation: Operation, script: Script, line: int) -> None:
        match operation:
            case op.CreateTable(table=table):
                self._made.add(table)
            case op.Rename(kind=Object.TABLE, name=name, new=new, to_schema=moved):
                self._was[Relation(new, name.name) if moved else Relation(name.schema, new)] = self._now(name)
            case op.Drop(kind=Object.TABLE, name=name, optional=optional) if name not in self._made:
                self._take(script, line, f"table {name}: {{size}}", self._now(name), optional=optional)
            case op.Drop(kind=Object.SEQUENCE, name=name):
                self._take(script, line, f"sequence {name} and where it stands")
            case op.Drop(kind=Object.SCHEMA, name=name, cascade=True):
                self._take(script, line, "table {table} of schema " + quoted(name.name) + ": {size}", schema=name.name)
            case op.Drop(kind=kind, name=name, cascade=True) if kind in _CASTS_OFF:
                self._take(script, line, f"columns that need {kind.value} {name}: {CANNOT_TELL}")
            case op.DropColumn(table=table, column=column, optional=optional) if table not in self._made:
                self._take(script, line, f"column {table}.{quoted(column)}: {{size}}", self._now(table), column, optional=optional)
            case op.ChangeType(table=table, column=column, type=new):
                self._take(
                    script, line, f"column {table}.{quoted(column)} becomes {new}: {CANNOT_TELL} of {{size}}", self._now(table), column
                )
            case op.Truncate(table=table, cascade=cascade) if table not in self._made:
                more = ", and of the tables that refer to it" if cascade else ""
                self._take(script, line, f"all rows of {table}{more}: {{size}}", self._now(table))
            case op.Delete(table=table, filtered=filtered) if table not in self._made:
                how = f"some rows of {table}: {CANNOT_TELL} of {{size}}" if filtered else f"all rows of {table}: {{size}}"
                self._take(script, line, how, self._now(table))
            case op.Update(table=table, columns=columns) if table not in self._made:
                names = ", ".join(map(quoted, columns)) or "values"
                self._take(script, line, f"what {names} of {table} held: {CANNOT_TELL} of {{size}}", self._now(table))
            case _:
                pass

    def _now(self, name: Relation) -> Relation:
        return self._was.get(name, name)

    def _take(
        self,
        script: Script,
        line: int,
        how: str,
        table: Relation | None = None,
        column: str = "",
        *,
        schema: str = "",
        optional: bool = False,
    ) -> None:
        self.taken.append(_Taken(script.name, line, how, table, column, schema, optional))


def _hidden(statement: Parsed) -> bool:
    """What it does is not in its text: code that runs, or a function that is called."""
    if _ALL_OF_IT.match(statement.sql) or any(isinstance(each, op.Code) and each.runs for each in statement.operations):
        return True
    if not any(type(each) is op.Query for each in statement.operations):
        return False
    if statement.word in (b"SELECT", b"WITH", b"VALUES"):
        called = {match[1].decode("ascii", "replace").lower().rpartition(".")[2] for match in _CALLED.finditer(statement.sql)}
        return not called <= _HARMLESS
    return statement.word not in (b"COPY", b"CREATE")


def _measured(session: Session, taken: list[_Taken], history: Relation) -> Iterator[Loss]:
    schemas = sorted({each.schema for each in taken if each.schema})
    inside = [Relation(*pair) for pair in schema_tables(session, schemas)] if schemas else []
    names = {each.table for each in taken if each.table is not None} | set(inside)
    sizes = table_sizes(session, [str(name) for name in names]) if names else {}
    for each in taken:
        if each.schema:
            for name in inside:
                if name.schema == each.schema and name != history:
                    yield Loss(each.file, each.line, each.how.format(table=name, size=_amount(session, name, "", sizes.get(str(name)))))
        elif each.table is None:
            yield Loss(each.file, each.line, each.how)
        elif str(each.table) in sizes or not each.optional:
            yield Loss(each.file, each.line, each.how.format(size=_amount(session, each.table, each.column, sizes.get(str(each.table)))))


def _amount(session: Session, table: Relation, column: str, size: TableSize | None) -> str:
    if size is None:
        return f"cannot tell, {table} is not there now"
    try:
        exact = column_values(session, size, column) if size.countable else None
    except DbmigrationError:
        if session.connection.closed:
            raise
        exact = None  # no right to read it, or somebody holds a lock: the estimate has to do
    what = "value" if column else "row"
    if exact is not None:
        rows = f"{exact:,} {what}{'' if exact == 1 else 's'}"
    elif size.rows is None:
        rows = f"an unknown number of {what}s (never analyzed)"
    else:
        rows = f"values of about {size.rows:,} rows" if column else f"about {size.rows:,} rows"
    return rows if column else f"{rows}, {_bytes(size.bytes)}"


def _bytes(number: int) -> str:
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= least:
            return f"{number / least:.1f} {unit}"
    return f"{number} bytes"
