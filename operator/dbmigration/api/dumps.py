"""What a dump can be asked to be. No third-party import, as in `reasons`."""

from enum import StrEnum
from typing import Final

COMPRESSION_PATTERN: Final = r"^(none|gzip(:[1-9])?|lz4(:([1-9]|1[0-2]))?|zstd(:([1-9]|1[0-9]|2[0-2]))?)$"
"""A method of pg_dump and its level."""


class DumpFormat(StrEnum):
    """pg_dump's custom format is one file; its directory format is a folder with a file for each table, which several can write at once."""

    CUSTOM = "Custom"
    DIRECTORY = "Directory"
