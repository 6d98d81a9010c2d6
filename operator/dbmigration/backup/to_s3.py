"""Take a backup into a bucket: streamed, never on a disk of ours, and read back from the store before its record makes it one."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup.access import access_to
from dbmigration.backup.clients import Client, choose_dump_client
from dbmigration.backup.cluster_globals import GLOBALS_SUFFIX, globals_path, read_globals
from dbmigration.backup.dump import dump_into, file_stem, folder_of, read_lsn
from dbmigration.backup.partial import write_all
from dbmigration.backup.record import Backup, read_record, record_path
from dbmigration.backup.retention import DUMP_SUFFIX, Retention, Stored, in_order, outdated
from dbmigration.backup.s3 import SCHEME, Bucket, Objects
from dbmigration.backup.shape import ONE_FILE, DumpShape
from dbmigration.backup.space import check_room
from dbmigration.backup.stream import StopRequest, raise_if_stopped
from dbmigration.errors import DbmigrationError, Transient, Usage
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server


def take_backup_to_s3(
    conninfo: ConnInfo,
    server: Server,
    bucket: Bucket,
    *,
    run_id: str,
    stop: StopRequest,
    name_prefix: str = "",
    database_bytes: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
    clients: Sequence[Client] | None = None,
    shape: DumpShape = ONE_FILE,
) -> Backup:
    """Dump the database into `bucket` as `name_prefix`/`<database>-<UTC time>-<run id>.dump`, with its record as .json beside it,
    and the server's roles and tablespaces as .globals.sql where they may be read.

    The record is written last, when the object was read back whole and has the SHA-256 of what pg_dump wrote: an object without a record
    is no backup. On any failure the object is removed; a process that is killed leaves parts, which a lifecycle rule of the bucket
    removes. Raises Transient CLIENT_VERSION_MISMATCH before anything is sent, BACKUP_FAILED, INTERRUPTED. Memory is flat (about 80 MB).
    """
    if shape.format is not DumpFormat.CUSTOM:
        raise Usage(Reason.SPEC_INVALID, "a dump in directory format is many files: it goes to a folder, not to a bucket")
    client = choose_dump_client(server.version, server.major, clients)
    objects = Objects(bucket)
    started_at = datetime.now(UTC)
    key = bucket.key(str(folder_of(name_prefix) / f"{file_stem(server.database, started_at, run_id)}{DUMP_SUFFIX}"))
    snapshot_lsn = read_lsn(conninfo)
    with access_to(conninfo) as access, objects.upload(key, expected_bytes=database_bytes, stop=stop) as upload:
        size, sha256 = dump_into(upload.write, client, access, on_progress=on_progress, stop=stop, compression=shape.compression)
    try:
        _check_stored(objects, key, (size, sha256), stop)
        with access_to(conninfo) as access:
            found = read_globals(client, access, server.database, stop)
        if found.text is not None:
            objects.write(_globals_key(key), found.text)
            _check_stored(objects, _globals_key(key), (len(found.text), found.sha256), stop)
        backup = Backup(
            uri=f"{SCHEME}{bucket.name}/{key}",
            bytes=size,
            sha256=sha256,
            server_version=server.version,
            dump_version=client.version,
            database=server.database,
            snapshot_lsn=snapshot_lsn,
            started_at=started_at,
            completed_at=datetime.now(UTC),
            verified=True,
            compression=shape.compression,
            globals_uri=None if found.text is None else f"{SCHEME}{bucket.name}/{_globals_key(key)}",
            globals_sha256=found.sha256,
            globals_note=found.note,
        )
        raise_if_stopped(stop)
        objects.write(_record_key(key), backup.to_json().encode())
    except BaseException as error:
        _take_back(objects, key, error)
        raise
    return backup


def fetch(uri: str, bucket: Bucket, folder: Path, stop: StopRequest) -> Path:
    """The dump at `uri`, what is beside it and its record, as files in `folder`; their bytes are yet to be checked.

    Not streamed to pg_restore: the dump is read four times (its hash, what it holds, its database's definition, the restore), before and
    while the copy is made, and several connections restore from a file only. Raises Transient RESTORE_SPACE_LOW before anything is
    fetched, as `Objects.read`, and OSError.
    """
    key = uri.removeprefix(f"{SCHEME}{bucket.name}/")
    if not key.endswith(DUMP_SUFFIX):
        raise Usage(Reason.SPEC_INVALID, f"{uri} is no backup: its name has to end with {DUMP_SUFFIX}")
    objects = Objects(bucket)
    dump = folder / PurePosixPath(key).name
    check_room(folder, uri, objects.size(key) or 0)
    _fetch(objects, _record_key(key), record_path(dump), stop)
    with suppress(ValidationError):  # who checks the bytes says so
        if read_record(record_path(dump)).globals_uri is not None:
            _fetch(objects, _globals_key(key), globals_path(dump), stop)
    _fetch(objects, key, dump, stop)
    return dump


def _fetch(objects: Objects, key: str, path: Path, stop: StopRequest) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        objects.read(key, partial(write_all, descriptor), stop)
    finally:
        os.close(descriptor)


def find_stored(objects: Objects) -> list[Stored]:
    """Every backup in the bucket that has a record, as `retention.find_backups` tells of a folder: paths are keys."""
    sizes = objects.sizes()
    found = []
    for key in sizes:
        if not key.endswith(".json"):
            continue
        content = bytearray()
        objects.read(key, content.extend)
        try:
            record = Backup(**BackupRecord.model_validate_json(bytes(content)).model_dump())
        except ValidationError:
            continue
        dump = key.removesuffix(".json") + DUMP_SUFFIX
        found.append(Stored(Path(dump), record, sizes.get(dump)))
    return in_order(found)


def remove_outdated_from(bucket: Bucket, retention: Retention, at: datetime) -> list[Stored]:
    """What `retention` lets go of the backups below the bucket's prefix, which is removed."""
    objects = Objects(bucket)
    gone = outdated(find_stored(objects), retention, at)
    remove_stored(objects, gone)
    return gone


def remove_stored(objects: Objects, stored: Sequence[Stored]) -> None:
    for each in stored:
        objects.remove(str(each.dump), _globals_key(str(each.dump)), _record_key(str(each.dump)))


def _record_key(key: str) -> str:
    return key.removesuffix(DUMP_SUFFIX) + ".json"


def _globals_key(key: str) -> str:
    return key.removesuffix(DUMP_SUFFIX) + GLOBALS_SUFFIX


def _take_back(objects: Objects, key: str, error: BaseException) -> None:
    """What went wrong before is the error that counts; that the object is still there is said in it."""
    try:
        objects.remove(_record_key(key), _globals_key(key), key)
    except DbmigrationError as why:
        if isinstance(error, DbmigrationError):
            error.message += f" It is no backup, and could not be removed: {why.message}"


def _check_stored(objects: Objects, key: str, written: tuple[int, str | None], stop: StopRequest) -> None:
    """What the store really holds, not what it says that it got."""
    digest, size = hashlib.sha256(), 0

    def sink(piece: memoryview) -> None:
        nonlocal size
        digest.update(piece)
        size += len(piece)

    objects.read(key, sink, stop)
    if (size, digest.hexdigest()) != written:
        raise Transient(
            Reason.BACKUP_FAILED,
            f"The store does not hold what was written: {size} bytes with SHA-256 {digest.hexdigest()[:12]}… instead of {written[0]} with "
            f"{str(written[1])[:12]}….",
        )
