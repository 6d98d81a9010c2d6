"""Other migration tools, installed once into the cache by the ordinary clients of Go, npm, pip, cargo, Maven and Debian."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.cluster.cache import cache_root
from tests.engine.server import OWNER, PASSWORD, PostgresServer, install
from tests.foreign_tools.recipes import Recipe

WITHIN_S = 3600


def installed(recipe: Recipe) -> Path:
    """The tool's folder in the cache, after an install if that was never finished. Raises CalledProcessError and OSError."""
    cache = cache_root() / "foreign-tools" / f"{recipe.tool}-{recipe.version}"
    finished = cache / "installed"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for command in recipe.install:
            _install(command, cache)
        finished.touch()
    return cache


def filled(text: str, cache: Path, server: PostgresServer, database: str) -> str:
    """A word or a file of a recipe, with the places that {…} stand for."""
    place = f"{OWNER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}"
    return (
        text.replace("{cache}", str(cache))
        .replace("{url}", f"postgres://{place}/{database}?sslmode=disable")
        .replace("{shadow}", f"postgres://{place}/{database}_shadow?sslmode=disable")
        .replace("{yoyo_url}", f"postgresql+psycopg://{place}/{database}")
    )


def _install(command: tuple[str, ...], cache: Path) -> None:
    if command[0] == "apt":
        for package in command[1:]:
            install(package)
    elif command[0] == "write":
        (cache / command[1]).write_text(command[2])
    else:
        words = [word.replace("{cache}", str(cache)) for word in command]
        subprocess.run(words, cwd=cache, env=os.environ | {"GOBIN": str(cache)}, check=True, timeout=WITHIN_S)
