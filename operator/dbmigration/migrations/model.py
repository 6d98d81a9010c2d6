"""What a folder of migrations is, as data: no I/O, no database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbmigration.api.states import State
from dbmigration.migrations.layout import Layout, rollback_name
from dbmigration.migrations.part import WHOLE, Part

CHECKSUM_ALGORITHM = "sha256-text-v1"
"""SHA-256 over BOM-stripped, LF-normalised UTF-8 text. Stored beside each checksum: never change the meaning of a name."""

ROLLBACK_PREFIX = "rollback-"
"""Unfinished rollback scripts are kept among the unfinished files, but they are no migrations."""

DEFAULT_ENVIRONMENTS = ("development", "staging", "production")


class HistoryTable(NamedTuple):
    """The table with the requirements' three columns. Never altered by us: it may belong to someone else."""

    schema: str = "dbmigration"
    table: str = "schema_migrations"

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


class Dependency(NamedTuple):
    """A file that a header says must be applied (or skipped in this environment) before; `line` is the header's."""

    name: str
    line: int


class Header(NamedTuple):
    """The comment block at the top of a file.

    Empty `environments` means every environment; `transaction` None means: let the text decide.
    """

    title: str | None = None
    purpose: str | None = None
    dependencies: tuple[Dependency, ...] = ()
    rollback: str | None = None
    environments: tuple[str, ...] = ()
    environment_line: int | None = None
    transaction: bool | None = None


class Script(NamedTuple):
    """A rollback-NNN.sql or verify-NNN.sql, or the part of a file that undoes it. `transaction` is its header's word, None: let the text
    decide. `name` is the file's, which may be the migration's own.
    """

    name: str
    path: Path
    checksum: str
    transaction: bool | None = None
    part: Part = WHOLE

    @property
    def key(self) -> str:
        """What an unfinished rollback script is recorded as: never what its migration is."""
        return self.name if self.name.startswith(ROLLBACK_PREFIX) else ROLLBACK_PREFIX + self.name


class MigrationFile(NamedTuple):
    """One NNN_name.sql. `number` compares; `version` is its digits as written ("004"). `size` in bytes, of `part`."""

    number: int
    version: str
    name: str
    path: Path
    checksum: str
    size: int
    header: Header
    rollback: Script | None = None
    verify: Script | None = None
    part: Part = WHOLE
    layout: Layout = Layout.NUMBERED

    @property
    def key(self) -> str:
        """What it is recorded as while it is unfinished."""
        return self.name

    @property
    def rollback_name(self) -> str:
        """What undoes it, or would if it were there."""
        return rollback_name(self.name, self.version, self.layout)

    def runs_in(self, environment: str | None) -> bool:
        return not self.header.environments or environment in self.header.environments


class LintChoice(NamedTuple):
    """What a set has decided about one lint rule, and why. `severity`: off, note, warning or error. Empty `files`: in every file."""

    rule: str
    severity: str
    reason: str
    files: tuple[str, ...] = ()


class DriftChoice(NamedTuple):
    """[drift]: what to do when the schema is not what migrations made, and which objects may differ.

    `policy` "report", "refuse" or "off"; None: the file does not say. `ignore`: patterns as in a shell, of names ("audit.*") or of kind and
    name ("table public.events_p*").
    """

    policy: str | None = None
    ignore: tuple[str, ...] = ()


class SetConfig(NamedTuple):
    """What dbmigration.toml beside the files says. `history` None: the file does not name one. `lint`: a later choice wins.

    `lint_fail_on`: "error", "warning", "never" or "off", what a run does about findings; None: the file does not say. `seeds`: the
    folder with the seeds, from this one, like "../seeds".
    """

    history: HistoryTable | None = None
    environments: tuple[str, ...] = DEFAULT_ENVIRONMENTS
    lint: tuple[LintChoice, ...] = ()
    lint_fail_on: str | None = None
    drift: DriftChoice = DriftChoice()
    seeds: str | None = None
    layout: Layout = Layout.NUMBERED


class MigrationSet(NamedTuple):
    """A folder, read. `files` are in order of their numbers; `digest` covers the raw bytes of everything that counts in the folder.

    `seeds` (see `migrations.seeds`) have no number of their own and come after all of them.
    """

    directory: Path
    files: tuple[MigrationFile, ...]
    config: SetConfig
    digest: str
    seeds: tuple[MigrationFile, ...] = ()


class AppliedMigration(NamedTuple):
    """A row of the history table with what schema dbmigration knows of it. `checksum` None: nobody recorded one."""

    name: str
    applied_at: datetime
    checksum: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All that the database says.

    `rolled_back` maps a file's name to the checksum that a person rolled back; `partial` maps the name of an unfinished non-transactional
    file to (statements done, checksum of the file then); `finished` maps it to the hash of each statement that is done, in order
    (`progress.StatementHash`): with these an edit of the unfinished part is allowed, without them none is.
    `seeds`: by name, when each ran last and with which checksum. `trace`: changes with every step of an unfinished file or rollback script,
    None when there is none. `claim`: as `postgres.claim` writes it.
    """

    applied: tuple[AppliedMigration, ...] = ()
    rolled_back: Mapping[str, str] = field(default_factory=dict)
    partial: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    finished: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: Mapping[str, AppliedMigration] = field(default_factory=dict)
    trace: str | None = None
    claim: str | None = None


class PlannedMigration(NamedTuple):
    """One line of a plan. `file` None: applied, but no longer in the folder; `row_number` is then what its name says.

    `statements_done` > 0: an unfinished non-transactional file that a run would resume. `beyond_target`: pending, but not in this run.
    """

    name: str
    version: str
    state: State
    file: MigrationFile | None
    applied_at: datetime | None = None
    duration_ms: int | None = None
    statements_done: int = 0
    note: str | None = None
    beyond_target: bool = False
    row_number: int = 0

    @property
    def number(self) -> int:
        return self.row_number if self.file is None else self.file.number


@dataclass(frozen=True, slots=True)
class Plan:
    """What is and what would be done, in order. `hash` covers names and checksums of the pending files and the environment.

    `seeds` come after all migrations.
    """

    migrations: tuple[PlannedMigration, ...]
    environment: str | None
    hash: str
    notes: tuple[str, ...] = ()
    seeds: tuple[PlannedMigration, ...] = ()

    @property
    def pending_seeds(self) -> tuple[MigrationFile, ...]:
        """The seeds that a run would run, in order, after the pending files."""
        return tuple(s.file for s in self.seeds if s.state is State.PENDING and s.file is not None and not s.beyond_target)

    @property
    def pending(self) -> tuple[MigrationFile, ...]:
        """The files that a run would apply, in order: those beyond the target are not among them."""
        return tuple(m.file for m in self.migrations if m.state is State.PENDING and m.file is not None and not m.beyond_target)

    @property
    def scripts(self) -> Iterator[MigrationFile | Script]:
        """All that a run would execute: the pending files and seeds, each with its verify script."""
        for file in (*self.pending, *self.pending_seeds):
            yield file
            if file.verify is not None:
                yield file.verify

    @property
    def newest(self) -> PlannedMigration | None:
        """The applied one with the highest number."""
        applied = [m for m in self.migrations if m.state in (State.APPLIED, State.APPLIED_UNVERIFIED)]
        return max(applied, key=lambda m: m.number, default=None)

    @property
    def version(self) -> str | None:
        """The digits of the newest applied file, as written in its name."""
        newest = self.newest
        return newest.version if newest is not None else None

    def count(self, *states: State) -> int:
        return sum(m.state in states for m in self.migrations)
