"""How near to psql a Python program with psycopg can come at all: ours, psql and the least client there is, in the same rounds."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.bench.candidates import bench_server, on_fresh_database, run_apply, run_psql, small_statements, write_files
from tests.bench.engine import FILES
from tests.bench.inputs import MEGABYTES, write_copy
from tests.bench.measure import in_turns, run_process
from tests.bench.table import Row

ROUNDS: Final = 15
_CLIENT: Final = Path(__file__).with_name("least_client.py")


def floor() -> Iterator[Row]:
    """200 small files, and one file of COPY data."""
    yield _beside(f"{FILES} files × 3 statements, from nothing", lambda folder: write_files(folder, FILES, small_statements))
    yield _beside(f"one file: {MEGABYTES} MB of COPY data", lambda folder: [write_copy(folder)], options=("-1",))


def _beside(what: str, write: Callable[[Path], list[Path]], options: tuple[str, ...] = ()) -> Row:
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder))
        series = in_turns(
            {
                "dbmigration": lambda: on_fresh_database(server, lambda name: run_apply(server, name, folder)),
                "psql": lambda: on_fresh_database(server, lambda name: run_psql(server, name, *files, options=options)),
                "least": lambda: on_fresh_database(
                    server, lambda name: run_process([sys.executable, _CLIENT, folder], server.environment(name))
                ),
            },
            rounds=ROUNDS,
        )
    ours, psql, least = series["dbmigration"], series["psql"], series["least"]
    return Row(
        f"{what}, against the least Python client",
        "`dbmigration apply`",
        f"{ours.seconds:.2f} s ({ours.spread}), {ours.ratio_to(psql):.2f} × psql",
        f"hash, one message a file, one history row: {least.seconds:.2f} s ({least.spread}), {least.ratio_to(psql):.2f} × psql",
        f"{ours.ratio_to(least):.2f}",
        "",
        "make bench ONLY=floor",
    )
