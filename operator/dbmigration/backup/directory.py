"""A dump in directory format: pg_dump writes its files itself, several at once; they are proved before the folder gets its name."""

import errno
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from dbmigration.api.reasons import Reason
from dbmigration.backup.access import Access, no_access
from dbmigration.backup.clients import Client
from dbmigration.backup.manifest import Hashed, folder_bytes, hash_folder, write_manifest
from dbmigration.backup.shape import DumpShape, compression_arguments
from dbmigration.backup.stream import PROGRESS_EVERY_S, Command, StopRequest, running
from dbmigration.errors import Transient


def dump_into_folder(
    folder: Path,
    client: Client,
    access: Access,
    shape: DumpShape,
    *,
    lock_wait: str,
    on_progress: Callable[[int], None],
    stop: StopRequest,
) -> tuple[int, str]:
    """Dump into an empty folder, read it to its end, hash every file twice, and write SHA256SUMS. Returns bytes and that file's SHA-256.

    The first hash is taken while pg_restore reads what pg_dump left, the second from the disk: they have to be the same. pg_dump syncs its
    files itself. Raises Transient BACKUP_FAILED, INTERRUPTED, Permanent as `compression_arguments`, and OSError.
    """
    dump = (
        str(client.pg_dump), "--format=directory", f"--jobs={shape.jobs}", "--no-password", f"--lock-wait-timeout={lock_wait}",
        *compression_arguments(shape.compression, client.major), f"--file={folder}",
    )  # fmt: skip
    told_at = monotonic()

    def tell() -> None:
        nonlocal told_at
        if monotonic() - told_at >= PROGRESS_EVERY_S:
            told_at = monotonic()
            on_progress(folder_bytes(folder))

    with running(access.command("pg_dump", dump)) as writer:
        writer.wait(stop, tell)
        if why := writer.failure(access.hide):
            if os.strerror(errno.ENOSPC) in why:
                raise OSError(errno.ENOSPC, why)
            raise Transient(Reason.BACKUP_FAILED, why)
    written = _read_and_hash(folder, (str(client.pg_restore), "--file=/dev/null", str(folder)), no_access(), shape.jobs, stop)
    size = sum(file.size for file in written.values())
    if size == 0:
        raise Transient(Reason.BACKUP_FAILED, "pg_dump wrote nothing")
    on_progress(size)
    stored = hash_folder(folder, stop, jobs=shape.jobs)
    if stored != written:
        changed = next(name for name in sorted(stored.keys() | written.keys()) if stored.get(name) != written.get(name))
        raise Transient(
            Reason.BACKUP_FAILED,
            f"The disk does not hold what was written: {changed} of the dump has other bytes than before. The dump was removed; check the "
            "volume.",
        )
    return size, write_manifest(folder, written)


def _read_and_hash(folder: Path, argv: Sequence[str], environment: Mapping[str, str], jobs: int, stop: StopRequest) -> dict[str, Hashed]:
    with ThreadPoolExecutor(1) as hashing, running(Command("pg_restore", argv, environment), stdin=subprocess.DEVNULL) as reader:
        hashed = hashing.submit(hash_folder, folder, stop, from_disk=False, jobs=jobs)
        reader.wait(stop)
        if why := reader.failure(()):
            raise Transient(Reason.BACKUP_FAILED, f"The dump cannot be read back: {why}")
        return hashed.result()
