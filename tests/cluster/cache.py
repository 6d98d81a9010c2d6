"""Where state and caches live, and the content keys they are stored under."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
KEY_LENGTH: Final = 16
IGNORED: Final = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The one folder, outside the checkout, that holds everything the providers keep: remove it to start from nothing."""
    if named := environ.get("DBMIGRATION_CACHE"):
        return Path(named).expanduser().resolve()
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "dbmigration-operator"


def content_key(paths: Iterable[Path], *facts: str, root: Path = CHECKOUT) -> str:
    """A short hash of files (or whole folders) and of facts such as versions.

    Names count as well as bytes, times do not: a fresh checkout of the same content has the same key.
    Files outside the checkout go by their last name. A path that does not exist counts as absent, so that its appearance changes the key.
    """
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(f"fact {len(fact)} {fact}\n".encode())
    for path in sorted({file for given in paths for file in _files(given)}):
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        content = path.read_bytes() if path.exists() else b"absent"
        digest.update(f"file {name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:KEY_LENGTH]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and not IGNORED.intersection(file.parts) and file.suffix != ".pyc"]
