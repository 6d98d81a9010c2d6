"""What one step of a DatabaseRestore says of itself: written by `run/`, stored in status by the operator."""

from datetime import datetime

from pydantic import Field

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.report import Database, JobReport
from dbmigration.api.reported import Shown

UNVALIDATED_KEPT = 10
NAME_LIMIT = 200
"""Bytes of a constraint's name, or a file's, in a report."""


class RestoredDatabase(Shown):
    """The new database: what it holds is what the backup holds, down to the last row."""

    name: str = Field(max_length=256)
    """Its name when it was restored."""
    identity: str = Field(max_length=128)
    """System identifier and database oid: a rename changes neither."""
    tables: int
    """Tables whose rows were compared with the backup's."""
    rows: int
    """Rows in them; the values of each were compared."""
    sequences: int
    """Sequences whose values were compared."""
    large_objects: int
    """Large objects whose bytes were compared."""
    objects: int
    """Tables, indexes, constraints, functions and so on, which are those of the backup and have the same owners."""
    not_valid: tuple[str, ...] = Field(default=(), max_length=UNVALIDATED_KEPT)
    """The first constraints that are NOT VALID, as they were when the backup was taken."""
    restore_seconds: float
    """How long pg_restore took."""
    compare_seconds: float
    """How long it took to read both sides and compare them."""
    completed_at: datetime
    """When it got its name."""


class SwappedDatabase(Shown):
    """The swap: the restored database has the name that applications connect to."""

    name: str = Field(max_length=256)
    """The name that now leads to the restored database."""
    old_database: str | None = Field(default=None, max_length=256)
    """The name under which the database stays that had it before, with everything that was written since the backup."""
    completed_at: datetime
    """When both were renamed."""
    set_aside: tuple[str, ...] = Field(default=(), max_length=UNVALIDATED_KEPT)
    """The first files that the old database had and the restored one has not: they are RolledBack there, so that none of them runs again
    before its text changes or the annotation dbmigration.dev/retry of the DatabaseMigration does."""


class RestoreReport(JobReport):
    """`database`: the one in use, as the step met it. `backup`: the record beside the dump. Of `restored` and `swapped` there is what the
    step did."""

    database: Database | None = None
    backup: BackupRecord | None = None
    restored: RestoredDatabase | None = None
    swapped: SwappedDatabase | None = None
