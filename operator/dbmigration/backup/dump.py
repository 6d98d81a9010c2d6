"""Take a backup: pg_dump into a folder, proved by a full read and a second hash before it gets its name."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup.access import Access, access_to, no_access
from dbmigration.backup.clients import Client, choose_dump_client
from dbmigration.backup.cluster_globals import globals_path, read_globals
from dbmigration.backup.directory import dump_into_folder
from dbmigration.backup.manifest import Hashed, hash_file
from dbmigration.backup.partial import Partial, clean_stale, make_folder, open_partial, open_partial_folder, publish, write_all
from dbmigration.backup.record import Backup, record_path
from dbmigration.backup.shape import ONE_FILE, DumpShape, compression_arguments
from dbmigration.backup.stream import Command, StopRequest, raise_if_stopped, stream_dump
from dbmigration.errors import Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Server

LOCK_WAIT_TIMEOUT: Final = "60s"
"""How long pg_dump waits for its ACCESS SHARE locks: somebody's DDL delays a backup, and past this fails it (another try follows)."""

_LSN = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_PART_LIMIT = 63


def take_backup(
    conninfo: ConnInfo,
    server: Server,
    directory: Path,
    *,
    run_id: str,
    stop: StopRequest,
    name_prefix: str = "",
    uri_base: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    clients: Sequence[Client] | None = None,
    shape: DumpShape = ONE_FILE,
) -> Backup:
    """Dump the database into `directory`/`name_prefix`/`<database>-<UTC time>-<run id>.dump`, with its record as .json beside it,
    and the server's roles and tablespaces as .globals.sql where they may be read.

    The dump is a file, or a folder of them (`shape`). All have mode 0600 and appear only when the dump was written, synced, read to its end
    by pg_restore, and hashed a second time from the disk. `directory` is made if only its last part is missing. Temporary files that dead
    attempts left in the same folder go first. `uri_base` names `directory` in the record's URI, for who cannot see this machine's paths.
    `on_progress` gets the bytes written so far, at most every 0.5 s.

    Raises Transient: CLIENT_VERSION_MISMATCH before anything is written, BACKUP_FAILED, INTERRUPTED within a fraction of a second of
    `stop`. Whatever is raised, nothing of this attempt is left in the folder. Blocks for the time of the dump; memory is flat.
    """
    client = choose_dump_client(server.version, server.major, clients)
    prefix = folder_of(name_prefix)
    started_at = datetime.now(UTC)
    with _disk_words(directory):
        folder = make_folder(directory, Path(prefix))
        clean_stale(folder)
        final = folder / f"{file_stem(server.database, started_at, run_id)}.dump"
        in_folder = shape.format is DumpFormat.DIRECTORY
        with open_partial_folder(final) if in_folder else open_partial(final) as partial:
            snapshot_lsn = read_lsn(conninfo)
            with access_to(conninfo) as access:
                size, sha256 = (_into_folder if in_folder else _into_file)(partial, client, access, shape, on_progress, stop)
                found = read_globals(client, access, server.database, stop)
            backup = Backup(
                uri=_uri(final, directory, uri_base),
                bytes=size,
                sha256=sha256,
                server_version=server.version,
                dump_version=client.version,
                database=server.database,
                snapshot_lsn=snapshot_lsn,
                started_at=started_at,
                completed_at=datetime.now(UTC),
                verified=True,
                format=shape.format,
                compression=shape.compression,
                globals_uri=None if found.text is None else _uri(globals_path(final), directory, uri_base),
                globals_sha256=found.sha256,
                globals_note=found.note,
            )
            raise_if_stopped(stop)
            beside = None if found.text is None else (globals_path(final), found.text)
            publish(partial, record_path(final), backup.to_json().encode(), beside=beside)
    return backup


def file_stem(database: str, at: datetime, run_id: str) -> str:
    """`<database>-<UTC time>-<run id>` in characters that every file system and object store takes."""
    return f"{file_prefix(database)}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{_safe(run_id)}"


def file_prefix(database: str) -> str:
    """How the names of all backups of a database begin; those of another one can begin so, too."""
    return f"{_safe(database)}-"


def folder_of(prefix: str) -> PurePosixPath:
    """`prefix` as a relative folder: "studio/db" stays, "../x" and "/x" cannot leave the volume."""
    return PurePosixPath(*(_safe(part) for part in prefix.split("/") if part))


def read_lsn(conninfo: ConnInfo) -> str | None:
    """The WAL position now ("0/16B3748"; on a replica, what it has replayed). None when it cannot be read: pg_dump will say why."""
    try:
        with psycopg.connect(make_conninfo("", **{"connect_timeout": "10", **conninfo.parameters}), autocommit=True) as connection:
            row = connection.execute(_LSN).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else str(row[0])


