"""Files that the run's pod got itself, from an image, a repository or an archive: nobody has looked at them yet."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations import digest

MOST_BYTES: Final = 512 * 1024 * 1024
MOST_FILES: Final = 20_000
"""Of a whole folder, whatever the files are."""


class Fetched(NamedTuple):
    """`revision`: what the files were taken from, where the run itself knows it."""

    directory: Path
    revision: str | None = None


Fetch = Callable[[Callable[[str], None]], Fetched]
"""Gets the files, and tells of it. Raises DbmigrationError."""


def look_through(directory: Path, what: str) -> None:
    """Raises Permanent: SOURCE_TOO_LARGE, and SOURCE_INVALID for a link (it may lead to what is mounted beside the files), for what is no
    file, and where there is no .sql file at all. `what` is how the messages call the source."""
    total = files = scripts = 0
    for path, found in _walk(directory):
        name = str(path.relative_to(directory))
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            kind = "a link" if stat.S_ISLNK(found.st_mode) else "no file"
            raise Permanent(Reason.SOURCE_INVALID, f"is {kind}: {what} may hold files and folders only", place=Place(name))
        files += 1
        total += found.st_size
        scripts += path.parent == directory and digest.counts(path.name) and path.name != digest.CONFIG_NAME
        refuse_too_large(total, files, what)
    if not scripts:
        raise Permanent(Reason.SOURCE_INVALID, f"{what} holds no .sql file: name the folder that has them in spec.source")


def refuse_too_large(total: int, files: int, what: str) -> None:
    """Raises Permanent SOURCE_TOO_LARGE past what a set may have."""
    if total > MOST_BYTES or files > MOST_FILES:
        limit = f"{MOST_BYTES >> 20} MiB" if total > MOST_BYTES else f"{MOST_FILES} files"
        raise Permanent(
            Reason.SOURCE_TOO_LARGE,
            f"{what} holds more than {limit}: name a folder that has the migrations and nothing else in spec.source",
        )


def _walk(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        for folder, folders, names in os.walk(directory, onerror=_raise):
            for name in (*folders, *names):
                path = Path(folder, name)
                yield path, path.lstat()
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"folder {directory} cannot be read: {exc.strerror or exc}") from exc


def _raise(error: OSError) -> None:
    raise error
