"""What two clients sent to the server for the same file, read back from the server's own log and compared statement by statement.

What is compared is what PostgreSQL executes: each logged message is cut by PostgreSQL's own grammar and read by its scanner (postgast), not
by our lexer. Space and comments between two tokens count for nothing there: psql leaves out empty lines, and what follows the last
semicolon of a file we leave out. What stands in quotes is compared byte for byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import postgast

from dbmigration.migrations.statements import Shape
from tests.engine.conftest import Database

_OURS = re.compile(
    rb"(?:BEGIN|START TRANSACTION)\b|COMMIT\Z|ROLLBACK\Z"
    rb"|SET LOCAL (?:lock_timeout|session_authorization|role|search_path) |SET lock_timeout = |SHOW lock_timeout\Z"
    rb"|RESET (?:SESSION AUTHORIZATION|ROLE|ALL)\Z|SET CONSTRAINTS ALL IMMEDIATE\Z"
    rb"|CLOSE ALL\Z|DEALLOCATE ALL\Z|UNLISTEN \*\Z|DISCARD (?:PLANS|TEMP|SEQUENCES)\Z"
    rb"|(?:INSERT INTO|DELETE FROM|UPDATE|CREATE TABLE|ALTER TABLE|LOCK TABLE) \"?dbmigration\"?\.|CREATE SCHEMA \"?dbmigration\"?\Z"
    rb"|SELECT\b.*\b(?:dbmigration|pg_catalog)\b",
    re.DOTALL,
)
"""The statements that are no file's: of the transaction, of the session's state, of schema dbmigration, of the catalog and the lock."""

_COMMENTS = (postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT)


class Differs(AssertionError):
    """The server was not sent the same."""


@dataclass(frozen=True)
class Executed:
    """A statement that the server was sent: equal when its tokens are."""

    tokens: tuple[bytes, ...]
    text: bytes = field(compare=False)


def statements_of(database: Database, application_name: str, since: int) -> list[Executed]:
    """Every statement that the server was sent by this application, in order. `since`: the log's size before, in bytes."""
    with database.server.log.open("rb") as log:
        log.seek(since)
        return [statement for message in _messages(log.read(), application_name) for statement in _cut(message)]


def compare(by_psql: list[Executed], by_us: list[Executed], shape: Shape) -> None:
    """Raises Differs unless ours is psql's, in its order, with only statements of our own between.

    Where the file's own BEGIN and COMMIT are left out, they are left out of psql's, too. A CALL or DO that turns out to commit was tried in
    a transaction first: it may come twice, with a ROLLBACK between.
    """
    wanted = [statement for statement in by_psql if not (shape.strip_outer and _is_outer(statement))]
    rest = iter(by_us)
    before: Executed | None = None
    for number, statement in enumerate(wanted, 1):
        found = _pass_over_ours(rest, before, statement)
        if found != statement:
            instead = "nothing" if found is None else repr(found.text)
            raise Differs(f"statement {number} is {statement.text!r} of psql's and {instead} of ours")
        before = statement
    if found := _pass_over_ours(rest, before, None):
        raise Differs(f"after the last statement we sent {found.text!r}")


def _pass_over_ours(rest: Iterator[Executed], before: Executed | None, wanted: Executed | None) -> Executed | None:
    """The next statement that is wanted or no one's of ours; None at the end."""
    rolled_back = False
    for ours in rest:
        again = rolled_back and ours == before and ours.tokens[0] in (b"CALL", b"DO")
        rolled_back = rolled_back or ours.text == b"ROLLBACK"
        if ours == wanted or not (again or _OURS.match(ours.text)):
            return ours
    return None


def _is_outer(statement: Executed) -> bool:
    words = [token.upper() for token in statement.tokens[:2]]
    return words[0] in (b"BEGIN", b"COMMIT", b"END") or words == [b"START", b"TRANSACTION"]


def _cut(message: bytes) -> Iterator[Executed]:
    text = message.decode()
    tokens = [(token.start, message[token.start : token.end]) for token in postgast.scan(text).tokens if token.token not in _COMMENTS]
    for raw in postgast.parse(text).stmts:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(message)
        own = [(start, token) for start, token in tokens if raw.stmt_location <= start < end]
        while own[0][1] == b";":  # an empty statement before it
            own = own[1:]
        yield Executed(tuple(token for _, token in own), message[own[0][0] : end].rstrip())


def _messages(log: bytes, application_name: str) -> Iterator[bytes]:
    """Further lines of a message begin with a tab that the server put there. Statements with parameters come as `execute <unnamed>`."""
    logged = re.compile(re.escape(f"[{application_name}] LOG:  ".encode()) + rb"(?:statement|execute [^:]*): ")
    for entry in re.split(rb"\n(?!\t)", log):
        if found := logged.search(entry):
            yield entry[found.end() :].replace(b"\n\t", b"\n")
