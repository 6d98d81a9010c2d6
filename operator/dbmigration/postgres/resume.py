"""Taking up an unfinished file: what is done must be what the file still says, and what the session had must be there again."""

import re
from dataclasses import dataclass, field

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.statements import Kind, Statement
from dbmigration.postgres.batch import Piece, Sender
from dbmigration.postgres.recover import Note
from dbmigration.postgres.schema import SCHEMA
from dbmigration.postgres.session import Session

DISCARD_ALL = re.compile(rb"DISCARD\s+ALL\b", re.IGNORECASE)
"""It would give the lock back with the rest, so we do everything else that it does; nothing from before it is left to take up."""


class StartOver(Exception):
    """Nothing but settings and temporary objects was made, so the file begins again. `refusal` is for who finds that more was."""

    def __init__(self, refusal: Permanent) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Intent:
    """A statement that was about to run when its run ended."""

    statement: int
    digest: str
    noted: Note | None


@dataclass(slots=True)
class Progress:
    """What earlier tries did. `hashes` of the statements done, from the first. `same_session`: those tries were this very session's."""

    hashes: tuple[str, ...]
    intent: Intent | None
    same_session: bool
    _replay: list[Piece] = field(default_factory=list)
    _temporary: Statement | None = None
    _lasting: bool = False
    _taken_up: bool = False
    _replayed_before: int | None = None
    """In a transaction of the file: how much of `_replay` is from before it."""

    @property
    def done(self) -> int:
        return len(self.hashes)

    def pass_over(self, statement: Statement, digest: str, file: str) -> None:
        """A statement that is done. Raises Permanent PARTIAL_FILE_EDITED when it is no longer what was run."""
        if digest != self.hashes[statement.index - 1]:
            raise Permanent(
                Reason.PARTIAL_FILE_EDITED,
                f"statement {statement.index} of this unfinished file was already run and then edited: restore its text; only what comes "
                f"after statement {self.done} may change",
                place=Place(file, statement.line),
            )
        if DISCARD_ALL.match(statement.sql):
            self._replay.clear()
            self._temporary = None
        elif statement.kind is Kind.BEGIN:
            self._replayed_before = len(self._replay)
        elif statement.kind is Kind.ROLLBACK:
            del self._replay[self._replayed_before :]  # what it set was undone with the rest
        elif statement.kind is Kind.SESSION:
            self._replay.append(Piece(statement.sql, file, statement.line))
        elif statement.kind is Kind.TEMPORARY:
            self._temporary = self._temporary or statement
        else:
            self._lasting = True

    def take_up(self, sender: Sender, file: str) -> None:
        """Before the first statement that is to run: the session gets back the settings that the statements done had made.

        Raises StartOver, or Permanent OUTCOME_UNKNOWN when a temporary object was lost that what follows may need.
        """
        if self._taken_up or self.same_session:
            return
        self._taken_up = True
        if self._temporary is not None:
            refusal = Permanent(
                Reason.OUTCOME_UNKNOWN,
                f"statement {self._temporary.index} made a temporary object or a prepared statement that ended with its session, and "
                f"more is done: undo it by hand and delete the file's rows from {SCHEMA}.progress",
                place=Place(file, self._temporary.line),
            )
            raise refusal if self._lasting else StartOver(refusal)
        sender.add(*self._replay)
        sender.flush()

    def take_intent(self) -> Intent | None:
        """The open intent, once."""
        intent, self.intent = self.intent, None
        return intent

    def end(self, file: str, last: int) -> None:
        """After the last statement. Raises Permanent PARTIAL_FILE_EDITED when more was done than the file now has."""
        reached = self.done + (self.intent is not None)
        if last < reached:
            raise Permanent(
                Reason.PARTIAL_FILE_EDITED,
                f"an earlier run came as far as statement {reached}, and now the file has {last}: restore its text",
                place=Place(file),
            )


def read_progress(session: Session, name: str, *, same_session: bool) -> Progress:
    """Raises as `Session.query` does."""
    rows = session.query(
        f"SELECT statement, state, hash, detail FROM {SCHEMA}.progress WHERE migration_name = %s ORDER BY statement", (name,)
    )
    hashes = tuple(digest for _, state, digest, _ in rows if state == "done")
    started = [Intent(statement, digest, detail) for statement, state, digest, detail in rows if state == "started"]
    return Progress(hashes, started[0] if started else None, same_session)
