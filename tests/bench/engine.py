"""The command line against psql on a real server with fsync on: many small files, nothing to do, one big file."""

import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.candidates import (
    bench_server,
    fresh_database,
    on_fresh_database,
    run_apply,
    run_psql,
    small_statements,
    template_statements,
    write_files,
)
from tests.bench.measure import Series, in_turns, run_process
from tests.bench.table import Row
from tests.engine.server import PostgresServer

FILES = 200
ROUNDS = 25
BIG_FILE_MB = 100


def many_files() -> Iterator[Row]:
    """200 files of 3 statements on an empty database: ours with lock, history and checksums, psql with nothing of the kind.

    Twice: with the smallest statements there are, where a start weighs most, and with those of the house template.
    """
    for what, write in (("a small table, an index, a row", small_statements), ("the house template's", template_statements)):
        with bench_server() as server, tempfile.TemporaryDirectory() as folder:
            series = _against_psql(server, folder, write_files(Path(folder), FILES, write))
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
            "dbmigration": lambda: on_fresh_database(server, lambda name: run_apply(server, name, folder)),
            "psql": lambda: on_fresh_database(server, lambda name: run_psql(server, name, *files)),
        },
        rounds=ROUNDS,
    )


def nothing_to_do() -> Iterator[Row]:
    """The whole process when the database is up to date: files hashed, history read."""
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), FILES, small_statements)
        name = fresh_database(server)
        run_apply(server, name, folder)
        connect = "import psycopg; psycopg.connect('').execute('select 1')"
        series = in_turns(
            {
                "dbmigration": lambda: run_apply(server, name, folder),
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
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        file = _write_big_file(Path(folder))
        series = in_turns(
            {
                "dbmigration": lambda: on_fresh_database(server, lambda name: run_apply(server, name, folder)),
                "psql": lambda: on_fresh_database(server, lambda name: run_psql(server, name, file)),
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
