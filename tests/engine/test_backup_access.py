"""How pg_dump and its like get the password: by a file without a name, never by their arguments or their environment."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup.access import access_to, no_access
from dbmigration.backup.check import check_backup
from dbmigration.backup.dump import take_backup
from dbmigration.backup.shape import DumpShape
from dbmigration.errors import Transient
from dbmigration.postgres.conninfo import ConnInfo
from tests.engine.conftest import Database
from tests.engine.dumps import (
    DEADLINE_S,
    DUMP_WAITS,
    ONE_FILE,
    await_true,
    back_up,
    locked_table,
    path_of,
    reason_when_stopped,
    server_of,
    wrapped_client,
)
from tests.engine.server import OWNER, PASSWORD, quoted

SECRET = "p:ä\\:ß漢 \\"
PARALLEL = DumpShape(DumpFormat.DIRECTORY, 2)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go in this process, to see that there are none."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def keeper(database: Database) -> Iterator[ConnInfo]:
    """A role that may read all, to whom the server (scram) opens for a password of every kind of character."""
    database.psql("CREATE TABLE note (id int)", user=OWNER)
    database.psql(f"CREATE ROLE keeper LOGIN PASSWORD {quoted(SECRET)} IN ROLE pg_read_all_data")
    yield as_keeper(database, SECRET)
    database.psql("DROP ROLE keeper")


@pytest.fixture
def no_memory_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without memfd_create(2)."""
    monkeypatch.delattr(os, "memfd_create")


def as_keeper(database: Database, password: str) -> ConnInfo:
    there = {"host": "127.0.0.1", "port": str(database.server.port), "dbname": database.name}
    return ConnInfo(there | {"user": "keeper", "password": password})


def who_connects(database: Database, conninfo: ConnInfo) -> str:
    with access_to(conninfo) as access:
        command = access.command("psql", (str(database.server.binaries / "psql"), "-XAtwc", "SELECT current_user"))
        done = subprocess.run(
            command.argv, env=command.environment, pass_fds=command.descriptors, capture_output=True, text=True, check=False
        )
    return done.stdout.strip() or done.stderr


