"""What a dump in directory format is made of: SHA256SUMS beside its files, as `sha256sum -c` reads it. Its own hash stands for them all."""

import hashlib
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from dbmigration.backup.partial import write_all
from dbmigration.backup.stream import CHUNK_BYTES, StopRequest, raise_if_stopped

MANIFEST: Final = "SHA256SUMS"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_.-]+)")


class Hashed(NamedTuple):
    """Size in bytes and SHA-256."""

    size: int
    sha256: str


def hash_file(descriptor: int, stop: StopRequest | None = None) -> Hashed:
    """A file as the disk holds it: its pages in memory are given up first where the system can."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return _hashed(descriptor, stop)


def hash_folder(folder: Path, stop: StopRequest | None = None, *, from_disk: bool = True, jobs: int = 1) -> dict[str, Hashed]:
    """Every file of the folder but its SHA256SUMS, by name. `from_disk` False: pages in memory will do. `jobs` files at once. OSError."""

    def of(name: str) -> Hashed:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return hash_file(descriptor, stop) if from_disk else _hashed(descriptor, stop)
        finally:
            os.close(descriptor)

    names = sorted(file.name for file in folder.iterdir() if file.name != MANIFEST)
    with ThreadPoolExecutor(jobs) as threads:
        return dict(zip(names, threads.map(of, names), strict=True))


def write_manifest(folder: Path, files: Mapping[str, Hashed]) -> str:
    """SHA256SUMS in the folder, mode 0600, synced with the folder. Returns its own SHA-256. Raises OSError."""
    text = "".join(f"{hashed.sha256}  {name}\n" for name, hashed in sorted(files.items())).encode()
    descriptor = os.open(folder / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, memoryview(text))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(text).hexdigest()


def read_manifest(folder: Path) -> tuple[str, dict[str, str]]:
    """The SHA-256 of SHA256SUMS, and what it says of each file. Raises OSError, ValueError for what is no such file."""
    content = (folder / MANIFEST).read_bytes()
    files = {}
    for line in content.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in files or match[2] in (".", "..", MANIFEST):
            raise ValueError(f"{MANIFEST} has a line that is none: {line[:80]!r}")
        files[match[2]] = match[1]
    return hashlib.sha256(content).hexdigest(), files


def folder_bytes(folder: Path) -> int:
    """Sizes of the dump's files together. One that goes meanwhile has none."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name != MANIFEST:
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
    return total


def _hashed(descriptor: int, stop: StopRequest | None) -> Hashed:
    digest, size, buffer = hashlib.sha256(), 0, memoryview(bytearray(CHUNK_BYTES))
    os.lseek(descriptor, 0, os.SEEK_SET)
    while count := os.readv(descriptor, [buffer]):
        if stop is not None:
            raise_if_stopped(stop)
        digest.update(buffer[:count])
        size += count
    return Hashed(size, digest.hexdigest())
