"""One round: a random set, run and killed until it is through, then looked at; and rolled back likewise."""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg

from dbmigration.api.reasons import Reason
from tests.engine.server import OWNER
from tests.soak import unknown
from tests.soak.checks import Broken, check_round, check_undone
from tests.soak.kills import Kill, choose_kill, choose_trigger, conninfo, strike
from tests.soak.proxy import Proxy
from tests.soak.server import CrashingServer
from tests.soak.sets import random_set
from tests.soak.undoing import random_undoing

_OPERATOR = Path(__file__).parents[2] / "operator"
_RUN_WITHIN_S = 120
_ALWAYS = ("--no-backup", "--wait", "30s", "--drift", "refuse")
_MOST_KILLS = 4
"""In one round; then the run is left alone."""

_SNAPSHOT_HELD_S = 0.5
"""After the runner's last message: longer than any strike waits."""

_ENDS = {0: "finished", 3: "to be tried again", 143: "stopped by SIGTERM", -9: "killed", -15: "killed before it could handle SIGTERM"}
"""Exit statuses (docs/cli.md) that a run under fire may have, besides 1 with OutcomeUnknown."""


@dataclass
class Tally:
    """What happened so far."""

    rounds: int = 0
    files: int = 0
    undone: int = 0
    """Files that were rolled back."""
    runs: int = 0
    kills: Counter[Kill] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Runs that stopped with OutcomeUnknown, by what was found of the statement."""


def play(server: CrashingServer, proxy: Proxy, seed: int, number: int, tally: Tally, *, back: bool = True) -> None:
    """Round `number` of `seed`: the same set, the same kills at the same messages each time. `back`: with a rollback. Raises Broken."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - it has to be repeatable
    database = f"soak_{number}"
    files = random_set(rng, database)
    with _fresh_database(server, database), tempfile.TemporaryDirectory(prefix="dbmigration-soak-") as folder:
        directory = Path(folder)
        files.write(directory)
        applying = _Work(("apply", "--lint", "off"), files.messages, files.concurrently, files.may_be_unknown)
        _Round(server, proxy, rng, database, directory, applying, tally).play()
        with psycopg.connect(conninfo(server, database), autocommit=True) as connection:
            check_round(connection, files)
        if back:
            rng = random.Random(f"{seed}/{number}/back")  # noqa: S311 - as above
            undoing = random_undoing(rng, files)
            undoing.write(directory)
            rolling_back = _Work(("rollback", "--to", undoing.to, "--yes"), undoing.messages, undoing.concurrently)
            _Round(server, proxy, rng, database, directory, rolling_back, tally).play()
            with psycopg.connect(conninfo(server, database), autocommit=True) as connection:
                check_undone(connection, files, undoing)
            tally.undone += len(undoing.gone)
    tally.rounds += 1
    tally.files += len(files.migrations)


class _Work(NamedTuple):
    """A command, about how many messages it takes, and as `RandomSet`."""

    words: tuple[str, ...]
    messages: int
    concurrently: bool
    may_be_unknown: bool = False


@dataclass
class _Round:
    server: CrashingServer
    proxy: Proxy
    rng: random.Random
    database: str
    directory: Path
    work: _Work
    tally: Tally

    def play(self) -> None:
        kills = self.rng.choices(range(1, _MOST_KILLS + 1), weights=[5, 4, 2, 1])[0]
        for _ in range(kills):
            if self._run(kill=choose_kill(self.rng)):
                return
        for _ in range(5):
            if self._run(kill=None):
                return
        raise Broken("five runs that nobody disturbed did not bring the files to their end")

    def _run(self, kill: Kill | None) -> bool:
        """One run of the command line. True: it came to its end."""
        waits = kill is not None and self.work.concurrently and self.rng.random() < 0.4
        trigger = choose_trigger(self.rng, self.work.messages, waits=waits)
        held_s = self.rng.uniform(0.1, 0.6)
        command = [sys.executable, "-m", "dbmigration.cli.main", *self.work.words, "--dir", str(self.directory), *_ALWAYS]
        environment = self.server.running.environment(self.database) | {"PYTHONPATH": str(_OPERATOR), "PGPORT": str(self.proxy.port)}
        self.proxy.arm(None, lambda: None)
        runner = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if kill is not None:
            self.proxy.arm(trigger, strike(kill, self.proxy, self.server, runner, self.database, held_s))
        with _old_snapshot(self.server, self.database) if waits else contextlib.nullcontext() as snapshot:
            said = self._wait(runner, snapshot)
        self.proxy.disarm()
        self.tally.runs += 1
        if kill is not None and self.proxy.struck:
            self.tally.kills[kill] += 1
        return self._came_to_its_end(runner.returncode, said, kill)

    def _wait(self, runner: "subprocess.Popen[str]", snapshot: "psycopg.Connection[tuple[object, ...]] | None") -> str:
        deadline = time.monotonic() + _RUN_WITHIN_S
        while True:
            try:
                said, _ = runner.communicate(timeout=0.02)
            except subprocess.TimeoutExpired:
                pass
            else:
                return said
            if snapshot is not None and (
                self.proxy.struck or (self.proxy.last_at and time.monotonic() - self.proxy.last_at > _SNAPSHOT_HELD_S)
            ):
                snapshot.close()
                snapshot = None
            if self.proxy.failure is not None:
                runner.kill()
                raise Broken(f"the proxy failed: {self.proxy.failure}")
            if time.monotonic() > deadline:
                runner.kill()
                raise Broken(f"a run did not end within {_RUN_WITHIN_S} s: {runner.communicate()[0]}")

    def _came_to_its_end(self, status: int, said: str, kill: Kill | None) -> bool:
        if status == 1 and Reason.OUTCOME_UNKNOWN in said and self.work.may_be_unknown:
            with psycopg.connect(conninfo(self.server, self.database), autocommit=True) as connection:
                self.tally.unknown[unknown.decide(connection, self.directory)] += 1
            return False
        if status not in _ENDS or (kill is None and status != 0 and not _is_aftermath(said)):
            raise Broken(f"a run ended with exit status {status}: {said}")
        return status == 0


def _is_aftermath(said: str) -> bool:
    """A run that comes right after a crash may find the server not there yet."""
    return Reason.DATABASE_UNAVAILABLE in said


@contextlib.contextmanager
def _fresh_database(server: CrashingServer, name: str) -> Iterator[None]:
    with psycopg.connect(conninfo(server, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    yield
    with psycopg.connect(conninfo(server, "postgres"), autocommit=True) as connection:
        for (other,) in connection.execute("SELECT datname FROM pg_database WHERE datname = %s OR datname LIKE %s", (name, f"{name}\\_%")):
            connection.execute(f"DROP DATABASE {other} WITH (FORCE)")


@contextlib.contextmanager
def _old_snapshot(server: CrashingServer, database: str) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    """A transaction that index builds wait for; whoever has had enough of it closes the connection."""
    with psycopg.connect(conninfo(server, database), autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield connection
        with contextlib.suppress(psycopg.Error):
            connection.close()
