"""A folder of migrations, read: names, headers, checksums, and what is wrong with them, before any SQL."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place, Transient
from dbmigration.migrations import digest
from dbmigration.migrations.checksum import FileText, read_text
from dbmigration.migrations.config import read_config
from dbmigration.migrations.header import parse_header, parse_transaction
from dbmigration.migrations.layout import Layout, Named, Role, is_program, number_of, read_name, refusal
from dbmigration.migrations.model import Dependency, Header, MigrationFile, MigrationSet, Script, SetConfig

if TYPE_CHECKING:
    from dbmigration.migrations.halves import Halves
    from dbmigration.migrations.packed import Unpacked


_NAME_SHOWN: Final = 255
"""Of a name that is no file's, in an error: no file has a longer one."""


def read_set(directory: Path, layout: Layout | None = None, *, seeds_beside: bool = True) -> MigrationSet:
    """The folder's migrations in order of their numbers. Each file is read once, a block at a time.

    `layout` None: what dbmigration.toml says, else our own. `seeds_beside` False: seeds are among the migrations only, wherever
    dbmigration.toml says that they are kept (a ConfigMap is one folder). Ignores dotfiles (kubelet's `..data`), directories and names
    that do not end in .sql. Raises Permanent with file and line where there is one: SOURCE_INVALID (a misnamed or unreadable .sql, a
    script without its migration, not UTF-8, a bad header, a bad dbmigration.toml, no file but in folders below this one),
    DUPLICATE_NUMBER, DEPENDENCY_MISSING, UNKNOWN_ENVIRONMENT; Transient SOURCE_MISSING when there is no such folder.
    """
    names = _list_names(directory)
    unpacked = _unpacked(directory, names)
    if unpacked is not None:
        names = sorted({*unpacked.paths, *(name for name in names if name not in unpacked.hashes)})
    config = read_config(directory) if digest.CONFIG_NAME in names else SetConfig()
    seed_names = [name for name in names if name.startswith("seed-")]
    if seed_names:
        names = [name for name in names if not name.startswith("seed-")]
    if layout is not None and layout is not config.layout:
        config = config._replace(layout=layout)
    layout = config.layout
    if layout is Layout.GOOSE:
        _refuse_programs(directory, layout)
    migrations, scripts = _sort_by_role(names, layout)
    _refuse_duplicates(migrations, scripts)
    if not migrations and not seed_names:
        _refuse_folders_of_files(directory)

    base = str(directory)
    at = dict[str, Path]() if unpacked is None else unpacked.paths
    texts = dict[str, FileText]()
    hashes = dict[str, str]()
    halves: dict[str, Halves] = {}
    for name in names:
        if layout.in_one_file and name in migrations:
            halves[name] = both = _read_halves(str(at.get(name, f"{base}/{name}")), name, layout)
            texts[name], hashes[name] = both.up.text, both.raw_sha256
        else:
            texts[name] = text = read_text(at.get(name, f"{base}/{name}"), name)
            hashes[name] = text.raw_sha256

    names_by_number = {named.number: name for name, named in migrations.items()}
    files = list[MigrationFile]()
    for name, (_, number, version) in sorted(migrations.items(), key=lambda item: item[1].number):
        text = texts[name]
        path = at.get(name, directory / name)
        rollback = scripts.get((Role.ROLLBACK, number)) if scripts else None
        verify = scripts.get((Role.VERIFY, number)) if scripts else None
        header = parse_header(
            _decode(text), name=name, number=number, environments=config.environments, foreign=layout is not Layout.NUMBERED
        )
        if header.dependencies:
            header = _resolve_dependencies(header, name, number, names_by_number)
        file = MigrationFile(
            number=number,
            version=version,
            name=name,
            path=path,
            checksum=text.checksum,
            size=text.size,
            header=header,
            rollback=_script(directory, rollback, texts, at),
            verify=_script(directory, verify, texts, at),
            layout=layout,
        )
        files.append(_with_halves(file, halves[name]) if name in halves else file)
    seeds: tuple[MigrationFile, ...] = ()
    if seed_names or config.seeds:
        from dbmigration.migrations.seeds import NUMBER, read_seeds  # most sets have none

        def resolve(header: Header, name: str) -> Header:
            return _resolve_dependencies(header, name, NUMBER, names_by_number)

        seeds, seed_hashes = read_seeds(directory, seed_names, config, resolve, beside=seeds_beside, at=at)
        hashes |= seed_hashes
    if unpacked is not None:
        # The bytes that lie in the folder are what the digest is about: a ConfigMap's are not unpacked to hash them.
        hashes = {name: value for name, value in hashes.items() if name not in at} | unpacked.hashes
    return MigrationSet(directory, tuple(files), config, digest.digest_hashes(hashes), seeds)


