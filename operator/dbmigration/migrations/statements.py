"""What a script is made of: statements, the data of COPY, and how the whole may be run."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a statement means to whoever runs it, as far as its own text tells."""

    PLAIN = "plain"
    """Runs in a transaction and leaves nothing in the session that a resume would miss."""
    BEGIN = "begin"
    """BEGIN or START TRANSACTION."""
    COMMIT = "commit"
    """COMMIT, END, COMMIT AND CHAIN, PREPARE TRANSACTION, COMMIT PREPARED: what ends a transaction well."""
    ROLLBACK = "rollback"
    """ROLLBACK, ABORT, ROLLBACK PREPARED; not ROLLBACK TO a savepoint, which is PLAIN."""
    COPY_IN = "copy_in"
    """COPY … FROM STDIN: its data follow as `CopyData`."""
    NO_TRANSACTION = "no_transaction"
    """Cannot run in a transaction block."""
    SESSION = "session"
    """Changes a setting of the session: SET, RESET, set_config, SET ROLE. A resume replays it."""
    TEMPORARY = "temporary"
    """Leaves what dies with the session: a temporary object, PREPARE. A resume cannot replay it and starts over or refuses."""


@dataclass(slots=True)
class Statement:
    """One statement of a file. Not frozen, for speed alone: nobody changes one.

    `index` counts from 1. `line` is that of its first word, from 1. `sql` is the bytes as in the file, from its first word to its
    semicolon (none at the end of some files): CRLF kept, comments inside kept, comments before it left out.
    """

    index: int
    line: int
    sql: bytes
    kind: Kind


class CopyData(NamedTuple):
    """Whole lines of COPY data, at most about 64 KiB, bytes as in the file, without the closing `\\.`. A longer line stands alone."""

    data: bytes


class Shape(NamedTuple):
    """How a script may be run.

    `transactional`: in one transaction together with its history row. `why`: what forbids that, with the line, None when nothing does.
    `strip_outer`: the file's own single BEGIN … COMMIT is to be left out by whoever runs it in their transaction; `begin_sql` is that
    BEGIN where it has options (ISOLATION LEVEL …): run `BEGIN` with them. `statements` counts the outer BEGIN and COMMIT too.
    `undoes_itself`: nothing forbids it but that the file's own single transaction ends with ROLLBACK.
    """

    transactional: bool
    why: str | None
    strip_outer: bool
    statements: int
    begin_sql: bytes | None = None
    undoes_itself: bool = False
