"""What commands without a database share: a folder that has to be there, and files that they write."""

from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration.cli.words import BadParameter
from dbmigration.errors import Transient

if TYPE_CHECKING:
    from dbmigration.migrations.layout import Layout
    from dbmigration.migrations.model import MigrationSet


def read_folder(directory: Path, layout: "Layout | None" = None) -> "MigrationSet":
    """Raises BadParameter where there is no folder, else what `read_set` raises for one that is not in order."""
    from dbmigration.migrations.folder import read_set

    try:
        return read_set(directory, layout)
    except Transient as error:
        raise BadParameter(error.message, param_hint="--dir") from error


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as they are in `text`. Raises BadParameter when it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BadParameter(f"{path} cannot be written: {error.strerror or error}", param_hint="--output") from error
