"""Files that are kept with gzip: NAME.sql.gz is read as NAME.sql."""

import atexit
import gzip
import hashlib
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.room import no_room, temporary_folder

MOST_BYTES: Final = 512 * 1024 * 1024
"""Of all of a folder's packed files together, unpacked."""

_BLOCK: Final = 256 * 1024
_ENDING: Final = ".sql.gz"


class Unpacked(NamedTuple):
    """By the plain name of each file: where its text is, and the SHA-256 (hex) of the packed bytes by their own name."""

    paths: dict[str, Path]
    hashes: dict[str, str]


def is_packed(name: str) -> bool:
    return name[-len(_ENDING) :].lower() == _ENDING


def plain_name(name: str) -> str:
    return name[:-3] if is_packed(name) else name


def unpack(directory: Path, names: Iterable[str]) -> Unpacked:
    """The packed files of `names`, as plain files in a folder that goes with the process.

    Raises Permanent with the file: SOURCE_INVALID for what is no gzip, SOURCE_TOO_LARGE, DUPLICATE_NUMBER for one that is there plain too;
    Transient SOURCE_UNAVAILABLE where there is no room for them.
    """
    names = tuple(names)
    into = temporary_folder("dbmigration-unpacked-")
    atexit.register(shutil.rmtree, into, ignore_errors=True)
    found, left = Unpacked({}, {}), MOST_BYTES
    for name in filter(is_packed, names):
        plain = plain_name(name)
        if plain in names or plain in found.paths:
            raise Permanent(Reason.DUPLICATE_NUMBER, f"is there with gzip and without: leave {plain} or {name}", place=Place(name))
        found.paths[plain] = into / plain
        found.hashes[name], left = _unpack(directory / name, into / plain, left)
    return found


def _unpack(packed: Path, plain: Path, left: int) -> tuple[str, int]:
    """(SHA-256 of the packed bytes, how many more bytes the others may have)."""
    try:
        with packed.open("rb") as source, plain.open("xb") as target:
            raw = hashlib.file_digest(source, "sha256").hexdigest()
            if not source.tell():
                raise EOFError("it is empty")
            source.seek(0)
            with gzip.GzipFile(fileobj=source) as text:
                while block := text.read(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        message = f"unpacks, with the files before it, to more than {MOST_BYTES >> 20} MiB: split the set"
                        raise Permanent(Reason.SOURCE_TOO_LARGE, message, place=Place(packed.name))
                    target.write(block)
    except (OSError, EOFError, zlib.error) as exc:
        full = no_room(exc, plain.parent, packed.name) if isinstance(exc, OSError) else None
        if full is not None:
            raise full from exc
        raise Permanent(Reason.SOURCE_INVALID, f"is not whole, or no gzip: {exc}", place=Place(packed.name)) from exc
    return raw, left
