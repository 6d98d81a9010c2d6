"""Run a verify-NNN.sql: every error and every boolean that is not true is a failure."""

from dbmigration.migrations.model import MigrationFile
from dbmigration.postgres.session import Session
from dbmigration.postgres.settings import Execution


def verify_file(session: Session, file: MigrationFile, execution: Execution) -> bool:
    """Run the verify script of `file` in a transaction of its own that is always rolled back. False: the file has none."""
    raise NotImplementedError
