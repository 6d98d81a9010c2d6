"""What the database knows of its migrations."""

from dbmigration.migrations.model import History, HistoryTable
from dbmigration.postgres.session import Session


def read_history(session: Session, table: HistoryTable) -> History:
    """All that is recorded; empty when nothing is. Never writes."""
    raise NotImplementedError
