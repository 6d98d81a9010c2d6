"""Whether a backup can fit where it is to go, before it is begun: a dump that fills a volume takes an hour to say so."""

import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from dbmigration.api.reasons import Reason
from dbmigration.backup.dump import file_prefix, folder_of
from dbmigration.backup.record import Backup, read_record
from dbmigration.errors import Transient

_GROWTH: Final = 1.1
"""A database grows between two backups."""

_MEBI: Final = 1 << 20
_BEST_RATIO: Final = 10
_POOR_RATIO: Final = 2
"""What gzip makes of a database's files, indexes left out: seldom a tenth of their size or less, often half or less."""


def check_space(directory: Path, prefix: str, *, database: str, database_bytes: int, compression: str | None = None) -> str | None:
    """A warning when the backup may not fit. `database_bytes`: pg_database_size.

    The newest backup of the same database in the same folder, compressed alike, is the best estimate; without one the database's own size
    has to do. Raises
    Transient BACKUP_SPACE_LOW when the backup cannot fit by that measure, and BACKUP_FAILED where the volume cannot be looked at.
    """
    folder = directory / folder_of(prefix)
    try:
        free = _free(folder)
        last = _newest(folder, database, compression)
    except OSError as error:
        raise Transient(Reason.BACKUP_FAILED, f"{directory} cannot be looked at: {error.strerror}") from None
    needed = min(int(last.bytes * _GROWTH), database_bytes) if last is not None else database_bytes // _BEST_RATIO
    basis = f"the last one took {_megabytes(last.bytes)}" if last is not None else f"the database has {_megabytes(database_bytes)}"
    if free < needed:
        raise Transient(
            Reason.BACKUP_SPACE_LOW,
            f"a backup needs about {_megabytes(needed)} ({basis}) and {directory} has {_megabytes(free)} left: make room there",
        )
    if last is None and free < database_bytes // _POOR_RATIO:
        return f"the backup may not fit: {basis}, and {directory} has {_megabytes(free)} left"
    return None


def check_room(folder: Path, what: str, size: int) -> None:
    """Raises Transient RESTORE_SPACE_LOW where `folder` has less room than the `size` bytes that are to be fetched into it."""
    free = _free(folder)
    if free < size:
        raise Transient(
            Reason.RESTORE_SPACE_LOW,
            f"{what} has {_megabytes(size)}, and {folder.parent}, where it is fetched to, has {_megabytes(free)} left: in a pod, have it "
            f"run on a node with more room (spec.job.resources.requests: ephemeral-storage: {-(-size // _MEBI)}Mi, and no limit below "
            "that); on the command line, name a folder with more room in TMPDIR",
        )


def _free(folder: Path) -> int:
    """Bytes that an unprivileged process can still write where `folder` is, or will be made."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def _newest(folder: Path, database: str, compression: str | None) -> Backup | None:
    """The record of the newest backup; one that cannot be read is passed over."""
    for path in sorted(folder.glob(f"{file_prefix(database)}*.json"), reverse=True):
        try:
            record = read_record(path)
        except (OSError, ValidationError):
            continue
        if record.database == database and record.compression == compression:
            return record
    return None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
