"""Rehearsals on a PostgreSQL beside the run: its container's script as the pod starts it, with the database's roles, owner and name."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from dbmigration.api import server_script
from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.postgres.temporary import Definition, temporary_database
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, Rehearsal, RunOptions
from dbmigration.run.rehearsal_server import ServerBeside
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from dbmigration.scratch.account import account
from dbmigration.scratch.binaries import choose_binaries
from tests.engine.conftest import Database
from tests.engine.server import OWNER, SUPERUSER, unprivileged
from tests.engine.support import applied_names, with_one_killed, write_files

FIRST = {"001_first.sql": "CREATE TABLE first (id int);\nINSERT INTO first SELECT generate_series(1, 100);"}
ROOM = 2**40


@dataclass(frozen=True)
class Beside:
    """The script at work in a folder, as kubelet would start it."""

    directory: Path
    process: "subprocess.Popen[bytes]"

    def place(self, **changes: object) -> Rehearsal:
        server = ServerBeside(self.directory, "postgres:test", ROOM, {})
        return Rehearsal(beside=replace(server, **changes))  # type: ignore[arg-type]

    @property
    def started(self) -> bool:
        return (self.directory / server_script.STARTED_FILE).exists()

    def pids_of(self, words: str) -> list[int]:
        """Server processes whose statement has these words; none while nobody may come in."""
        sql = f"SELECT pid FROM pg_stat_activity WHERE query LIKE '%{words}%' AND state = 'active' AND pid <> pg_backend_pid()"
        given = f"host={self.directory} user={SUPERUSER} dbname=postgres"
        try:
            with psycopg.connect(given) as connection:
                return [row[0] for row in connection.execute(sql)]
        except psycopg.OperationalError:
            return []


def start(directory: Path, binaries: Path | None = None) -> "subprocess.Popen[bytes]":
    path = os.environ["PATH"] if binaries is None else f"{binaries}:{os.environ['PATH']}"
    command = ["sh", "-c", server_script.SCRIPT, "sh", str(directory)]
    return subprocess.Popen(command, env={"PATH": path}, cwd="/", start_new_session=True, **unprivileged())  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def folder() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="dbmigration-beside-"))
    account().give(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def beside(folder: Path) -> Iterator[Beside]:
    process = start(folder)
    yield Beside(folder, process)
    process.terminate()
    assert process.wait(30) == 0, "kubelet's SIGTERM ends it"
    pid_file = folder / server_script.DATA_FOLDER / "postmaster.pid"
    assert not pid_file.exists() or not Path(f"/proc/{pid_file.read_text().splitlines()[0]}").exists()


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[Engine]:
    """The first file is applied by a role that may make no database."""
    files = tmp_path / "migrations"
    write_files(files, FIRST)
    database.psql(f"ALTER ROLE {OWNER} NOCREATEDB")
    said: list[str] = []
    options = RunOptions(files, "test", backup=BackupTarget(tmp_path / "backups"))
    found = Engine(options, database.conninfo(), lambda progress: said.append(progress.message), StopRequest())
    assert found.run().error is None
    yield found
    database.psql(f"ALTER ROLE {OWNER} CREATEDB")


def run(engine: Engine, asked: Rehearsal, files: dict[str, str]) -> RunResult:
    write_files(engine.options.directory, files)
    return replace(engine, options=replace(engine.options, rehearsal=asked)).run()


def test_files_run_as_the_role_that_migrates_in_a_database_of_the_same_name_owner_and_rights(
    database: Database, engine: Engine, beside: Beside
) -> None:
    database.psql("CREATE ROLE reporting; CREATE ROLE nobody_else LOGIN PASSWORD 'secret'; GRANT reporting TO nobody_else")
    database.psql(f"ALTER ROLE {OWNER} IN DATABASE {database.name} SET application.level = '7'; ALTER ROLE {OWNER} SET work_mem = '5MB'")
    database.psql(f"GRANT CREATE ON DATABASE {database.name} TO reporting; ALTER DATABASE {database.name} SET application.name = 'studio'")
    checks = f"""
        DO $$ BEGIN
            ASSERT current_database() = '{database.name}' AND session_user = '{OWNER}';
            ASSERT (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()) = '{OWNER}';
            ASSERT NOT (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = session_user);
            ASSERT has_database_privilege('reporting', current_database(), 'CREATE');
            ASSERT pg_has_role('nobody_else', 'reporting', 'MEMBER');
            ASSERT current_setting('application.level') = '7' AND current_setting('work_mem') = '5MB';
            ASSERT current_setting('application.name') = 'studio';
            ASSERT (SELECT count(*) FROM first) = 100;
        END $$;
        GRANT SELECT ON first TO reporting;"""
    try:
        result = run(engine, beside.place(), {"002_second.sql": checks})
        assert result.error is None
        assert result.rehearsal is not None
        assert result.rehearsal.passed
        assert result.backup is not None
        assert result.backup.restored_at is not None
        assert applied_names(database) == ["001_first.sql", "002_second.sql"]
        assert "secret" not in "".join(path.read_text(errors="replace") for path in beside.directory.iterdir() if path.is_file())
    finally:
        database.psql(f"DROP OWNED BY reporting; DROP ROLE nobody_else, reporting; ALTER ROLE {OWNER} RESET work_mem")


def test_what_touches_the_whole_server_is_rehearsed_and_what_leaves_it_is_not(database: Database, engine: Engine, beside: Beside) -> None:
    database.psql(f"ALTER ROLE {OWNER} CREATEROLE")
    try:
        result = run(
            engine, beside.place(), {"002_second.sql": f"CREATE ROLE made_by_a_file;\nALTER DATABASE {database.name} SET work_mem = '6MB';"}
        )
        assert result.error is None
        assert applied_names(database) == ["001_first.sql", "002_second.sql"]
        refused = run(engine, beside.place(), {"003_third.sql": "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p;"})
        assert refused.error is not None
        assert (refused.error.reason, refused.backup) == (Reason.REHEARSAL_UNSAFE, None)
    finally:
        database.psql(f"DROP ROLE IF EXISTS made_by_a_file; ALTER ROLE {OWNER} NOCREATEROLE")


def test_what_belongs_to_the_role_belongs_to_it_there(database: Database, engine: Engine, beside: Beside) -> None:
    """Who owns an extension is in no dump."""
    database.psql("CREATE EXTENSION pg_trgm", user=OWNER)
    result = run(engine, beside.place(), {"002_second.sql": "DROP EXTENSION pg_trgm;"})
    assert result.error is None
    assert applied_names(database) == ["001_first.sql", "002_second.sql"]


def test_tablespaces_are_there_with_their_rights(database: Database, engine: Engine, beside: Beside, folder: Path) -> None:
    place = Path(tempfile.mkdtemp(prefix="dbmigration-tablespace-"))
    account().give(place)
    database.psql(f"CREATE TABLESPACE fast LOCATION '{place}'")
    database.psql(f"GRANT CREATE ON TABLESPACE fast TO {OWNER}")
    try:
        moves = "CREATE TABLE second (id int) TABLESPACE fast;\nALTER TABLE first SET TABLESPACE fast;"
        result = run(engine, beside.place(), {"002_second.sql": moves})
        assert result.error is None
        assert list(folder.glob("tablespace-0/PG_*"))
    finally:
        database.psql("DROP TABLE IF EXISTS second; ALTER TABLE first SET TABLESPACE pg_default")
        database.psql("DROP TABLESPACE fast")
        shutil.rmtree(place)


def test_what_the_role_may_not_do_fails_there_as_it_would_in_the_database(database: Database, engine: Engine, beside: Beside) -> None:
    result = run(engine, beside.place(), {"002_second.sql": "CREATE ROLE somebody;"})
    assert result.error is not None
    assert (result.error.reason, result.error.place.sqlstate) == (Reason.REHEARSAL_FAILED, "42501")
    assert applied_names(database) == ["001_first.sql"]


def test_nothing_pending_starts_no_server(engine: Engine, beside: Beside) -> None:
    assert run(engine, beside.place(), {}).error is None
    assert not beside.started


def test_a_database_that_is_called_postgres(database: Database, tmp_path: Path, beside: Beside) -> None:
    """It is there on every new server, and gives its name up."""
    write_files(tmp_path / "migrations", {"001_first.sql": "DO $$ BEGIN ASSERT current_database() = 'postgres'; END $$;"})
    options = RunOptions(tmp_path / "migrations", "test", backup=BackupTarget(tmp_path / "backups"), rehearsal=beside.place(), prepare=True)
    postgres = replace(database, name="postgres")
    assert Engine(options, postgres.conninfo(SUPERUSER), lambda _: None, StopRequest()).run().error is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"storage": 2**20}, "spec.rehearsal.server.storage"),
        ({"parameters": {"shared_preload_libraries": "no_such_library"}}, 'could not access file "no_such_library"'),
        ({"parameters": {"shared_buffers": "a lot"}}, "shared_buffers"),
    ],
)
def test_a_server_that_cannot_serve_is_refused_before_the_backup(
    database: Database, engine: Engine, beside: Beside, changes: dict[str, object], words: str
) -> None:
    result = run(engine, beside.place(**changes), {"002_second.sql": "SELECT 1;"})
    assert result.error is not None
    assert (result.error.reason, result.backup) == (Reason.REHEARSAL_SERVER_FAILED, None)
    assert words in result.error.message
    assert applied_names(database) == ["001_first.sql"]


def run_beside(engine: Engine, folder: Path, programs: Path) -> RunResult:
    """A second file, rehearsed on the server that these programs are."""
    process = start(folder, programs)
    try:
        return run(engine, Beside(folder, process).place(), {"002_second.sql": "SELECT 1;"})
    finally:
        process.terminate()
        process.wait(30)


def test_an_image_without_a_server_is_refused_before_the_backup(engine: Engine, folder: Path) -> None:
    """It has a shell, and programs of that name that cannot be run."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "initdb").write_text("#!/bin/sh\necho 'initdb: not found' >&2\nexit 127\n")
    (programs / "initdb").chmod(0o755)
    result = run_beside(engine, folder, programs)
    assert result.error is not None
    assert (result.error.reason, result.backup) == (Reason.REHEARSAL_SERVER_FAILED, None)
    assert "initdb: not found" in result.error.message


