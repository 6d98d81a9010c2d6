"""A folder of migrations, read: names, headers, checksums, and what is wrong with them, before any SQL."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place, Transient
from dbmigration.migrations import digest
from dbmigration.migrations.checksum import FileText, read_text
from dbmigration.migrations.config import read_config
from dbmigration.migrations.header import parse_header, parse_transaction
from dbmigration.migrations.model import Dependency, Header, MigrationFile, MigrationSet, Script, SetConfig

_MIGRATION = re.compile(r"(\d{3,})_[A-Za-z0-9][A-Za-z0-9_-]*\.sql", re.ASCII)
_SCRIPT = re.compile(r"(rollback|verify)-(\d{3,})\.sql", re.ASCII)


def read_set(directory: Path) -> MigrationSet:
    """The folder's migrations in order of their numbers. Each file is read once, a block at a time.

    Ignores dotfiles (kubelet's `..data`), directories and names that do not end in .sql. Raises Permanent with file and line where there
    is one: SOURCE_INVALID (a misnamed or unreadable .sql, a script without its migration, not UTF-8, a bad header, a bad
    dbmigration.toml), DUPLICATE_NUMBER, DEPENDENCY_MISSING, UNKNOWN_ENVIRONMENT; Transient SOURCE_MISSING when there is no such folder.
    """
    names = _list_names(directory)
    config = read_config(directory) if digest.CONFIG_NAME in names else SetConfig()
    migrations, scripts = _sort_by_kind(names)
    _refuse_duplicates(migrations, scripts)

    hashes = dict[str, str]()
    texts = dict[str, FileText]()
    base = str(directory)
    for name in names:
        text = read_text(f"{base}/{name}", name)
        hashes[name] = text.raw_sha256
        texts[name] = text

    numbers = dict(migrations)
    files = list[MigrationFile]()
    for number, name in sorted(migrations):
        text = texts[name]
        header = parse_header(_decode(text), name=name, number=number, environments=config.environments)
        if header.dependencies:
            header = _resolve_dependencies(header, name, number, numbers)
        files.append(
            MigrationFile(
                number=number,
                version=name.partition("_")[0],
                name=name,
                path=directory / name,
                checksum=text.checksum,
                size=text.size,
                header=header,
                rollback=_script(directory, scripts.get(("rollback", number)), texts),
                verify=_script(directory, scripts.get(("verify", number)), texts),
            )
        )
    return MigrationSet(directory, tuple(files), config, digest.digest_hashes(hashes))


def _list_names(directory: Path) -> list[str]:
    """The names that count, sorted. A link that leads nowhere is kept: reading it says so."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if digest.counts(entry.name) and not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise Transient(Reason.SOURCE_MISSING, f"there is no folder {directory}: name the one that holds the .sql files") from exc
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"folder {directory} cannot be read: {exc.strerror or exc}") from exc


def _sort_by_kind(names: list[str]) -> tuple[list[tuple[int, str]], dict[tuple[str, int], str]]:
    """([(number, name) of each migration], {(kind, number): name} of the scripts)."""
    migrations = list[tuple[int, str]]()
    scripts = dict[tuple[str, int], str]()
    misnamed = list[str]()
    for name in names:
        if match := _MIGRATION.fullmatch(name):
            migrations.append((int(match[1]), name))
        elif match := _SCRIPT.fullmatch(name):
            key = (match[1], int(match[2]))
            if key in scripts:
                raise Permanent(
                    Reason.DUPLICATE_NUMBER, f"{scripts[key]} and {name} are for the same migration: keep one", place=Place(name)
                )
            scripts[key] = name
        elif name != digest.CONFIG_NAME:
            misnamed.append(name)
    if misnamed:
        others = f" (and so are {', '.join(misnamed[1:6])}{' …' if len(misnamed) > 6 else ''})" if len(misnamed) > 1 else ""
        message = (
            f"is misnamed{others}: a migration is NNN_name.sql with three or more digits, its scripts rollback-NNN.sql and verify-NNN.sql"
        )
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(misnamed[0]))
    return migrations, scripts


def _refuse_duplicates(migrations: list[tuple[int, str]], scripts: Mapping[tuple[str, int], str]) -> None:
    by_number = dict[int, list[str]]()
    for number, name in migrations:
        by_number.setdefault(number, []).append(name)
    twice = [names for _, names in sorted(by_number.items()) if len(names) > 1]
    if twice:
        said = "; ".join(" and ".join(names) for names in twice)
        raise Permanent(
            Reason.DUPLICATE_NUMBER, f"two files have one number: {said}. Give one the next free number", place=Place(twice[0][-1])
        )
    for (kind, number), name in sorted(scripts.items()):
        if number not in by_number:
            raise Permanent(
                Reason.SOURCE_INVALID, f"there is no migration {number:03} for this {kind} script: name it after one", place=Place(name)
            )


def _resolve_dependencies(header: Header, name: str, number: int, numbers: Mapping[int, str]) -> Header:
    """The header with each dependency as a file's name; every one must be there and have a lower number."""
    resolved = list[Dependency]()
    for dependency in header.dependencies:
        digits = re.match(r"\d+", dependency.name)
        wanted = int(digits[0]) if digits else number
        there = numbers.get(wanted)
        place = Place(name, dependency.line)
        if there is None:
            raise Permanent(
                Reason.DEPENDENCY_MISSING,
                f"depends on {dependency.name}, which is not in the folder: add it or mend the header",
                place=place,
            )
        if there != dependency.name and not dependency.name.isdigit():
            raise Permanent(
                Reason.DEPENDENCY_MISSING,
                f"depends on {dependency.name}, which is not in the folder; {there} is: mend the header",
                place=place,
            )
        if wanted >= number:
            raise Permanent(
                Reason.DEPENDENCY_MISSING, f"depends on {there}, which does not come before it: give this file a higher number", place=place
            )
        resolved.append(Dependency(there, dependency.line))
    return replace(header, dependencies=tuple(resolved))


def _script(directory: Path, name: str | None, texts: Mapping[str, FileText]) -> Script | None:
    if name is None:
        return None
    text = texts[name]
    return Script(name, directory / name, text.checksum, parse_transaction(_decode(text), name=name))


def _decode(text: FileText) -> str:
    return text.head.decode("utf-8", "replace")  # checked already; only the last character of a block can be cut