def children() -> dict[str, int]:
    """Our client programs that run: name and process id."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
    return {name: pid for name, pid in found.items() if name.startswith("pg_")}


def open_files(pid: int | str = "self") -> str:
    return " ".join(str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if os.path.lexists(path))


@pytest.mark.parametrize("shape", [pytest.param(ONE_FILE, id="one-file"), pytest.param(PARALLEL, id="two-connections")])
def test_a_running_dump_has_the_password_in_no_argument_no_environment_and_no_folder(
    database: Database, keeper: ConnInfo, tmp_path: Path, temporary: Path, shape: DumpShape
) -> None:
    spellings = [SECRET.encode(), SECRET.replace("\\", "\\\\").replace(":", "\\:").encode()]
    with ThreadPoolExecutor(1) as background:
        with locked_table(database):
            dumping = background.submit(
                take_backup, keeper, server_of(database), tmp_path / "b", run_id="r", stop=threading.Event(), shape=shape
            )
            await_true(DUMP_WAITS, database)
            running = children()
            assert "pg_dump" in running
            for pid in running.values():
                seen = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
                assert b"LC_ALL=C" in seen, "it is the child's own"
                assert not [word for word in spellings if word in seen]
            assert "memfd:pgpass" in open_files(running["pg_dump"]), "where it is"
            assert "pg_restore" not in running or "memfd:pgpass" not in open_files(running["pg_restore"])
            assert list(temporary.iterdir()) == []
        backup = dumping.result(DEADLINE_S)
    assert check_backup(path_of(backup)) == backup
    assert "memfd:pgpass" not in open_files()


@pytest.mark.parametrize("password", [SECRET, "\\", ":", "#a", " a ", "a'b\"c", "*", "ends in \\:"])
@pytest.mark.parametrize("memory", [True, False], ids=["in-memory", "in-a-folder"])
def test_every_password_gets_there(
    database: Database, keeper: ConnInfo, password: str, memory: bool, temporary: Path, request: pytest.FixtureRequest
) -> None:
    if not memory:
        request.getfixturevalue("no_memory_files")
    database.psql(f"ALTER ROLE keeper PASSWORD {quoted(password)}")
    assert who_connects(database, as_keeper(database, password)) == "keeper"
    assert "authentication failed" in who_connects(database, as_keeper(database, f"{password}x")), "the server asks for it"
    assert list(temporary.iterdir()) == []


def test_several_hosts_a_socket_and_an_address_are_one_connection_to_the_file(database: Database, keeper: ConnInfo) -> None:
    port = str(database.server.port)
    for place in (
        {"host": "127.0.0.1,localhost", "port": f"1,{port}"},
        {"host": str(database.server.sockets)},
        {"host": "database.invalid", "hostaddr": "127.0.0.1"},
    ):
        assert who_connects(database, ConnInfo({**keeper.parameters, **place})) == "keeper"


def test_a_password_of_the_callers_environment_is_not_handed_down(
    database: Database, keeper: ConnInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://keeper:{SECRET}@127.0.0.1/x")
    nobody = ConnInfo({key: value for key, value in keeper.parameters.items() if key != "password"})
    with access_to(nobody) as access:
        assert SECRET not in " ".join(access.environment.values())
    assert who_connects(database, nobody) == "keeper"
    assert SECRET not in " ".join(no_access().values())


def test_a_password_file_of_the_callers_own_is_used_where_no_password_is_given(
    database: Database, keeper: ConnInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.write_text(f"*:*:*:keeper:{PASSWORD}\n")
    monkeypatch.setenv("PGPASSFILE", str(own))
    nobody = ConnInfo({key: value for key, value in keeper.parameters.items() if key != "password"})
    with access_to(nobody) as access:
        assert (access.environment["PGPASSFILE"], access.descriptors) == (str(own), ())
    assert who_connects(database, keeper) == "keeper", "and not where one is"


@pytest.mark.usefixtures("no_memory_files")
def test_on_a_disk_only_its_owner_can_read_it_and_it_is_gone_after_a_stop(
    database: Database, keeper: ConnInfo, tmp_path: Path, temporary: Path
) -> None:
    with access_to(keeper) as access:
        file = Path(access.environment["PGPASSFILE"])
        assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]
    seen: list[Path] = []

    def dump(stop: threading.Event) -> None:
        def told_to_stop() -> bool:
            seen.extend(path for path in temporary.rglob("*") if path.is_file())
            return stop.is_set()

        asked = threading.Event()
        asked.is_set = told_to_stop  # type: ignore[method-assign]
        take_backup(keeper, server_of(database), tmp_path / "b", run_id="r", stop=asked)

    with locked_table(database):
        assert reason_when_stopped(database, dump) is Reason.INTERRUPTED
    assert seen, "it was there meanwhile"
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("no_memory_files")
def test_nowhere_to_keep_it_is_said_with_the_remedy(database: Database, keeper: ConnInfo, temporary: Path) -> None:
    temporary.rmdir()
    with pytest.raises(Transient, match="TMPDIR") as caught:
        who_connects(database, keeper)
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert SECRET not in str(caught.value)


def test_a_memory_file_that_may_not_be_opened_again_is_replaced_by_one_on_the_disk(
    database: Database, keeper: ConnInfo, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A security module may allow the one and forbid the other: a descriptor that leads to nothing that can be read stands for it."""
    make: Callable[..., int] = os.memfd_create

    def sealed(name: str, flags: int) -> int:
        os.close(make(name, flags))
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    monkeypatch.setattr(os, "memfd_create", sealed)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with access_to(keeper) as access:
        assert access.environment["PGPASSFILE"].startswith(str(temporary))
    assert who_connects(database, keeper) == "keeper"


def test_a_password_with_a_line_break_is_the_one_that_stays_a_variable(database: Database, keeper: ConnInfo) -> None:
    database.psql(f"ALTER ROLE keeper PASSWORD {quoted('two' + chr(10) + 'lines')}")
    odd = as_keeper(database, "two\nlines")
    with access_to(odd) as access:
        assert access.environment["PGPASSWORD"] == "two\nlines"
        assert access.hide == ("two\nlines",)
    assert who_connects(database, odd) == "keeper"


def test_a_wrong_password_is_told_without_it_and_without_where_it_was_kept(database: Database, keeper: ConnInfo, tmp_path: Path) -> None:
    wrong = ConnInfo({**keeper.parameters, "password": "not: it"})
    with pytest.raises(Transient, match="password authentication failed") as caught:
        take_backup(wrong, server_of(database), tmp_path / "b", run_id="r", stop=threading.Event())
    assert caught.value.reason is Reason.BACKUP_FAILED
    for word in ("not: it", "not\\: it", "/proc/", "retrieved", "***"):
        assert word not in str(caught.value)


def test_pg_restore_that_only_reads_a_dump_gets_nothing_of_it(database: Database, keeper: ConnInfo, tmp_path: Path) -> None:
    del keeper
    script = f'env >{tmp_path}/environ; cat "${{PGPASSFILE:-/dev/null}}" >{tmp_path}/file; exec $REAL "$@"'
    found = {}
    for program in ("pg_dump", "pg_restore"):
        back_up(database, tmp_path / "b", clients=wrapped_client(database, tmp_path / program, script, program=program), run_id=program)
        found[program] = ((tmp_path / "environ").read_text(), (tmp_path / "file").read_text())
    assert found["pg_dump"][1].startswith("*:*:*:*:p@ss"), "the script sees what the program sees"
    assert found["pg_restore"][1] == ""
    assert "PG" not in {name[:2] for name in found["pg_restore"][0].splitlines()}
    assert PASSWORD not in found["pg_dump"][0] + found["pg_restore"][0]
