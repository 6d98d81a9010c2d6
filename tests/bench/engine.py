"""The command line against psql on a real server with fsync on: many small files, nothing to do, one big file."""

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Sample, Series, in_turns, run_process
from tests.bench.table import Row
from tests.engine.server import OWNER, PostgresServer, running_server

FILES = 200
ROUNDS = 9
BIG_FILE_MB = 100
_numbers = itertools.count(1)


def many_files() -> Iterator[Row]:
    """200 files of 3 statements on an empty database: ours with lock, history and checksums, psql with nothing of the kind.

    Twice: with the smallest statements there are, where a start weighs most, and with those of the house template.
    """
    for what, write in (("a small table, an index, a row", _small_statements), ("the house template's", _template_statements)):
        with _server() as server, tempfile.TemporaryDirectory() as folder:
            series = _against_psql(server, folder, _write_files(Path(folder), FILES, write))
        ours, psql = series["dbmigration"], series["psql"]
        yield Row(
            f"{FILES} files × 3 statements ({what}), from nothing",
            "`dbmigration apply`",
            f"{ours.seconds:.2f} s ({ours.spread})",
            f"psql, one session, a transaction a file: {psql.seconds:.2f} s ({psql.spread})",
            f"{ours.ratio_to(psql):.2f}",
            "≤ 1.3",
            "make bench ONLY=many_files",
        )


def _against_psql(server: PostgresServer, folder: str, files: list[Path]) -> dict[str, Series]:
    return in_turns(
        {
            "dbmigration": lambda: _on_fresh_database(server, lambda name: _apply(server, name, folder)),
            "psql": lambda: _on_fresh_database(server, lambda name: _psql(server, name, *files)),
        },
        rounds=ROUNDS,
    )


def nothing_to_do() -> Iterator[Row]:
    """The whole process when the database is up to date: files hashed, history read."""
    with _server() as server, tempfile.TemporaryDirectory() as folder:
        _write_files(Path(folder), FILES, _small_statements)
        name = _fresh_database(server)
        _apply(server, name, folder)
        connect = "import psycopg; psycopg.connect('').execute('select 1')"
        series = in_turns(
            {
                "dbmigration": lambda: _apply(server, name, folder),
                "python": lambda: run_process([sys.executable, "-c", connect], server.environment(name)),
            },
            rounds=15,
        )
        ours, python = series["dbmigration"], series["python"]
        yield Row(
            f"nothing to do, {FILES} files",
            "`dbmigration apply`",
            f"{ours.seconds:.2f} s ({ours.spread})",
            f"Python that connects with psycopg: {python.seconds:.2f} s",
            f"{ours.ratio_to(python):.2f}",
            "≤ 0.35 s",
            "make bench ONLY=nothing_to_do",
        )


def big_file() -> Iterator[Row]:
    """One SQL file of 100 MB: memory of the process that runs it, and its time against psql's."""
    with _server() as server, tempfile.TemporaryDirectory() as folder:
        file = _write_big_file(Path(folder))
        series = in_turns(
            {
                "dbmigration": lambda: _on_fresh_database(server, lambda name: _apply(server, name, folder)),
                "psql": lambda: _on_fresh_database(server, lambda name: _psql(server, name, file)),
            },
            rounds=3,
        )
        ours, psql = series["dbmigration"], series["psql"]
        size = file.stat().st_size / 1e6
        yield Row(
            f"one file of {size:.0f} MB (INSERTs of 50 rows), memory",
            "`dbmigration apply`",
            f"{ours.peak_mb:.0f} MB",
            f"psql: {psql.peak_mb:.0f} MB",
            f"{ours.peak_mb / psql.peak_mb:.1f}",
            "≤ 80 MB",
            "make bench ONLY=big_file",
        )
        yield Row(
            f"one file of {size:.0f} MB (INSERTs of 50 rows), time",
            "`dbmigration apply`",
            f"{ours.seconds:.1f} s",
            f"psql: {psql.seconds:.1f} s",
            f"{ours.ratio_to(psql):.2f}",
            "",
            "make bench ONLY=big_file",
        )


@contextmanager
def _server() -> Iterator[PostgresServer]:
    with running_server(fsync=True, log_statements=False) as server:
        yield server


def _write_files(folder: Path, count: int, statements: Callable[[int], str]) -> list[Path]:
    files = []
    for number in range(1, count + 1):
        file = folder / f"{number:03}_table.sql"
        file.write_text(f"-- Migration: {number:03} - Table {number}\n\nBEGIN;\n\n{statements(number)}\nCOMMIT;\n")
        files.append(file)
    return files


def _small_statements(number: int) -> str:
    return (
        f"CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL, made_at timestamptz NOT NULL DEFAULT now());\n"
        f"CREATE INDEX t{number}_name ON t{number} (name);\n"
        f"INSERT INTO t{number} (id, name) VALUES (1, 'one');\n"
    )


def _template_statements(number: int) -> str:
    """A column, a table with a foreign key, and the index of that key, as the requirements' template has them."""
    if number == 1:
        return (
            "CREATE TABLE projects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL);\n"
            "CREATE INDEX idx_projects_name ON projects (name);\nINSERT INTO projects (name) VALUES ('one');\n"
        )
    return (
        f"ALTER TABLE projects ADD COLUMN max_databases_{number} INTEGER DEFAULT 10, "
        f"ADD COLUMN max_storage_gb_{number} INTEGER DEFAULT 100;\n"
        f"CREATE TABLE IF NOT EXISTS project_limits_{number} (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), "
        "project_id UUID REFERENCES projects (id) ON DELETE CASCADE, resource_type TEXT NOT NULL, limit_value INTEGER NOT NULL, "
        "current_usage INTEGER DEFAULT 0, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW());\n"
        f"CREATE INDEX idx_project_limits_{number}_project_id ON project_limits_{number} (project_id);\n"
    )


def _write_big_file(folder: Path) -> Path:
    file = folder / "001_big.sql"
    note = "the quick brown fox jumps over the lazy dog; it''s not the first time, "
    with file.open("w") as out:
        out.write("BEGIN;\nCREATE TABLE big (id bigint PRIMARY KEY, name text NOT NULL, note text NOT NULL);\n")
        for start in itertools.count(1, 50):
            rows = ",\n".join(f"({number}, 'row {number}', '{note}{number}')" for number in range(start, start + 50))
            out.write(f"INSERT INTO big (id, name, note) VALUES\n{rows};\n")
            if start % 5000 == 1 and out.tell() > BIG_FILE_MB * 1e6:
                break
        out.write("COMMIT;\n")
    return file


def _fresh_database(server: PostgresServer) -> str:
    name = f"bench_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0")
    server.psql("CHECKPOINT")
    return name


def _on_fresh_database(server: PostgresServer, work: Callable[[str], Sample]) -> Sample:
    name = _fresh_database(server)
    sample = work(name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE)")
    return sample


def _apply(server: PostgresServer, name: str, folder: str) -> Sample:
    program = Path(sys.executable).parent / "dbmigration"
    return run_process([program, "apply", "--dir", folder, "--environment", "development", "--no-backup"], server.environment(name))


def _psql(server: PostgresServer, name: str, *files: Path) -> Sample:
    each = [word for file in files for word in ("-f", str(file))]
    return run_process([server.binaries / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", *each], server.environment(name))
