"""What protects a database before a change: a verified dump, or what was declared in its place."""

from datetime import date, datetime

from dbmigration.api.reported import Shown


class BackupRecord(Shown):
    """A dump that was read to its end. It also stands as JSON beside the dump."""

    uri: str
    """Volume and file, or object."""
    bytes: int
    """Size of the dump."""
    sha256: str
    """SHA-256 of the dump as it was read back from where it is stored, in hexadecimal digits. Of a directory: of its SHA256SUMS, which has
    that of each of its files."""
    server_version: str
    """Version of the server it was taken from."""
    dump_version: str
    """Version of the pg_dump that took it."""
    database: str
    """Name of the database."""
    snapshot_lsn: str | None = None
    """Place in the write-ahead log when the dump began: what was written later is not in it."""
    started_at: datetime
    """When the dump began."""
    completed_at: datetime
    """When it was read to its end and had its final name."""
    verified: bool
    """It was read to its end, and what is stored has the SHA-256 of what was dumped."""
    restored_at: datetime | None = None
    """When it was restored, by a rehearsal or a DatabaseRestore, and every row, object and owner in the copy was as in the backup."""
    format: str = "Custom"
    """pg_dump's format: Custom, one file, or Directory, a folder."""
    compression: str | None = None
    """How it is compressed, where that was asked for: none, gzip, lz4 or zstd, and the level."""
    globals_uri: str | None = None
    """The server's roles (without passwords) and tablespaces beside it, as SQL: no dump of one database has them."""
    globals_sha256: str | None = None
    """SHA-256 of that file."""
    globals_note: str | None = None
    """Why there is no such file."""


class DeclaredBackup(Shown):
    """What was declared to protect the database before a change, and where the write-ahead log was then. Nobody proved it."""

    provider: str
    """Who takes the backups, and under which name."""
    recovery_point: str | None = None
    """How much can be lost at most, as the provider promises."""
    restore_tested_on: date | None = None
    """The day of the last restore that was tried."""
    restore_guide: str | None = None
    """Where it stands how to restore."""
    lsn: str | None = None
    """Place in the write-ahead log before the change: recovery_target_lsn of a recovery that undoes it."""
    at: datetime
    """When that was."""

    def __str__(self) -> str:
        """In one sentence, for a person who may have to go back."""
        lost = f", at most {self.recovery_point} are lost" if self.recovery_point else ""
        tested = f", restore tested on {self.restore_tested_on}" if self.restore_tested_on else ""
        lsn = f"LSN {self.lsn}, " if self.lsn else ""
        guide = f"; how to restore: {self.restore_guide}" if self.restore_guide else ""
        return f"declared, not proved: {self.provider}{lost}{tested}. Before the change it was {lsn}{self.at:%Y-%m-%dT%H:%M:%SZ}{guide}"
