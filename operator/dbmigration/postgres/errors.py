"""What PostgreSQL's errors mean for a run, and how much of them may be shown.

Sources: PostgreSQL manual, appendix A (SQLSTATE classes) and 55.8 (error fields).
"""

import re
from dataclasses import dataclass

import psycopg
from psycopg.pq import DiagnosticField as Field
from psycopg.pq.abc import PGresult

from dbmigration.api.reasons import Reason
from dbmigration.errors import LACKS_RIGHT, DbmigrationError, Permanent, Place, Transient

RETRIED = frozenset({"55P03", "40P01", "40001"})
"""Lock not available, deadlock, serialization failure: the only errors after which a whole file is tried again at once."""

QUERY_CANCELED = "57014"

_FILES = frozenset({"58P01", "58P02"})
"""Undefined file, duplicate file: no trouble of the machine, as the rest of class 58 is, and another attempt finds them as they are."""

_NAMES_ONLY = frozenset({"08", "0A", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57"})
"""Classes whose primary message quotes identifiers and no row value (the values are in DETAIL), so what it quotes may be shown.

Everything else is masked: class 22 quotes the value that was no good, P0 is whatever a function's author wrote.
"""

_QUOTED = re.compile(r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|„[^“]*“|«[^»]*»|»[^«]*«', re.DOTALL)
_LITERAL_TOKEN = re.compile(r"""(["»«„])[EeBbXxNnUu]?&?['"$0-9.].*""", re.DOTALL)
"""Class 42 ends with the token that the parser stumbled over; when it is a literal it is a value."""

_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class ServerError:
    """An ErrorResponse. `sqlstate` None: libpq's own words, the connection is gone. `position`: characters from 1 in the message sent."""

    sqlstate: str | None
    message: str
    position: int | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None

    @classmethod
    def from_result(cls, result: PGresult) -> "ServerError":
        def text(field: Field) -> str | None:
            value = result.error_field(field)
            return value.decode(errors="replace") if value is not None else None

        position = text(Field.STATEMENT_POSITION)
        return cls(
            sqlstate=text(Field.SQLSTATE),
            message=text(Field.MESSAGE_PRIMARY) or (result.error_message or b"").decode(errors="replace").strip(),
            position=int(position) if position else None,
            detail=text(Field.MESSAGE_DETAIL),
            hint=text(Field.MESSAGE_HINT),
            context=text(Field.CONTEXT),
        )

    @classmethod
    def from_exception(cls, error: psycopg.Error) -> "ServerError":
        diag = error.diag
        return cls(
            sqlstate=error.sqlstate,
            message=diag.message_primary or str(error).strip(),
            position=int(diag.statement_position) if diag.statement_position else None,
            detail=diag.message_detail,
            hint=diag.message_hint,
            context=diag.context,
        )

    @property
    def values(self) -> str | None:
        """What may hold row values: the unmasked message, DETAIL, HINT and CONTEXT."""
        named = (("DETAIL", self.detail), ("HINT", self.hint), ("CONTEXT", self.context))
        return "\n".join([self.message, *(f"{name}: {text}" for name, text in named if text)])

    @property
    def masked(self) -> str:
        return mask_message(self.sqlstate, self.message)


def mask_message(sqlstate: str | None, message: str) -> str:
    """The primary message on one line of at most 500 characters, with everything in quotes that may be a value replaced by ***."""
    state = sqlstate or ""
    if state[:2] not in _NAMES_ONLY and sqlstate is not None:
        message = _QUOTED.sub(lambda m: m[0][0] + "***" + m[0][-1], message)
    elif state[:2] == "42":
        message = _LITERAL_TOKEN.sub(r"\1***", message)
    message = " ".join(message.split())
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def classify(error: ServerError, *, place: Place | None = None, after_sql: bool = False) -> DbmigrationError:
    """What a run does about an error of the server. `after_sql`: a migration's SQL had begun."""
    where = place or Place()
    where = Place(where.file, where.line, error.sqlstate, where.statement)
    state = error.sqlstate
    message = error.masked
    kind = (state or "")[:2]
    if state is None or kind == "08" or state in ("57P01", "57P02", "57P05"):
        reason, message = Reason.CONNECTION_LOST, f"the connection to the database was lost: {message}"
    elif state in RETRIED:
        reason = Reason.LOCK_TIMEOUT
    elif state == QUERY_CANCELED:
        reason, message = Reason.DEADLINE_EXCEEDED, f"{message} (a statement timeout, or somebody cancelled it)"
    elif kind in ("53", "57") or (kind == "58" and state not in _FILES):
        reason = Reason.DATABASE_UNAVAILABLE
    elif state == "25006":
        reason = Reason.DATABASE_READ_ONLY
    elif state == LACKS_RIGHT and not after_sql:
        reason, message = Reason.PERMISSION_DENIED, f"{message}: grant that right to the role that runs migrations"
    else:
        if state == "58P01":
            message = f"{message} (on the server: install the package of that extension or library there)"
        elif state == LACKS_RIGHT:
            message = f"{message} (for the role that runs migrations: grant it that right, or make it the owner)"
        return Permanent(Reason.SQL_FAILED, message, place=where, values=error.values)
    return Transient(reason, message, place=where, values=error.values, after_sql=after_sql)


_AT_CONNECT: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (Reason.POOLER_DETECTED, ("unsupported startup parameter",)),
    (
        Reason.AUTHENTICATION_FAILED,
        (
            "authentication failed",
            "no password supplied",
            "no pg_hba.conf entry",
            "is not permitted to log in",
            "pg_hba.conf rejects",
            "role ",
        ),
    ),
    (Reason.PERMISSION_DENIED, ("permission denied for database",)),
)


def classify_connect(error: psycopg.Error, password: str | None) -> DbmigrationError:
    """A connection that did not come about: always transient, for servers start and Secrets rotate.

    libpq gives no SQLSTATE before a connection stands, so the server's English words tell the reasons apart; in another language all of
    them are DATABASE_UNAVAILABLE.
    """
    text = " ".join(str(error).split())
    if password:
        text = text.replace(password, "***")
    reason = next((r for r, words in _AT_CONNECT if any(w in text for w in words)), Reason.DATABASE_UNAVAILABLE)
    if reason is Reason.POOLER_DETECTED:
        text = f"a connection pooler stands in front of the database ({text}): give the address of the server itself"
    return Transient(reason, text[:_LONGEST_MESSAGE])
