"""Seeds: files of data that run again whenever their text changes, after the migrations. `seed-NAME.sql`, in order of their names.

They lie among the migrations, as in a ConfigMap, or in the folder that dbmigration.toml names: the name alone makes a seed, so that both
folders can become one.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent, Place
from dbmigration.migrations import digest
from dbmigration.migrations.checksum import read_text
from dbmigration.migrations.header import parse_header
from dbmigration.migrations.model import AppliedMigration, Header, History, MigrationFile, MigrationSet, PlannedMigration, SetConfig
from dbmigration.migrations.packed import is_packed

PREFIX: Final = "seed-"

VERSION: Final = "seed"
"""What stands where a migration has its number."""

NUMBER: Final = sys.maxsize
"""After every migration."""

_NAME: Final = re.compile(r"seed-[A-Za-z0-9][A-Za-z0-9._-]*\.sql", re.ASCII)
_DONE: Final = (State.APPLIED, State.APPLIED_UNVERIFIED)


def read_seeds(
    directory: Path,
    names: Iterable[str],
    config: SetConfig,
    resolve: Callable[[Header, str], Header],
    *,
    beside: bool,
    at: Mapping[str, Path] | None = None,
) -> tuple[tuple[MigrationFile, ...], dict[str, str]]:
    """The seeds in order, and the SHA-256 (hex) of each one's raw bytes.

    `names`: those among the migrations; `at`: where they are, if not in `directory`.
    `resolve` makes migrations' names of a header's dependencies. `beside` False: the folder that
    `config` names is not looked at, because all files were put into one. Raises Permanent with the file: SOURCE_INVALID, DUPLICATE_NUMBER
    for one name in both folders, UNKNOWN_ENVIRONMENT, and what `resolve` raises.
    """
    paths = {name: (at or {}).get(name, directory / name) for name in names}
    if beside and config.seeds is not None:
        for name, path in _list_folder(directory, config.seeds).items():
            if name in paths:
                message = f"is beside the migrations and in {config.seeds}: leave it in one of them"
                raise Permanent(Reason.DUPLICATE_NUMBER, message, place=Place(name))
            paths[name] = path
    hashes = dict[str, str]()
    seeds = list[MigrationFile]()
    for name, path in sorted(paths.items()):
        if not _NAME.fullmatch(name):
            message = "is misnamed: a seed is seed-NAME.sql, with letters, digits, dots, - and _"
            raise Permanent(Reason.SOURCE_INVALID, message, place=Place(name))
        text = read_text(str(path), name)
        hashes[name] = text.raw_sha256
        header = parse_header(text.head.decode("utf-8", "replace"), name=name, number=NUMBER, environments=config.environments)
        header = resolve(header, name) if header.dependencies else header
        # Whole or not at all: after a failure it runs again from its first statement.
        seeds.append(MigrationFile(NUMBER, VERSION, name, path, text.checksum, text.size, header._replace(transaction=True)))
    return tuple(seeds), hashes


def plan_seeds(
    files: MigrationSet, history: History, migrations: Iterable[PlannedMigration], environment: str | None
) -> tuple[PlannedMigration, ...]:
    """What each seed is to the database: pending when it never ran, when its text changed, or when a migration that its header depends on
    is applied by the same run or was applied since (a table that was made anew is empty).

    It waits, out of this run, while one of those is neither applied nor going to be.
    """
    lines = {line.name: line for line in migrations}
    return tuple(_place(seed, history.seeds.get(seed.name), lines, environment) for seed in files.seeds)


def _place(
    seed: MigrationFile, row: AppliedMigration | None, lines: Mapping[str, PlannedMigration], environment: str | None
) -> PlannedMigration:
    if not seed.runs_in(environment):
        note = f"only in {', '.join(seed.header.environments)}"
        return PlannedMigration(seed.name, seed.version, State.SKIPPED, seed, note=note)
    needed = [lines[dependency.name] for dependency in seed.header.dependencies]
    missing = [
        line for line in needed if line.state not in (*_DONE, State.SKIPPED) and (line.state is not State.PENDING or line.beyond_target)
    ]
    if missing:
        note = f"waits for {', '.join(line.name for line in missing)}"
        return PlannedMigration(seed.name, seed.version, State.PENDING, seed, note=note, beyond_target=True)
    if row is None:
        return PlannedMigration(seed.name, seed.version, State.PENDING, seed)
    if row.checksum != seed.checksum:
        return PlannedMigration(seed.name, seed.version, State.PENDING, seed, note="changed since it ran")
    newer = [
        line.name for line in needed if line.state is State.PENDING or (line.applied_at is not None and line.applied_at > row.applied_at)
    ]
    if newer:
        return PlannedMigration(seed.name, seed.version, State.PENDING, seed, note=f"again, after {', '.join(newer)}")
    return PlannedMigration(seed.name, seed.version, State.APPLIED, seed, row.applied_at, row.duration_ms)


def _list_folder(directory: Path, named: str) -> dict[str, Path]:
    folder = directory / named
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: folder / entry.name for entry in entries if digest.counts(entry.name) and not entry.is_dir()}
    except OSError as exc:
        message = f"[seeds] directory {named!r} cannot be read ({exc.strerror}): correct it, or leave [seeds] out"
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(digest.CONFIG_NAME)) from exc
    found.pop(digest.CONFIG_NAME, None)
    packed = sorted(name for name in found if is_packed(name))
    if packed:
        raise Permanent(
            Reason.SOURCE_INVALID,
            "is a seed with gzip in a folder of its own: keep it plain, or among the migrations",
            place=Place(packed[0]),
        )
    return found
