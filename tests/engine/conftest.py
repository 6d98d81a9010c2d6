"""A real PostgreSQL for the whole session, a fresh database for each test."""

import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Execution, Settings
from tests.engine.server import OWNER, PASSWORD, SUPERUSER, PostgresServer, running_server

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A fresh database that `platform_owner` owns."""

    server: PostgresServer
    name: str

    def conninfo(self, user: str = OWNER) -> ConnInfo:
        return ConnInfo({"host": "127.0.0.1", "port": str(self.server.port), "dbname": self.name, "user": user, "password": PASSWORD})

    @property
    def dsn(self) -> str:
        """A URI for the owner."""
        return f"postgresql://{OWNER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.server.port}/{self.name}"

    def connect(
        self, application_name: str = "dbmigration/test", *, user: str = OWNER, execution: Execution | None = None, writable: bool = True
    ) -> Session:
        settings = Settings(execution=execution or Execution(), writable=writable)
        return connect(self.conninfo(user), application_name=application_name, settings=settings)

    def psql(self, statement: str, *, user: str = SUPERUSER) -> str:
        """Rows of a statement, unaligned, one a line."""
        return self.server.psql(statement, database=self.name, user=user)

    def run_file(self, path: Path) -> None:
        """As the requirements do it by hand: psql -f, as the owner."""
        self.server.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(path), database=self.name)

    def statements_of(self, application_name: str) -> str:
        """What the server's log says that this application sent. Further lines of a statement begin with a tab."""
        entries = re.split(r"\n(?!\t)", self.server.log.read_text(errors="replace"))
        return "\n".join(entry for entry in entries if f"[{application_name}] LOG:  statement: " in entry)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def database_factory(server: PostgresServer) -> Iterator[Callable[[], Database]]:
    """As many fresh databases as a test asks for."""
    made: list[str] = []

    def make() -> Database:
        made.append(f"test_{next(_numbers)}")
        server.psql(f"CREATE DATABASE {made[-1]} OWNER {OWNER}")
        return Database(server, made[-1])

    yield make
    for name in made:
        server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database(database_factory: Callable[[], Database]) -> Database:
    return database_factory()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process and its children put what is temporary, and nobody else: short enough for a socket, open to other users."""
    directory = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    directory.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def busy(database: Database) -> Database:
    """With a table that others use."""
    database.psql("CREATE SCHEMA app; CREATE TABLE app.busy (id int); ALTER TABLE app.busy OWNER TO platform_owner")
    database.psql("ALTER SCHEMA app OWNER TO platform_owner; INSERT INTO app.busy SELECT generate_series(1, 3)")
    return database
