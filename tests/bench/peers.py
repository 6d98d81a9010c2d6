"""The same 200 files for every migration tool, each in the tool's own format: from nothing, and with nothing to do."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.candidates import bench_server, fresh_database, on_fresh_database, run_apply, run_psql, small_statements, write_files
from tests.bench.measure import Sample, Series, in_turns, run_process
from tests.bench.table import Row
from tests.engine.server import PostgresServer
from tests.foreign_tools.install import filled, installed
from tests.foreign_tools.recipes import RECIPES, Recipe

FILES = 200
ROUNDS = 5
_COMMAND = "make bench ONLY=peers"
_OURS = "dbmigration"
_PSQL = "psql, one session, a transaction a file"


@dataclass(frozen=True)
class Format:
    """How a tool wants a file: its name and its text, with {number} and {name} or {sql} in them."""

    name: str
    text: str = "{sql}"


FORMATS: Mapping[str, Format] = {
    "goose": Format("m/{number:05}_t.sql", "-- +goose Up\n{sql}"),
    "tern": Format("m/{number:03}_t.sql"),
    "node-pg-migrate": Format("m/{number:013}_t.sql"),
    "yoyo": Format("m/{number:04}.t.sql"),
    "flyway": Format("sql/V{number}__t.sql"),
    "liquibase": Format("{number:03}_t.sql", "--liquibase formatted sql\n--changeset bench:{number}\n{sql}"),
}


@dataclass(frozen=True)
class Peer:
    """A tool that is there, and its folder of files."""

    recipe: Recipe
    cache: Path
    folder: Path

    def run(self, server: PostgresServer, database: str) -> Sample:
        """Bring the database up to date: the whole process."""

        def fill(text: str) -> str:
            return filled(text, self.cache, server, database)

        environment = server.environment(database) | {"PGSSLMODE": "disable", "TZ": "UTC"}
        environment |= {name: fill(text) for name, text in self.recipe.environment.items()}
        return run_process([fill(word) for word in self._command()], environment, folder=self.folder)

    def _command(self) -> tuple[str, ...]:
        (command,) = self.recipe.run
        return ("java", "-cp", f"{{cache}}/lib/*{os.pathsep}.", "Run") if command[0] == "java" else command

    def prepare(self) -> None:
        """The files; what runs a Java library is compiled now, not while the clock runs."""
        form = FORMATS[self.recipe.tool]
        names = []
        for number in range(1, FILES + 1):
            names.append(form.name.format(number=number))
            file = self.folder / names[-1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(form.text.format(number=number, sql=small_statements(number)))
        if "Run.java" in self.recipe.files:
            (self.folder / "Run.java").write_text(self.recipe.files["Run.java"])
            subprocess.run(["javac", "-cp", f"{self.cache}/lib/*", "Run.java"], cwd=self.folder, check=True)
        if "root.yaml" in self.recipe.files:
            included = "".join(f"- include: {{file: {name}}}\n" for name in names)
            (self.folder / "root.yaml").write_text(f"databaseChangeLog:\n{included}")


def peers() -> Iterator[Row]:
    """One row for each tool and each question; all tools take turns in every round. Who cannot be installed has a row that says so."""
    recipes = [recipe for recipe in RECIPES if recipe.tool in FORMATS]
    with bench_server() as server, tempfile.TemporaryDirectory() as directory:
        ready = dict[str, Peer]()
        missing = dict[str, str]()
        for recipe in recipes:
            folder = Path(directory) / recipe.tool
            folder.mkdir()
            try:
                peer = Peer(recipe, installed(recipe), folder)
                peer.prepare()
                on_fresh_database(server, partial(peer.run, server))
                ready[recipe.tool] = peer
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                missing[recipe.tool] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        ours = Path(directory) / _OURS
        ours.mkdir()
        files = write_files(ours, FILES, small_statements)
        work: dict[str, Callable[[str], Sample]] = {_OURS: lambda name: run_apply(server, name, str(ours))}
        work |= {tool: partial(peer.run, server) for tool, peer in ready.items()}
        applied = {tool: fresh_database(server) for tool in work}
        for tool, run in work.items():
            run(applied[tool])
        nothing = in_turns({tool: partial(run, applied[tool]) for tool, run in work.items()}, rounds=ROUNDS)
        work["psql"] = lambda name: run_psql(server, name, *files)
        full = in_turns({tool: partial(on_fresh_database, server, run) for tool, run in work.items()}, rounds=ROUNDS)
    yield _row(f"{FILES} files × 3 statements, from nothing, against psql", full, "psql", _PSQL, "≤ 1.15")
    for recipe in recipes:
        name = f"{recipe.tool} {recipe.version}"
        for what, series in (("× 3 statements, from nothing", full), ("and nothing to do", nothing)):
            title = f"{FILES} files {what}, against {recipe.tool}"
            if recipe.tool in missing:
                yield Row(title, "`dbmigration apply`", "", f"{name} could not be run: {missing[recipe.tool]}", "", "", _COMMAND)
            else:
                yield _row(title, series, recipe.tool, name, "≤ 1" if series is full else "")


def _row(what: str, series: Mapping[str, Series], peer: str, name: str, bound: str) -> Row:
    ours, theirs = series[_OURS], series[peer]
    figure, other = (f"{each.seconds:.2f} s ({each.spread})" for each in (ours, theirs))
    return Row(what, "`dbmigration apply`", figure, f"{name}: {other}", f"{ours.ratio_to(theirs):.2f}", bound, _COMMAND)
