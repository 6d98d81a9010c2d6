"""Run one migration file, or one rollback script, together with what the history says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dbmigration.migrations.model import HistoryTable, MigrationFile
from dbmigration.postgres.session import Session
from dbmigration.postgres.settings import Execution


@dataclass(frozen=True, slots=True)
class FileProgress:
    """Where a file stands. `statements` None: not counted. `message`: a warning of the server's or why we wait, without values."""

    file: str
    statement: int
    statements: int | None
    line: int
    bytes_done: int
    bytes_total: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class FileApplied:
    """`attempts` counts the tries that lock timeouts cost. `transactional`: body and history row were one transaction."""

    duration_ms: int
    statements: int
    attempts: int
    transactional: bool


class RolledBackBy(StrEnum):
    """Who took a file back: a file that a person rolled back stays so, one that a failed run undid is pending again."""

    PERSON = "rolled_back"
    FAILED_RUN = "undone"


def apply_file(
    session: Session,
    file: MigrationFile,
    *,
    table: HistoryTable,
    execution: Execution,
    run_id: str,
    on_progress: Callable[[FileProgress], None],
) -> FileApplied:
    """Run `file` with its verify script and record it."""
    raise NotImplementedError


def rollback_file(
    session: Session,
    file: MigrationFile,
    *,
    table: HistoryTable,
    execution: Execution,
    run_id: str,
    on_progress: Callable[[FileProgress], None],
    by: RolledBackBy = RolledBackBy.PERSON,
) -> FileApplied:
    """Run the file's rollback script and take its row out of the history, in one transaction."""
    raise NotImplementedError