def _list_names(directory: Path) -> list[str]:
    """The names that count, sorted. A link that leads nowhere is kept: reading it says so."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if digest.counts(entry.name) and not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise Transient(Reason.SOURCE_MISSING, f"there is no folder {directory}: name the one that holds the .sql files") from exc
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"folder {directory} cannot be read: {exc.strerror or exc}") from exc
    for name in names:
        if not _is_utf8(name):
            place = Place(os.fsencode(name).decode(errors="backslashreplace"))
            raise Permanent(Reason.SOURCE_INVALID, "has a name that is not UTF-8, which no history table can hold: rename it", place=place)
    return names


def _is_utf8(name: str) -> bool:
    """Bytes of a name that are not are surrogates to Python."""
    return name.isascii() or name.encode(errors="replace").decode() == name


def _refuse_folders_of_files(directory: Path) -> None:
    """A set that is kept one folder deeper is not an empty set, for which there would be nothing to do."""
    below = sorted(
        f"{entry.name}/{file.name}"
        for entry in directory.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
        for file in entry.iterdir()
        if file.suffix == ".sql"
    )
    if below:
        raise Permanent(
            Reason.SOURCE_INVALID,
            f"there is no migration in {directory.name or directory}, but in folders below it: {', '.join(below[:3])}"
            f"{' …' if len(below) > 3 else ''}. A set is one folder, so name that one, or, where a tool keeps each migration in a folder "
            "of its own, copy each to NNN_name.sql and its way down to rollback-NNN.sql",
        )


def _unpacked(directory: Path, names: list[str]) -> "Unpacked | None":
    if not any(name.endswith((".gz", ".GZ")) for name in names):
        return None
    from dbmigration.migrations.packed import unpack  # few sets have any

    return unpack(directory, names)


def _refuse_programs(directory: Path, layout: Layout) -> None:
    """To pass over a migration in silence because it is no SQL would leave a hole in the order."""
    programs = sorted(entry.name for entry in directory.iterdir() if is_program(entry.name))
    if programs:
        raise refusal(programs, layout)


def _sort_by_role(names: list[str], layout: Layout) -> tuple[dict[str, Named], dict[tuple[Role, int], str]]:
    """({name: what it says} of each migration, {(role, number): name} of the scripts)."""
    migrations = dict[str, Named]()
    scripts = dict[tuple[Role, int], str]()
    misnamed = list[str]()
    for name in names:
        named = read_name(name, layout)
        if named is None:
            if name != digest.CONFIG_NAME:
                misnamed.append(name)
        elif named.role is Role.MIGRATION:
            migrations[name] = named
        else:
            key = (named.role, named.number)
            if key in scripts:
                raise Permanent(
                    Reason.DUPLICATE_NUMBER, f"{scripts[key]} and {name} are for the same migration: keep one", place=Place(name)
                )
            scripts[key] = name
    if misnamed:
        raise refusal(misnamed, layout)
    return migrations, scripts


def _refuse_duplicates(migrations: Mapping[str, Named], scripts: Mapping[tuple[Role, int], str]) -> None:
    by_number = dict[int, list[str]]()
    for name, named in migrations.items():
        by_number.setdefault(named.number, []).append(name)
    twice = [names for _, names in sorted(by_number.items()) if len(names) > 1]
    if twice:
        said = "; ".join(" and ".join(names) for names in twice)
        raise Permanent(
            Reason.DUPLICATE_NUMBER, f"two files have one number: {said}. Give one the next free number", place=Place(twice[0][-1])
        )
    for (role, number), name in sorted(scripts.items()):
        if number not in by_number:
            raise Permanent(Reason.SOURCE_INVALID, f"there is no migration for this {role} script: name it after one", place=Place(name))


def _resolve_dependencies(header: Header, name: str, number: int, numbers: Mapping[int, str]) -> Header:
    """The header with each dependency as a file's name; every one must be there and have a lower number."""
    resolved = list[Dependency]()
    by_name = {there: at for at, there in numbers.items()}
    for dependency in header.dependencies:
        said = dependency.name[:_NAME_SHOWN]
        wanted = by_name.get(dependency.name, _number_in(dependency.name))
        there = numbers.get(wanted)
        place = Place(name, dependency.line)
        if there is None:
            raise Permanent(
                Reason.DEPENDENCY_MISSING,
                f"depends on {said}, which is not in the folder: add it or mend the header",
                place=place,
            )
        if there != dependency.name and not dependency.name.isdigit():
            raise Permanent(
                Reason.DEPENDENCY_MISSING,
                f"depends on {said}, which is not in the folder; {there} is: mend the header",
                place=place,
            )
        if wanted >= number:
            raise Permanent(
                Reason.DEPENDENCY_MISSING, f"depends on {there}, which does not come before it: give this file a higher number", place=place
            )
        resolved.append(Dependency(there, dependency.line))
    return header._replace(dependencies=tuple(resolved))


def _number_in(name: str) -> int:
    digits = re.match(r"\d+", name, re.ASCII)
    number = number_of(digits[0]) if digits else None
    return -1 if number is None else number


def _read_halves(path: str, name: str, layout: Layout) -> "Halves":
    from dbmigration.migrations.halves import read_halves  # only these layouts need it

    return read_halves(path, name, layout)


def _with_halves(file: MigrationFile, halves: "Halves") -> MigrationFile:
    """A word of the file's header wins over its marker."""
    header, up, down = file.header, halves.up, halves.down
    if up.transaction is not None and header.transaction is None:
        header = header._replace(transaction=up.transaction)
    rollback = None if down is None else Script(file.name, file.path, down.text.checksum, down.transaction, down.part)
    return file._replace(header=header, part=up.part, rollback=rollback)


def _script(directory: Path, name: str | None, texts: Mapping[str, FileText], at: Mapping[str, Path]) -> Script | None:
    if name is None:
        return None
    text = texts[name]
    return Script(name, at.get(name, directory / name), text.checksum, parse_transaction(_decode(text), name=name))


def _decode(text: FileText) -> str:
    return text.head.decode("utf-8", "replace")  # checked already; only the last character of a block can be cut
