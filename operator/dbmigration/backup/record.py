"""What is known of one backup, and the JSON beside it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from dbmigration.api.backup_record import BackupRecord


@dataclass(frozen=True, slots=True)
class Backup:
    """A dump that was read to its end; the fields mean what `api.backup_record.BackupRecord` says. `bytes` is the size of the dump.

    `snapshot_lsn`: a WAL position read just before pg_dump took its snapshot. What was committed up to it is in the dump; what was
    committed later may be missing.
    """

    uri: str
    bytes: int
    sha256: str
    server_version: str
    dump_version: str
    database: str
    snapshot_lsn: str | None
    started_at: datetime
    completed_at: datetime
    verified: bool
    restored_at: datetime | None = None
    format: str = "Custom"
    compression: str | None = None
    globals_uri: str | None = None
    globals_sha256: str | None = None
    globals_note: str | None = None

    def to_json(self) -> str:
        """The record as it stands beside the dump: camelCase, as in the report and in status."""
        return BackupRecord.model_validate(asdict(self)).model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n"


def read_record(path: Path) -> Backup:
    """The record in a .json file. Raises OSError, pydantic.ValidationError."""
    return Backup(**BackupRecord.model_validate_json(path.read_bytes()).model_dump())


def record_path(dump: Path) -> Path:
    """Where the record of a dump stands."""
    return dump.with_suffix(".json")
