"""Is this backup still what was written? Asked of a file or folder on a volume, with no database at hand."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup.access import no_access
from dbmigration.backup.clients import Client, choose_restore_client
from dbmigration.backup.cluster_globals import globals_path
from dbmigration.backup.manifest import MANIFEST, folder_bytes, hash_file, hash_folder, read_manifest
from dbmigration.backup.record import Backup, read_record, record_path
from dbmigration.backup.stream import StopRequest, first_words
from dbmigration.errors import Permanent, Place


def check_backup(dump: Path, *, clients: Sequence[Client] | None = None) -> Backup:
    """Size and SHA-256 against the record beside the dump (and of its globals), then a full read by pg_restore. Returns the record.

    A truncated dump and a flipped bit fail here; `pg_restore --list` would accept both. Raises Permanent(BACKUP_FAILED) naming the file
    and what is wrong, Transient(CLIENT_VERSION_MISMATCH) when no pg_restore here can read the dump. Memory is flat.
    """
    record = check_bytes(dump)
    if record.globals_sha256 is not None:
        _check_globals(globals_path(dump), record)
    client = choose_restore_client(record.dump_version, clients)
    read = subprocess.run(
        [client.pg_restore, "--file=/dev/null", dump],
        env=no_access(),
        capture_output=True,
        check=False,
    )
    if read.returncode != 0:
        raise _damaged(dump, f"cannot be read to its end, pg_restore says: {first_words(read.stderr, ())}")
    return record


def check_bytes(dump: Path, stop: StopRequest | None = None) -> Backup:
    """Size and SHA-256 against the record beside the dump. Raises as `check_backup`, and Transient INTERRUPTED."""
    record = _read_record(dump)
    if record.format == DumpFormat.DIRECTORY:
        _check_folder(dump, record, stop)
        return record
    try:
        descriptor = os.open(dump, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, sha256 = hash_file(descriptor, stop)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise _damaged(dump, f"cannot be read: {exc.strerror}") from exc
    if size != record.bytes:
        raise _damaged(dump, f"has {size} bytes, its record says {record.bytes}: it was cut or is another file")
    if sha256 != record.sha256:
        raise _damaged(dump, f"has SHA-256 {sha256}, its record says {record.sha256}: its bytes changed after the backup")
    return record


def _check_folder(dump: Path, record: Backup, stop: StopRequest | None) -> None:
    try:
        sha256, wanted = read_manifest(dump)
        size = folder_bytes(dump)
        if sha256 != record.sha256:
            raise _damaged(dump, f"has a {MANIFEST} with SHA-256 {sha256}, its record says {record.sha256}: it changed after the backup")
        if size != record.bytes:
            raise _damaged(dump, f"has {size} bytes, its record says {record.bytes}: a file was cut, is gone or was added")
        found = {name: file.sha256 for name, file in hash_folder(dump, stop).items()}
    except OSError as exc:
        raise _damaged(dump, f"cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise _damaged(dump, f"is damaged: {exc}") from exc
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise _damaged(dump, f"has other bytes in its file {name} than {MANIFEST} says: they changed after the backup")


def _check_globals(path: Path, record: Backup) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise _damaged(path, f"cannot be read: {exc.strerror}") from exc
    if found != record.globals_sha256:
        raise _damaged(path, f"has SHA-256 {found}, the record says {record.globals_sha256}: its bytes changed after the backup")


def _read_record(dump: Path) -> Backup:
    beside = record_path(dump)
    try:
        return read_record(beside)
    except OSError as exc:
        raise _damaged(dump, f"has no readable record {beside.name} beside it ({exc.strerror}): nothing says what it should be") from exc
    except ValidationError as exc:
        raise _damaged(dump, f"has a record {beside.name} that is no backup record ({exc.error_count()} fields are wrong)") from exc


def _damaged(dump: Path, what: str) -> Permanent:
    return Permanent(Reason.BACKUP_FAILED, f"The backup {dump.name} {what}. Do not rely on it; use an earlier one.", place=Place(str(dump)))
