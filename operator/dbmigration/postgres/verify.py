"""Run a verify-NNN.sql: every error, and every query whose single boolean is not true, is a failure."""

from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.model import MigrationFile, Script
from dbmigration.migrations.shape import verify_shape
from dbmigration.postgres import record
from dbmigration.postgres.batch import Piece, Sender
from dbmigration.postgres.reading import Source, feed, source_of
from dbmigration.postgres.session import Session
from dbmigration.postgres.settings import Execution

_BOOLEAN = 16
"""The oid of type boolean (pg_type.dat)."""


class Verdict:
    """Looks at the rows of a verify script's queries."""

    def __init__(self) -> None:
        self._piece: Piece | None = None
        self._rows = 0
        self._failed: Permanent | None = None

    def look(self, piece: Piece, result: PGresult) -> None:
        """A query of one boolean column fails with the first value that is not true, and when it has no row at all.

        What has other columns is there to be read, or to fail by itself.
        """
        if self._failed is not None or result.nfields != 1 or result.ftype(0) != _BOOLEAN:
            return
        if piece is not self._piece:
            self._piece, self._rows = piece, 0
        self._rows += result.ntuples
        if any(result.get_value(row, 0) != b"t" for row in range(result.ntuples)):
            self._fail(piece, result, "is not true")
        elif self._rows == 0 and result.status == ExecStatus.TUPLES_OK:
            self._fail(piece, result, "has no row")

    def raise_if_failed(self) -> None:
        """Raises Permanent VERIFY_FAILED that names the query's line and column."""
        if self._failed is not None:
            raise self._failed

    def _fail(self, piece: Piece, result: PGresult, why: str) -> None:
        from dbmigration.migrations.mask import mask_literals

        column = (result.fname(0) or b"?").decode(errors="replace")
        place = Place(piece.file, piece.line, statement=mask_literals(piece.sql.decode(errors="replace")))
        self._failed = Permanent(Reason.VERIFY_FAILED, f"{column} {why}", place=place)


def verify_source(session: Session, script: Script) -> Source:
    """Raises Permanent SOURCE_INVALID for a script that could not be undone."""
    source = source_of(session, script, transaction=script.transaction)
    return source._replace(shape=verify_shape(source.shape, script.name))


def add_verify(sender: Sender, source: Source) -> None:
    """Hand a verify script to `sender`, in a savepoint of the open transaction, with the session's own role and settings."""
    sender.say(*record.AS_OURSELVES, "SAVEPOINT dbmigration_verify")
    feed(sender, source, None, verifies=True)
    sender.say("ROLLBACK TO SAVEPOINT dbmigration_verify", "RELEASE SAVEPOINT dbmigration_verify")


def verify_file(session: Session, file: MigrationFile, execution: Execution) -> bool:
    """Run the verify script of `file` in a transaction of its own that is always rolled back. False: the file has none.

    Raises Permanent VERIFY_FAILED and SOURCE_INVALID, Transient as `errors.classify` says.
    """
    if file.verify is None:
        return False
    source = verify_source(session, file.verify)
    verdict = Verdict()
    sender = Sender(session, lambda piece, rows: verdict.look(piece, rows) if piece.verifies else None)
    session.used = True
    try:
        sender.say(begin(source), f"SET LOCAL lock_timeout = {execution.lock_timeout_ms}")
        feed(sender, source, None, verifies=True)
        sender.say("ROLLBACK")
        sender.flush()
        verdict.raise_if_failed()
    finally:
        session.clear()
    return True


def begin(source: Source) -> str:
    """The BEGIN that the script asks for: its own, where that has options."""
    return (source.shape.begin_sql or b"BEGIN").decode().rstrip(";")
