"""A backup in the making: a temporary name that is locked while its writer lives, and the step to the final name.

Nothing stands under a final name unless it is whole and on disk. A crash leaves only temporary files; the kernel drops their lock with the
process, which is how the next start knows that they are dead.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
FOLDER_SUFFIX = ".partial.d"
"""A folder in the making; the temporary file of the same name holds its lock, for not every file system can lock a folder."""
REMOVED_SUFFIX = ".removed"
"""A folder that is being removed: whole backups only stand under a final name."""

UNLOCKABLE_STALE_AFTER_S = 24 * 3600
"""On a file system without flock, age alone says that a temporary file is dead."""

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Partial:
    """An open, locked temporary file, or a folder that is locked by one. `final` is the name that `path` gets by `publish`."""

    descriptor: int
    path: Path
    final: Path


def make_folder(root: Path, prefix: Path) -> Path:
    """`root`/`prefix`, made as far as it is missing (only the last part of `root` itself), mode 0700, entries synced. Raises OSError."""
    folder = root
    if not root.is_dir():
        _make(root)
    for part in prefix.parts:
        folder = folder / part
        if not folder.is_dir():
            _make(folder)
    return folder


def clean_stale(folder: Path) -> int:
    """Remove what dead writers left; returns how many they were. What living writers, on any node that sees the lock, have made stays."""
    removed = 0
    for left in folder.glob(f".*{REMOVED_SUFFIX}"):
        shutil.rmtree(left, ignore_errors=True)
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        # A file of another owner, or one that its writer removes at this moment, is not ours to clean.
        with contextlib.suppress(OSError):
            removed += _remove_if_dead(path)
    return removed


@contextlib.contextmanager
def open_partial(final: Path) -> Iterator[Partial]:
    """A temporary file beside `final`, mode 0600, locked; gone when the block ends, whatever ended it, unless published. Raises OSError."""
    path = final.with_name(f".{final.name}{PARTIAL_SUFFIX}")
    descriptor = _create_locked(path)
    try:
        yield Partial(descriptor, path, final)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def open_partial_folder(final: Path) -> Iterator[Partial]:
    """An empty temporary folder beside `final`, mode 0700; otherwise as `open_partial`."""
    path = final.with_name(f".{final.name}{FOLDER_SUFFIX}")
    with open_partial(final) as lock:
        path.mkdir(mode=_FOLDER_MODE)
        try:
            yield Partial(lock.descriptor, path, final)
        finally:
            shutil.rmtree(path, ignore_errors=True)


def publish(partial: Partial, record_path: Path, record: bytes, *, beside: tuple[Path, bytes] | None = None) -> None:
    """Give a synced dump, file or folder, its final name and put its record beside it, last: where a record stands, its dump is whole.

    `beside`: another small file that comes with it. Raises OSError; then no final name exists.
    """
    with contextlib.ExitStack() as stack:
        written = _written(stack, record_path, record)
        more = _written(stack, *beside) if beside is not None else None
        given: list[Path] = []
        try:
            for each in (*(() if more is None else (more,)), partial, written):
                each.path.rename(each.final)
                given.append(each.final)
            _sync_folder(partial.final.parent)
        except OSError:
            for name in reversed(given):
                with contextlib.suppress(OSError):  # what cannot be removed keeps nobody from removing the rest
                    remove_dump(name)
            raise


def remove_dump(dump: Path) -> None:
    """A file or a folder; one that is not there is no error. A folder loses its name first, so that no half of it is taken for a backup."""
    if not dump.is_dir():
        dump.unlink(missing_ok=True)
        return
    gone = dump.with_name(f".{dump.name}{REMOVED_SUFFIX}")
    dump.rename(gone)
    shutil.rmtree(gone)


def write_all(descriptor: int, data: memoryview) -> None:
    """write(2) until all is written: a nearly full disk takes a part first and fails on the rest."""
    while data:
        data = data[os.write(descriptor, data) :]


def _written(stack: contextlib.ExitStack, final: Path, content: bytes) -> Partial:
    partial = stack.enter_context(open_partial(final))
    write_all(partial.descriptor, memoryview(content))
    os.fsync(partial.descriptor)
    return partial


def _make(folder: Path) -> None:
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            if exc.errno not in _NO_LOCKS:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        # A cleaner that came between open and flock took the file for a dead writer's and removed it: make another.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _remove_if_dead(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_LOCKS or time.time() - os.fstat(descriptor).st_mtime < UNLOCKABLE_STALE_AFTER_S:
                return False
        shutil.rmtree(path.with_name(f"{path.name.removesuffix(PARTIAL_SUFFIX)}{FOLDER_SUFFIX}"), ignore_errors=True)
        path.unlink()
        return True
    finally:
        os.close(descriptor)
