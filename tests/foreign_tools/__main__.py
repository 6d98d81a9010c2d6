"""`python -m tests.foreign_tools [TOOL …]`: install the real tools, run them on a real server, and keep what they left as fixtures.

Installs go into the cache's folder `foreign-tools`; they need Go, Node, Java with Maven, Rust, and for Sqitch Debian and root. The fixtures
are what `make test` reads: tests/engine/fixtures/foreign/TOOL/ with `left.sql` (a dump of the database), `failed.sql` where the tool has
a state for what failed, and `files/`, the files under our names.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.engine.server import OWNER, SUPERUSER, PostgresServer, running_server
from tests.foreign_tools.install import WITHIN_S, filled, installed
from tests.foreign_tools.recipes import RECIPES, Recipe

FIXTURES = Path(__file__).parents[1] / "engine" / "fixtures" / "foreign"
_VOLATILE = re.compile(r"^(?:--.*|\\(?:un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*|)\n", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.foreign_tools", description=__doc__)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(each.tool for each in RECIPES))
    wanted = parser.parse_args().tools
    with running_server(log_statements=False) as server:
        for recipe in RECIPES:
            if not wanted or recipe.tool in wanted:
                record(recipe, server)


def record(recipe: Recipe, server: PostgresServer, into: Path = FIXTURES) -> None:
    """Install the tool where it is not yet, run it, and keep what it left in the folder `into`/TOOL.

    Raises SystemExit with the tool's own words when it fails.
    """
    cache = installed(recipe)
    database = "foreign_" + recipe.tool.replace("-", "_")
    for name in (database, f"{database}_shadow"):
        server.psql(f"DROP DATABASE IF EXISTS {name}")
        server.psql(f"CREATE DATABASE {name} OWNER {OWNER}")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        _write_files(recipe, folder, lambda text: filled(text, cache, server, database))
        for command in recipe.run:
            _run(command, recipe, folder, cache, server, database)
        _keep(recipe, into, server, database, "left.sql")
        for name, source in recipe.ours.items():
            target = into / recipe.tool / "files" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / source, target)
        if recipe.failing:
            failed = False
            for command in recipe.failing:
                failed = not _run(command, recipe, folder, cache, server, database, must_succeed=False)
            if not failed:
                sys.exit(f"{recipe.tool}: was to fail, and did not")
            _keep(recipe, into, server, database, "failed.sql")
    print(f"{recipe.tool} {recipe.version}: kept in {into / recipe.tool}")


def _keep(recipe: Recipe, into: Path, server: PostgresServer, database: str, name: str) -> None:
    dump = server.run("pg_dump", "--inserts", "--no-owner", "--no-privileges", database=database, user=SUPERUSER)
    target = into / recipe.tool / name
    target.parent.mkdir(parents=True, exist_ok=True)
    made_by = f"-- What {recipe.tool} {recipe.version} left: python -m tests.foreign_tools {recipe.tool}\n"
    target.write_text(made_by + _VOLATILE.sub("", dump))


def _write_files(recipe: Recipe, folder: Path, fill: Callable[[str], str]) -> None:
    for name, text in recipe.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fill(text).encode())


def _run(
    command: tuple[str, ...], recipe: Recipe, folder: Path, cache: Path, server: PostgresServer, database: str, *, must_succeed: bool = True
) -> bool:
    environment = server.environment(database) | {"PGSSLMODE": "disable", "TZ": "UTC"}
    environment |= {name: filled(text, cache, server, database) for name, text in recipe.environment.items()}
    words = [filled(word, cache, server, database) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    if must_succeed and done.returncode != 0:
        sys.exit(f"{recipe.tool}: {words[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


if __name__ == "__main__":
    main()
