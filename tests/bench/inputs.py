"""Inputs of a size that shows what grows: thousands of files, 50 MB of INSERTs or of COPY data, and lint of a long history."""

import itertools
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from tests.bench.measure import Sample, in_turns, run_process
from tests.bench.table import Row
from tests.engine.server import PostgresServer

FILES = 4000
LINTED = 1000
MEGABYTES = 50
SMALL_INSERTS = 400_000
ROUNDS = 3
_COMMAND = "make bench ONLY=inputs"
_PSQL = "`psql -1 -f`"


def inputs() -> Iterator[Row]:
    """All of them, in the order of the table."""
    yield from _thousands_of_files()
    for what, write, bound in (
        (f"{MEGABYTES} MB of INSERTs of 50 rows", _long_inserts, "≤ 0.9"),
        (f"{SMALL_INSERTS:,} INSERTs of one row", _small_inserts, "≤ 0.15"),
        (f"{MEGABYTES} MB of COPY data", write_copy, "≤ 1.1"),
    ):
        yield from _one_file(what, write, bound)
    yield _lint()


def _thousands_of_files() -> Iterator[Row]:
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), FILES, small_statements)
        series = in_turns(
            {
                "dbmigration": lambda: on_fresh_database(server, lambda name: run_apply(server, name, folder)),
                "psql": lambda: on_fresh_database(server, lambda name: run_psql(server, name, *files)),
            },
            rounds=ROUNDS,
            warmup=0,
        )
        ours, psql = series["dbmigration"], series["psql"]
        yield Row(
            f"{FILES:,} files × 3 statements, from nothing",
            "`dbmigration apply`",
            f"{ours.seconds:.1f} s ({ours.spread})",
            f"psql, one session, a transaction a file: {psql.seconds:.1f} s ({psql.spread})",
            f"{ours.ratio_to(psql):.2f}",
            "≤ 2",
            _COMMAND,
        )
        name = fresh_database(server)
        run_apply(server, name, folder)
        connect = "import psycopg; psycopg.connect('').execute('select 1')"
        series = in_turns(
            {
                "dbmigration": lambda: run_apply(server, name, folder),
                "python": lambda: run_process([sys.executable, "-c", connect], server.environment(name)),
            },
            rounds=9,
        )
        ours, python = series["dbmigration"], series["python"]
        yield Row(
            f"nothing to do, {FILES:,} files",
            "`dbmigration apply`",
            f"{ours.seconds:.2f} s ({ours.spread})",
            f"Python that connects with psycopg: {python.seconds:.2f} s",
            f"{ours.ratio_to(python):.2f}",
            "≤ 0.45 s",
            _COMMAND,
        )


def _one_file(what: str, write: Callable[[Path], Path], bound: str) -> Iterator[Row]:
    """Time and memory of both processes and of the server's for them. psql's is one transaction too: -1."""
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder))
        backends = {"dbmigration": Memory(), "psql": Memory()}
        series = in_turns(
            {
                "dbmigration": lambda: on_fresh_database(
                    server, lambda name: _sampled(server, name, backends["dbmigration"], lambda: run_apply(server, name, folder))
                ),
                "psql": lambda: on_fresh_database(
                    server, lambda name: _sampled(server, name, backends["psql"], lambda: run_psql(server, name, file, options=("-1",)))
                ),
            },
            rounds=ROUNDS,
            warmup=0,
        )
    ours, psql = series["dbmigration"], series["psql"]
    yield Row(
        f"one file: {what}",
        "`dbmigration apply`",
        f"{ours.seconds:.2f} s ({ours.spread})",
        f"{_PSQL}: {psql.seconds:.2f} s ({psql.spread})",
        f"{ours.ratio_to(psql):.2f}",
        bound,
        _COMMAND,
    )
    yield Row(
        f"one file: {what}, memory of client and server process",
        "`dbmigration apply`",
        f"{ours.peak_mb:.0f} and {backends['dbmigration'].peak_mb:.0f} MB",
        f"{_PSQL}: {psql.peak_mb:.0f} and {backends['psql'].peak_mb:.0f} MB",
        "",
        "≤ 64 and ≤ 16 MB",
        _COMMAND,
    )


def _lint() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), LINTED, template_statements)
        program = Path(sys.executable).parent / "dbmigration"
        command: list[str | Path] = [program, "lint", "--dir", folder, "--fail-on", "never"]
        series = in_turns({"lint": lambda: run_process(command, {})}, rounds=ROUNDS)
    ours = series["lint"]
    return Row(
        f"lint of {LINTED:,} files × 3 statements",
        "`dbmigration lint`",
        f"{ours.seconds:.2f} s ({ours.spread})",
        "none",
        "",
        "≤ 3 s",
        _COMMAND,
    )


def _long_inserts(folder: Path) -> Path:
    def rows() -> Iterator[str]:
        for start in itertools.count(1, 50):
            values = ",\n".join(f"({number}, 'row {number}', '{_NOTE}{number}')" for number in range(start, start + 50))
            yield f"INSERT INTO big (id, name, note) VALUES\n{values};\n"

    return _write(folder / "001_long.sql", rows(), lambda written, _: written >= MEGABYTES * 1e6)


def _small_inserts(folder: Path) -> Path:
    rows = (f"INSERT INTO big (id, name, note) VALUES ({number}, 'row {number}', '{_NOTE}');\n" for number in itertools.count(1))
    return _write(folder / "001_small.sql", rows, lambda _, count: count >= SMALL_INSERTS)


def write_copy(folder: Path) -> Path:
    """A file with a table and 50 MB of data for it."""
    rows = (f"{number}\trow {number}\t{_NOTE}{number}\n" for number in itertools.count(1))
    return _write(folder / "001_copy.sql", rows, lambda written, _: written >= MEGABYTES * 1e6, "COPY big FROM STDIN;\n", "\\.\n")


_NOTE = "the quick brown fox jumps over the lazy dog; it is not the first time, "


def _write(file: Path, parts: Iterator[str], enough: Callable[[int, int], bool], before: str = "", after: str = "") -> Path:
    """A table and `parts` until `enough(bytes, parts)`."""
    with file.open("w") as out:
        out.write(f"CREATE TABLE big (id bigint PRIMARY KEY, name text NOT NULL, note text NOT NULL);\n{before}")
        written = 0
        for count, part in enumerate(parts, 1):
            written += out.write(part)
            if enough(written, count):
                break
        out.write(after)
    return file


@dataclass
class Memory:
    """The most anonymous memory (RssAnon, in MB) that one of the server's processes for a database was seen with."""

    peak_mb: float = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def watch(self, server: PostgresServer, name: str) -> None:
        """Looks 20 times a second until `end`."""
        self._ended.clear()
        while not self._ended.wait(0.05):
            for process in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
                self.peak_mb = max(self.peak_mb, _anonymous_mb(process, name))

    def end(self) -> None:
        self._ended.set()


def _anonymous_mb(process: str, name: str) -> float:
    """0 for a process of another database, or one that has just ended."""
    try:
        if f" {name} " not in Path(f"/proc/{process}/cmdline").read_text():
            return 0
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0].split()[1]) / 1024 if found else 0


@contextmanager
def _watched(server: PostgresServer, name: str, memory: Memory) -> Iterator[None]:
    thread = threading.Thread(target=memory.watch, args=(server, name))
    thread.start()
    try:
        yield
    finally:
        memory.end()
        thread.join()


def _sampled(server: PostgresServer, name: str, memory: Memory, work: Callable[[], Sample]) -> Sample:
    with _watched(server, name, memory):
        return work()
