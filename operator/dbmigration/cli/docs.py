"""`dbmigration docs`: the README section about the migrations, written from the files."""

import sys
from pathlib import Path
from typing import Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit

Output = Annotated[
    Path | None, words.Option("--output", "-o", metavar="FILE", help="Write into this file instead of stdout.", show_default=False)
]
Into = Annotated[
    Path | None,
    words.Option("--into", metavar="README", help="Replace what stands between the two markers in this file.", show_default=False),
]
Check = Annotated[bool, words.Option("--check", help="Write nothing; exit with 1 when the file is not what would be written.")]


def docs(
    output: Output = None, into: Into = None, check: Check = False, directory: o.Directory = o.DIRECTORY, layout: o.Layout = None
) -> int:
    """Describe each migration in Markdown: purpose, what it makes, changes and drops, dependencies. Needs no database."""
    from dbmigration.cli.output import read_folder, write_text
    from dbmigration.pictures.page import as_page

    path = into or output
    if into is not None and output is not None:
        raise words.BadParameter("--output and --into exclude each other", param_hint="--into")
    if check and path is None:
        raise words.BadParameter("say which file to check with --into or --output", param_hint="--check")
    page = as_page(read_folder(directory, layout), beside=path.parent if path is not None else directory)
    if path is None:
        sys.stdout.write(page)
        return Exit.OK
    there = _read(path, must_be_there=into is not None)
    wanted = page if into is None else _spliced(path, there or "", page)
    if wanted == there:
        return Exit.OK
    if check:
        from dbmigration.cli.failure import print_error

        print_error(f"{path}: error: stale, the migrations have changed since; run the same command without --check and commit the file")
        return Exit.FAILED
    write_text(path, wanted)
    return Exit.OK


def _read(path: Path, *, must_be_there: bool) -> str | None:
    """None when it is not there. Raises words.BadParameter."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        if must_be_there:
            raise words.BadParameter(f"there is no file {path}", param_hint="--into") from error
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise words.BadParameter(f"{path} cannot be read: {why}", param_hint="--into" if must_be_there else "--output") from error


def _spliced(path: Path, text: str, page: str) -> str:
    from dbmigration.pictures.splice import NoPlace, spliced

    try:
        return spliced(text, page)
    except NoPlace as error:
        raise words.BadParameter(f"{path}: {error}", param_hint="--into") from error
