"""`dbmigration new`: the next number's files from the house template."""

import sys
from datetime import UTC, datetime
from typing import Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit

Name = Annotated[str, words.Argument(metavar="NAME", help="What it does, in snake_case: add_project_limits.")]


def new(name: Name, directory: o.Directory = o.DIRECTORY, layout: o.Layout = None) -> int:
    """Write the next migration and its rollback script from the house template."""
    from dbmigration.migrations.template import new_migration

    for path in new_migration(directory, name, datetime.now(UTC), layout):
        sys.stdout.write(f"{path}\n")
    return Exit.OK
