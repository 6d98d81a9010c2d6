"""Files that have to be written before they can be read: what keeps them from it can be the machine's trouble, not theirs."""

import errno
import tempfile
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Place, Transient

_OF_THE_MACHINE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def temporary_folder(prefix: str) -> Path:
    """A new one, which nobody removes. Raises Transient SOURCE_UNAVAILABLE where none can be had."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as exc:
        raise Transient(Reason.SOURCE_UNAVAILABLE, f"no temporary folder can be made: {exc.strerror}; {_REMEDY}") from exc


def no_room(error: OSError, folder: Path, name: str | None = None) -> Transient | None:
    """`error` came while the file `name` was written into the temporary `folder`. None: it may well be about the file itself."""
    if error.errno not in _OF_THE_MACHINE:
        return None
    return Transient(Reason.SOURCE_UNAVAILABLE, f"cannot be written into {folder}: {error.strerror}; {_REMEDY}", place=Place(name))


_REMEDY: Final = "make room there, or let TMPDIR name a folder that has some"
