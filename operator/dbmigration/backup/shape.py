"""What a dump is made of: one file or a folder of them, written by how many connections, compressed how."""

import re
from typing import Final, NamedTuple

from dbmigration.api.dumps import COMPRESSION_PATTERN, DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent

_METHODS_FROM: Final = 16
"""Before this major pg_dump knew gzip alone, as a number."""


class DumpShape(NamedTuple):
    """`jobs`: connections that dump at once, more than one in the directory format only. `compression` as in COMPRESSION_PATTERN; None:
    what pg_dump does by itself (gzip)."""

    format: DumpFormat = DumpFormat.CUSTOM
    jobs: int = 1
    compression: str | None = None


ONE_FILE: Final = DumpShape()


def compression_arguments(compression: str | None, major: int) -> tuple[str, ...]:
    """For pg_dump of this major. Raises Permanent SPEC_INVALID where it does not know the method, ValueError for what is none."""
    if compression is None:
        return ()
    if not re.fullmatch(COMPRESSION_PATTERN.strip("^$"), compression):
        raise ValueError(f"{compression!r} is no compression: write none, gzip, lz4 or zstd, and a level like zstd:3")
    if major >= _METHODS_FROM:
        return (f"--compress={compression}",)
    method, _, level = compression.partition(":")
    if method == "none":
        return ("--compress=0",)
    if method == "gzip":
        return (f"--compress={level}",) if level else ()
    raise Permanent(
        Reason.SPEC_INVALID,
        f"Compression {compression} needs pg_dump {_METHODS_FROM} or newer, and that of this server is {major}: ask for gzip or none.",
    )
