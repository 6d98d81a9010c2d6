"""What every benchmark on a server shares: databases, the two sides of a comparison, and the files that both are given."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Sample, run_process
from tests.engine.server import OWNER, PostgresServer, running_server

_numbers = itertools.count(1)


@contextmanager
def bench_server() -> Iterator[PostgresServer]:
    """As in production: with fsync, and nothing logged."""
    with running_server(fsync=True, log_statements=False) as server:
        yield server


def fresh_database(server: PostgresServer) -> str:
    """Its name. What the one before left to be written is written now."""
    name = f"bench_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0")
    server.psql("CHECKPOINT")
    return name


def on_fresh_database(server: PostgresServer, work: Callable[[str], Sample]) -> Sample:
    """`work` gets the name of a database that is gone afterwards."""
    name = fresh_database(server)
    sample = work(name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE)")
    return sample


def run_apply(server: PostgresServer, name: str, folder: str) -> Sample:
    """Ours, the whole process."""
    program = Path(sys.executable).parent / "dbmigration"
    return run_process([program, "apply", "--dir", folder, "--environment", "development", "--no-backup"], server.environment(name))


def run_psql(server: PostgresServer, name: str, *files: Path, options: tuple[str, ...] = ()) -> Sample:
    """One session, one file after the other."""
    each = [word for file in files for word in ("-f", str(file))]
    return run_process([server.binaries / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", *options, *each], server.environment(name))


def write_files(folder: Path, count: int, statements: Callable[[int], str]) -> list[Path]:
    """With BEGIN and COMMIT in each file."""
    files = []
    for number in range(1, count + 1):
        file = folder / f"{number:03}_table.sql"
        file.write_text(f"-- Migration: {number:03} - Table {number}\n\nBEGIN;\n\n{statements(number)}\nCOMMIT;\n")
        files.append(file)
    return files


def small_statements(number: int) -> str:
    """A small table, an index, a row."""
    return (
        f"CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL, made_at timestamptz NOT NULL DEFAULT now());\n"
        f"CREATE INDEX t{number}_name ON t{number} (name);\n"
        f"INSERT INTO t{number} (id, name) VALUES (1, 'one');\n"
    )


def template_statements(number: int) -> str:
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
