"""What a person does who reads OutcomeUnknown: look whether the statement happened, finish or undo it, and say so."""

import re
from pathlib import Path

import psycopg

from dbmigration.migrations.script import read_statements
from dbmigration.migrations.statements import Statement
from tests.soak.checks import Broken

_LABEL = re.compile(rb"'([0-9]+\.[0-9]+)(?:/a)?'")


def decide(connection: "psycopg.Connection[tuple[object, ...]]", directory: Path) -> str:
    """Settle the one statement that stopped the run; what was found, in words. Raises Broken when it could have been known."""
    started = connection.execute("SELECT migration_name, statement FROM dbmigration.progress WHERE state = 'started'").fetchall()
    if not started:
        return _forget_temporary(connection)
    name, index = started[0]
    sql = next(part.sql for part in read_statements(directory / str(name)) if isinstance(part, Statement) and part.index == index)
    found = _LABEL.search(sql)
    if sql[:4] == b"VACU":
        return _forget_temporary(connection)
    if found is None or sql[:4] not in (b"CALL", b"DO $"):
        raise Broken(f"OutcomeUnknown for a statement that can be looked up or share a transaction: {sql.decode()}")
    label = found[1].decode()
    where = "WHERE migration_name = %s AND statement = %s"
    marks = [row[0] for row in connection.execute("SELECT label FROM marks WHERE label LIKE %s ORDER BY 1", (f"{label}/_",))]
    if not marks:
        connection.execute(f"DELETE FROM dbmigration.progress {where}", (name, index))
        return f"{sql[:4].decode().split()[0]}: nothing of it had happened"
    if marks == [f"{label}/a"]:
        connection.execute("INSERT INTO marks VALUES (%s, 'by hand')", (f"{label}/b",))
    elif marks != [f"{label}/a", f"{label}/b"]:
        raise Broken(f"{sql.decode()} ran more than once: {marks}")
    connection.execute(f"UPDATE dbmigration.progress SET state = 'done' {where}", (name, index))
    return f"{sql[:4].decode().split()[0]}: {'a part' if len(marks) == 1 else 'all'} of it had happened"


def _forget_temporary(connection: "psycopg.Connection[tuple[object, ...]]") -> str:
    """A file whose temporary table went with its session: undo what it did and let it begin again."""
    names = [row[0] for row in connection.execute("SELECT DISTINCT migration_name FROM dbmigration.progress")]
    if len(names) != 1 or "temporary" not in str(names[0]):
        raise Broken(f"OutcomeUnknown without a statement whose outcome is unknown, in {names}")
    number = int(str(names[0])[:3])
    connection.execute("DELETE FROM marks WHERE label LIKE %s", (f"{number}.%",))
    connection.execute("DELETE FROM dbmigration.progress")
    return "a temporary table was lost after more was done"
