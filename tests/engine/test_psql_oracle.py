"""What we send to the server equals what psql sends, for every file that psql can run: the server's own log is the judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from dbmigration.migrations.folder import read_set
from dbmigration.migrations.script import inspect
from dbmigration.postgres import lock
from dbmigration.postgres.apply import apply_file
from dbmigration.postgres.settings import Execution
from tests.engine.conftest import Database
from tests.engine.oracle.compare import Differs, compare, statements_of
from tests.engine.oracle.corpus import BIG_OBJECTS, FILES
from tests.engine.oracle.mixture import scripts
from tests.engine.server import OWNER, SUPERUSER, PostgresServer
from tests.engine.support import OUR_TABLE


@dataclass(frozen=True)
class Pair:
    """The same files run by psql in one database and by us in the other."""

    by_psql: Database
    by_us: Database

    def run(self, path: Path, name: str) -> None:
        """Run and compare. `name` tells this run's lines in the log apart. Raises Differs, and AssertionError when psql cannot run it."""
        server = self.by_psql.server
        since = server.log.stat().st_size
        arguments = ["-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", f"--dbname=application_name={name}-psql", "-f", str(path)]
        server.run("psql", *arguments, database=self.by_psql.name)
        file = read_set(path.parent).files[0]
        with self.by_us.connect(f"{name}-us") as session:
            lock.acquire(session, wait_s=10, on_wait=lambda _: None)
            apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="oracle", on_progress=lambda _: None)
        by_psql = statements_of(self.by_psql, f"{name}-psql", since)
        compare(by_psql, statements_of(self.by_us, f"{name}-us", since), inspect(path, file.header.transaction))

    def assert_equal(self) -> None:
        """Schema and data of both databases, without what is ours. Where a row lies in its table is no matter."""
        schemas, rows = zip(*(_dump(database) for database in (self.by_psql, self.by_us)), strict=True)
        assert schemas[1] == schemas[0]
        assert rows[1] == rows[0]


def _dump(database: Database) -> tuple[list[str], list[str]]:
    def lines(what: str) -> list[str]:
        text = database.server.run("pg_dump", what, "--exclude-schema=dbmigration", database=database.name, user=SUPERUSER)
        return [line for line in text.split("\n") if not line.startswith(("\\restrict", "\\unrestrict"))]

    return lines("--schema-only"), sorted(lines("--data-only"))


@pytest.fixture(scope="module")
def pair(server: PostgresServer) -> Iterator[Pair]:
    names = ("oracle_psql", "oracle_us")
    for name in names:
        server.psql(f"CREATE DATABASE {name} OWNER {OWNER}")
    yield Pair(Database(server, names[0]), Database(server, names[1]))
    for name in names:
        server.psql(f"DROP DATABASE {name} WITH (FORCE)")


def test_every_file_of_the_corpus_reaches_the_server_as_psql_sends_it(pair: Pair, tmp_path: Path) -> None:
    wrong = {}
    for number, (name, text) in enumerate(FILES.items(), 1):
        path = tmp_path / name / f"{number:03}_{name}.sql"
        path.parent.mkdir()
        path.write_bytes(text)
        try:
            pair.run(path, name)
        except Differs as error:
            wrong[name] = str(error)
    assert wrong == {}
    pair.assert_equal()


@pytest.mark.parametrize("options", [(), ("--inserts", "--rows-per-insert=7"), ("--column-inserts", "--clean", "--if-exists")], ids=str)
def test_a_pg_dump_as_a_file(database_factory: Callable[[], Database], tmp_path: Path, options: tuple[str, ...]) -> None:
    origin = database_factory()
    origin.psql(BIG_OBJECTS, user=OWNER)
    dump = origin.server.run("pg_dump", "--no-owner", *options, database=origin.name)
    path = tmp_path / "001_baseline.sql"
    path.write_text(dump)
    fresh = Pair(database_factory(), database_factory())
    fresh.run(path, fresh.by_us.name)
    fresh.assert_equal()


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(text=scripts())
def test_any_mixture_reaches_the_server_as_psql_sends_it(pair: Pair, tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("mixture") / "001_mixture.sql"
    path.write_bytes(text)
    for database in (pair.by_psql, pair.by_us):
        database.psql("DROP TABLE IF EXISTS sink; CREATE TABLE sink (a text, b text); ALTER TABLE sink OWNER TO platform_owner")
    name = path.parent.name
    pair.run(path, name)
    rows = "SELECT * FROM sink ORDER BY 1, 2"
    assert pair.by_us.psql(rows) == pair.by_psql.psql(rows)
