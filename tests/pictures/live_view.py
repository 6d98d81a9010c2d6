"""`python -m tests.pictures.live_view`: docs/pictures/watch.svg, what `kubectl dbmigration watch` shows of a run on a real PostgreSQL.

The run is the engine's own, in this process, with a table that a session has locked and an index that takes some seconds; the view is told
what a Job's log would have told it.
"""

import io
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from dbmigration.api.report import Outcome
from dbmigration.cli.plugin.view import Bars
from dbmigration.decide import observed
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.settings import Execution
from dbmigration.run.engine import Engine
from dbmigration.run.options import RunOptions
from dbmigration.run.progress import OnProgress, Progress
from dbmigration.run.reporting import build_report
from dbmigration.run.stop import StopRequest
from tests.engine.server import OWNER, PostgresServer, running_server

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "watch.svg"
ROWS: Final = 16_000_000
LOCKED_S: Final = 5
_HEADER: Final = "-- Migration: {name}\n-- Purpose: a picture\n-- Dependencies: {needs}\n-- Rollback: rollback-{number}.sql\n"
FILES: Final = {
    "001_orders.sql": f"CREATE TABLE orders AS SELECT g AS id, g % 1000 AS customer FROM generate_series(1, {ROWS}) AS g;",
    "002_state.sql": "ALTER TABLE orders ADD COLUMN state text NOT NULL DEFAULT 'new';",
    "003_customer_index.sql": "-- Transaction: none\nCREATE INDEX CONCURRENTLY orders_customer ON orders (customer);",
    "004_notes.sql": "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);",
}
_PICTURED: Final = (40, 90)
"""Percent of the index at which the picture is taken: the first look that falls between."""


class _Camera(Bars):
    """The view, with no clock of its own; it takes one picture while the index is built."""

    def __init__(self) -> None:
        self.console = Console(record=True, force_terminal=True, width=118, file=io.StringIO(), highlight=False)
        super().__init__(self.console)
        self.svg = ""

    def tick(self) -> None:
        at = self._at
        if self.svg or at is None or at.file != "003_customer_index.sql" or at.percent is None:
            return
        if self._estimate.left(time.monotonic()) and _PICTURED[0] <= at.percent <= _PICTURED[1] and "building index" in (at.message or ""):
            self.console.print(self.drawn())
            self.svg = self.console.export_svg(title="kubectl dbmigration watch studio", clear=False)


def main() -> int:
    camera = _Camera()
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        files = Path(folder)
        server.psql(f"CREATE DATABASE studio OWNER {OWNER}")
        # One process builds the index, so that it takes as long as an estimate of its end needs.
        server.psql("ALTER DATABASE studio SET max_parallel_maintenance_workers = 0")
        conninfo = ConnInfo.from_environment(server.environment("studio"))
        _write(files, "001_orders.sql")
        assert _run(files, conninfo, lambda _: None) is Outcome.SUCCEEDED
        for name in FILES:
            _write(files, name)
        reader = threading.Thread(target=_hold_a_lock, args=(server,))
        reader.start()
        outcome = _run(files, conninfo, lambda progress: camera.progress(_as_told(progress)))
        reader.join()
    if outcome is not Outcome.SUCCEEDED or not camera.svg:
        sys.stderr.write(f"no picture: the run {outcome}, and the index was not seen between {_PICTURED[0]} and {_PICTURED[1]} %\n")
        return 1
    PICTURE.parent.mkdir(exist_ok=True)
    # rich names a font on somebody's server; a page of ours loads nothing from elsewhere.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", camera.svg, flags=re.DOTALL), encoding="utf-8")
    return 0


def _as_told(progress: Progress) -> observed.Progress:
    """As the log of a Job would have it."""
    return observed.Progress(
        progress.step.value,
        progress.file,
        progress.done,
        progress.total,
        progress.message,
        progress.blocked_by,
        progress.percent,
        progress.finished,
    )


def _run(files: Path, conninfo: ConnInfo, told: OnProgress) -> Outcome:
    options = RunOptions(directory=files, run_id="studio-6f0c2a", execution=Execution(lock_timeout_ms=60_000))
    result = Engine(options, conninfo, told, StopRequest()).run()
    return build_report(result, environment=None).outcome


def _write(folder: Path, name: str) -> None:
    number = name.partition("_")[0]
    needs = "001_orders.sql" if number in ("002", "003") else "none"
    (folder / name).write_text(_HEADER.format(name=name, number=number, needs=needs) + FILES[name] + "\n", encoding="utf-8")
    (folder / f"rollback-{number}.sql").write_text("SELECT 1;\n", encoding="utf-8")


def _hold_a_lock(server: PostgresServer) -> None:
    """As a report of the application does that reads for some seconds."""
    server.psql(f"BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE; SELECT pg_sleep({LOCKED_S}); COMMIT;", database="studio", user=OWNER)


if __name__ == "__main__":
    sys.exit(main())
