"""One folder of a tree of files, as a repository or an archive holds it, written out for the run."""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place, Transient
from dbmigration.migrations.config import read_config
from dbmigration.migrations.digest import CONFIG_NAME
from dbmigration.migrations.room import no_room
from dbmigration.run.fetched import look_through, refuse_too_large

FilesIn = Callable[[str], Iterator[tuple[str, Iterable[bytes]]]]
"""Every file below a folder ("." for all): its path in the tree, and its bytes piece by piece. Links and the like are left out."""

_LFS: Final = b"version https://git-lfs.github.com/spec/"


def fill(into: Path, path: str, files_in: FilesIn, what: str) -> Path:
    """The folder `path` of the tree below `into`, and that of its seeds, if dbmigration.toml names one. Returns where it is.

    Raises Transient SOURCE_MISSING where there is none, and Permanent SOURCE_INVALID, SOURCE_TOO_LARGE.
    """
    folder = posixpath.normpath(path)
    writing = _Writing(into, what)
    if not writing.write(files_in(folder)):
        raise Transient(Reason.SOURCE_MISSING, f"{what} has no folder {path}: correct the path in spec.source")
    written = into / folder
    look_through(written, what)
    seeds = read_config(written).seeds
    if seeds is not None:
        beside = posixpath.normpath(posixpath.join(folder, seeds))
        if beside.startswith(("..", "/")):
            raise Permanent(Reason.SOURCE_INVALID, f"[seeds] directory {seeds!r} leads out of {what}", place=Place(CONFIG_NAME))
        if beside != folder and not beside.startswith(f"{folder}/") and folder != ".":
            writing.write(files_in(beside))
    return written


class _Writing:
    def __init__(self, into: Path, what: str) -> None:
        self._into = into
        self._what = what
        self._bytes = 0
        self._files = 0

    def write(self, files: Iterator[tuple[str, Iterable[bytes]]]) -> int:
        """How many files there were."""
        before = self._files
        for name, pieces in files:
            self._files += 1
            refuse_too_large(self._bytes, self._files, self._what)
            target = self._into / inside(name, self._what)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write_one(target, name, pieces)
        return self._files - before

    def _write_one(self, target: Path, name: str, pieces: Iterable[bytes]) -> None:
        try:
            with target.open("xb") as file:
                for piece in pieces:
                    if file.tell() == 0 and piece.startswith(_LFS):
                        raise Permanent(Reason.SOURCE_INVALID, "is kept in Git LFS: keep migrations in git itself", place=Place(name))
                    self._bytes += len(piece)
                    refuse_too_large(self._bytes, self._files, self._what)
                    file.write(piece)
        except OSError as exc:
            full = no_room(exc, self._into, name)
            if full is not None:
                raise full from exc
            raise Permanent(Reason.SOURCE_INVALID, f"cannot be written: {exc.strerror or exc}", place=Place(name)) from exc


def inside(name: str, what: str) -> str:
    """The normalised path. Raises Permanent SOURCE_INVALID for one that leads out of the tree."""
    normal = posixpath.normpath(name)
    if normal.startswith(("/", "..")) or "\0" in name or "\\" in name:
        raise Permanent(Reason.SOURCE_INVALID, f"{what} holds a file whose name leads out of it: {name[:100]!r}")
    return normal