def dump_into(
    write: Callable[[memoryview], None],
    client: Client,
    access: Access,
    *,
    on_progress: Callable[[int], None],
    stop: StopRequest,
    compression: str | None = None,
) -> tuple[int, str]:
    """pg_dump's output to `write`, and through pg_restore at once. Returns its size in bytes and its SHA-256.

    Raises as `stream.stream_dump`; a lock that was not given has its own words.
    """
    digest = hashlib.sha256()
    argv = (str(client.pg_dump), "--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_WAIT_TIMEOUT}")

    def sink(piece: memoryview) -> None:
        write(piece)
        digest.update(piece)

    with _lock_words():
        size = stream_dump(
            access.command("pg_dump", (*argv, *compression_arguments(compression, client.major))),
            Command("pg_restore", (str(client.pg_restore), "--format=custom", "--file=/dev/null"), no_access()),
            sink=sink,
            on_progress=on_progress,
            stop=stop,
            hide=access.hide,
        )
    on_progress(size)
    return size, digest.hexdigest()


def _uri(path: Path, directory: Path, base: str | None) -> str:
    return f"{base.rstrip('/')}/{path.relative_to(directory)}" if base else path.absolute().as_uri()


def _into_file(
    partial: Partial,
    client: Client,
    access: Access,
    shape: DumpShape,
    on_progress: Callable[[int], None],
    stop: StopRequest,
) -> tuple[int, str]:
    def write(piece: memoryview) -> None:
        write_all(partial.descriptor, piece)

    written = Hashed(*dump_into(write, client, access, on_progress=on_progress, stop=stop, compression=shape.compression))
    os.fsync(partial.descriptor)
    stored = hash_file(partial.descriptor, stop)
    if stored != written:
        raise Transient(
            Reason.BACKUP_FAILED,
            f"The disk does not hold what was written: {stored.size} bytes with SHA-256 {stored.sha256[:12]}… instead of "
            f"{written.size} with {written.sha256[:12]}…. The dump was removed; check the volume.",
        )
    return written


def _into_folder(
    partial: Partial,
    client: Client,
    access: Access,
    shape: DumpShape,
    on_progress: Callable[[int], None],
    stop: StopRequest,
) -> tuple[int, str]:
    with _lock_words():
        return dump_into_folder(partial.path, client, access, shape, lock_wait=LOCK_WAIT_TIMEOUT, on_progress=on_progress, stop=stop)


@contextmanager
def _lock_words() -> Iterator[None]:
    """--lock-wait-timeout is a statement_timeout to the server, whose words would mislead."""
    try:
        yield
    except Transient as exc:
        if "LOCK TABLE" in exc.message and "statement timeout" in exc.message:
            limit = f"A table stayed locked for more than {LOCK_WAIT_TIMEOUT}: somebody's DDL is running."
            raise Transient(exc.reason, f"{limit} {exc.message}") from exc
        raise


@contextmanager
def _disk_words(directory: Path) -> Iterator[None]:
    """An OSError of the folder, as BACKUP_FAILED that names the folder, its free bytes and what to do."""
    try:
        yield
    except OSError as exc:
        raise Transient(Reason.BACKUP_FAILED, disk_words(exc, directory)) from exc


def disk_words(exc: OSError, directory: Path) -> str:
    """What happened to the folder, in one sentence with its free bytes and the remedy."""
    match exc.errno:
        case errno.ENOSPC | errno.EDQUOT:
            what = "is full: make room or enlarge the volume"
        case errno.EROFS:
            what = "is read-only: mount it writable"
        case errno.EACCES | errno.EPERM:
            what = f"may not be written by user id {os.geteuid()}: give it to that user (in a pod: fsGroup)"
        case errno.ENOENT | errno.ENOTDIR:
            what = "is not there: make the folder or mount the volume"
        case _:
            what = f"failed: {exc.strerror or type(exc).__name__}"
    return f"The backup folder {directory} {what} ({_free(directory)})."


def _free(directory: Path) -> str:
    for folder in (directory, *directory.absolute().parents):
        try:
            return f"{shutil.disk_usage(folder).free} bytes free"
        except OSError:
            continue
    return "free space unknown"


def _safe(text: str) -> str:
    cleaned = _UNSAFE.sub("_", text)[:_NAME_PART_LIMIT]
    return f"_{cleaned[1:]}" if cleaned.startswith((".", "-")) else cleaned or "_"
