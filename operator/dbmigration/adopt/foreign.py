"""What another tool recorded, in one shape for all of them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dbmigration.migrations.model import MigrationFile
from dbmigration.postgres.quote import qualified
from dbmigration.postgres.session import Session


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """A table with the types of its columns, as PostgreSQL writes them ("character varying", "bigint")."""

    schema: str
    name: str
    columns: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        return qualified(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One migration as the other tool knows it.

    `label` is how a person finds it in the other table. Of `version` (digits, with Flyway also dots) and `name` (of a file, with or without
    its ending, or what follows the number in it) at least one is there. `through`: this stands for every file up to it as well. `checksum`
    in the tool's own form. `failed`: why nothing may be taken over before it is mended, with the remedy. `passed_over`: why the row is no
    migration of ours and is left where it is.
    """

    label: str
    version: str | None = None
    name: str | None = None
    applied_at: datetime | None = None
    checksum: str | None = None
    through: bool = False
    failed: str | None = None
    passed_over: str | None = None


Pairs = Iterable[tuple[ForeignRow, MigrationFile]]
Verdicts = Mapping[str, bool]
"""By the file's name: whether it still is what the tool's checksum was made of. A file that cannot be judged is left out."""


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool is recognised and read.

    A table is the tool's when it has `columns` (names and the beginnings of their types), no others where `exact`, and, where the columns
    are too common to tell, one of the names in `tables`. `read` gives the rows in the order in which they were applied. `verify` compares
    checksums; None: the tool keeps none that a file could be compared with, and `unverified` says why. `mentions`: whether a file's text
    says that it is this row. `missing`: what of a file was not run, where a row is less than a file.
    """

    name: str
    columns: Mapping[str, str]
    read: Callable[[Session, ForeignTable], tuple[ForeignRow, ...]]
    exact: bool = False
    tables: tuple[str, ...] = ()
    verify: Callable[[Pairs], Verdicts] | None = None
    unverified: str = "keeps no checksum"
    mentions: Callable[[MigrationFile, ForeignRow], bool] | None = None
    missing: Callable[[MigrationFile, Collection[ForeignRow]], str | None] | None = None

    def recognises(self, table: ForeignTable, *, named: bool = False) -> bool:
        """`named`: a person said that this is the table, so its name tells nothing."""
        if any(not table.columns.get(column, "").startswith(kind) for column, kind in self.columns.items()):
            return False
        if self.exact and len(table.columns) != len(self.columns):
            return False
        return named or not self.tables or table.name in self.tables


@dataclass(frozen=True, slots=True)
class ForeignHistory:
    """All that the tool recorded in `table`."""

    tool: Tool
    table: ForeignTable
    rows: tuple[ForeignRow, ...]