def test_a_server_of_another_major_version_is_refused_before_the_backup(engine: Engine, folder: Path) -> None:
    other = choose_binaries(18)
    programs = other.directory
    if not other.within_reach:
        shutil.copytree(programs.parent, folder / "programs", symlinks=True)
        account().give(folder / "programs")
        programs = folder / "programs" / programs.name
    result = run_beside(engine, folder, programs)
    assert result.error is not None
    assert (result.error.reason, result.backup) == (Reason.SPEC_INVALID, None)
    assert "spec.rehearsal.server.image" in result.error.message


def test_a_locale_that_a_server_lacks_is_told_with_the_remedy(database: Database) -> None:
    wanted = Definition("TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'xx_XX.UTF-8' LC_CTYPE 'xx_XX.UTF-8'")
    made = temporary_database(database.conninfo(SUPERUSER), "locale_", lambda _: wanted, print, denied="")
    with pytest.raises(Permanent, match=r"xx_XX.*localedef") as caught, made:
        pass
    assert caught.value.reason is Reason.RESTORE_FAILED


def test_a_server_that_is_killed_in_mid_rehearsal_is_told_as_such(database: Database, engine: Engine, beside: Beside) -> None:
    """As the kernel ends a process of a container that is out of memory."""
    write_files(engine.options.directory, {"002_second.sql": "CREATE TABLE second (id int);\nSELECT pg_sleep(600);"})
    rehearsing = replace(engine, options=replace(engine.options, rehearsal=beside.place()))
    result = with_one_killed(rehearsing.run, lambda: next(iter(beside.pids_of("pg_sleep")), None))
    assert result.error is not None
    assert result.error.reason is Reason.REHEARSAL_SERVER_FAILED
    assert "resources.limits.memory" in result.error.message
    assert result.rehearsal is None
    assert applied_names(database) == ["001_first.sql"]
