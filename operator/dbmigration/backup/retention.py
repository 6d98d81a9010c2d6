"""Which backups stay. Only whole, verified ones count, and the newest of each database is never removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError

from dbmigration.backup.cluster_globals import globals_path
from dbmigration.backup.manifest import folder_bytes
from dbmigration.backup.partial import remove_dump
from dbmigration.backup.record import Backup, read_record

DUMP_SUFFIX = ".dump"


@dataclass(frozen=True, slots=True)
class Stored:
    """A backup on a volume. `stored_bytes` None: the dump is gone, and only its record is left."""

    dump: Path
    record: Backup
    stored_bytes: int | None

    @property
    def counts(self) -> bool:
        """It was verified when it was taken, and still has its size. Its bytes are proved by a check, which takes as long as a read."""
        return self.record.verified and self.stored_bytes == self.record.bytes

    @property
    def state(self) -> str:
        if self.stored_bytes is None:
            return "dump is gone"
        if self.stored_bytes != self.record.bytes:
            return f"damaged: {self.stored_bytes} bytes"
        return "verified" if self.record.verified else "not verified"


@dataclass(frozen=True, slots=True)
class Retention:
    """A backup is kept if either says so: it is among the newest `keep_last`, or younger than `keep_days`. None: says nothing."""

    keep_last: int | None = None
    keep_days: int | None = None


def find_backups(folder: Path) -> list[Stored]:
    """All in `folder` and below it that have a record: by folder and database, newest first. Other .json files are passed over."""
    found = []
    for path in folder.rglob("*.json"):
        try:
            record = read_record(path)
        except (OSError, ValidationError):
            continue
        dump = path.with_suffix(DUMP_SUFFIX)
        found.append(Stored(dump, record, _size(dump)))
    return in_order(found)


def in_order(found: Iterable[Stored]) -> list[Stored]:
    """By folder and database, newest first."""
    return sorted(sorted(found, key=lambda each: each.record.completed_at, reverse=True), key=_group)


def outdated(found: Iterable[Stored], retention: Retention, now: datetime) -> list[Stored]:
    """What `retention` lets go of `find_backups`. Records without a dump go too; a damaged dump stays until a person has looked."""
    gone: list[Stored] = []
    for _, group in groupby(found, _group):
        stored = list(group)
        counted = [each for each in stored if each.counts]
        gone += [each for each in stored if each.stored_bytes is None]
        gone += [each for place, each in enumerate(counted) if place and not _kept(place, each, retention, now)]
    return gone


def remove(stored: Sequence[Stored]) -> None:
    """The dump first: a record that is left over says what is missing, and goes with the next removal. Raises OSError."""
    for each in stored:
        remove_dump(each.dump)
        globals_path(each.dump).unlink(missing_ok=True)
        each.dump.with_suffix(".json").unlink(missing_ok=True)


def _size(dump: Path) -> int | None:
    if dump.is_dir():
        return folder_bytes(dump)
    return dump.stat().st_size if dump.is_file() else None


def _kept(place: int, stored: Stored, retention: Retention, now: datetime) -> bool:
    if retention.keep_last is None and retention.keep_days is None:
        return True
    young = retention.keep_days is not None and now - stored.record.completed_at < timedelta(days=retention.keep_days)
    return young or (retention.keep_last is not None and place < retention.keep_last)


def _group(stored: Stored) -> tuple[str, str]:
    return str(stored.dump.parent), stored.record.database
