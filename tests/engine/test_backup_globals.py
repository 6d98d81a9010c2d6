"""Roles and tablespaces beside a dump: where they may be read they are there, where not the backup is one all the same and says so."""

import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.backup.check import check_backup
from dbmigration.backup.cluster_globals import globals_path
from dbmigration.backup.record import record_path
from dbmigration.backup.restore import restore_backup
from dbmigration.errors import Permanent
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.dumps import back_up, left_in, path_of, whole, wrapped_client
from tests.engine.server import OWNER, running_server


@pytest.fixture
def filled(database: Database) -> Database:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE note AS SELECT g AS id FROM generate_series(1, 100) AS g")
    return database


def test_a_plain_role_gets_the_roles_without_passwords_and_another_server_can_be_given_them(filled: Database, tmp_path: Path) -> None:
    backup = back_up(filled, tmp_path)
    dump = path_of(backup)
    beside = globals_path(dump)
    assert sorted(left_in(tmp_path)) == whole(dump)
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    assert (backup.globals_uri, backup.globals_note) == (beside.as_uri(), None)
    text = beside.read_text()
    assert f"CREATE ROLE {OWNER};" in text
    assert "PASSWORD" not in text.replace("NOBYPASSRLS", "")
    assert check_backup(dump) == backup

    with running_server() as other:
        there = Database(other, "postgres")
        other.psql(f"DROP ROLE {OWNER}")
        with pytest.raises(Permanent) as caught:
            restore_backup(there.conninfo("postgres"), dump, "again", stop=threading.Event(), say=lambda _: None)
        assert str(backup.globals_uri) in caught.value.message
        subprocess.run(
            [other.binaries / "psql", "-Xq", "-f", beside], env=other.environment("postgres", "postgres"), check=True, capture_output=True
        )
        done = restore_backup(there.conninfo("postgres"), dump, "again", stop=threading.Event(), say=lambda _: None)
    assert done.rows > 0


def test_a_role_that_may_not_read_them_has_a_backup_whose_record_says_why(filled: Database, tmp_path: Path) -> None:
    filled.psql("REVOKE SELECT ON pg_catalog.pg_auth_members FROM PUBLIC")
    options = RunOptions(directory=tmp_path, run_id="r", backup=BackupTarget(tmp_path / "b"))
    result = Engine(options, filled.conninfo(), lambda _: None, StopRequest()).back_up()
    assert (result.error, result.backup_reason) == (None, Reason.BACKUP_VERIFIED)
    assert result.backup is not None
    assert (result.backup.globals_uri, result.backup.globals_sha256) == (None, None)
    assert "permission denied" in str(result.backup.globals_note)
    assert [warning for warning in result.warnings if "roles and tablespaces" in warning]
    dump = path_of(result.backup)
    assert sorted(left_in(tmp_path / "b")) == sorted([dump, record_path(dump)])
    assert check_backup(dump) == result.backup


def test_without_pg_dumpall_it_is_said_that_there_is_none(filled: Database, tmp_path: Path) -> None:
    backup = back_up(filled, tmp_path / "b", clients=wrapped_client(filled, tmp_path / "bin", 'exec $REAL "$@"'))
    assert "no pg_dumpall" in str(backup.globals_note)


def test_without_a_place_for_them_the_backup_is_whole_all_the_same(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    backup = back_up(filled, tmp_path / "b")
    assert "no temporary file" in str(backup.globals_note)
    assert check_backup(path_of(backup)) == backup


@pytest.mark.parametrize("script", ["head -c 500 /dev/zero", '$REAL "$@" | head -n 5', '$REAL "$@"; exit 1'])
def test_half_of_them_is_none(filled: Database, tmp_path: Path, script: str) -> None:
    clients = wrapped_client(filled, tmp_path / "bin", 'exec $REAL "$@"')
    program = tmp_path / "bin" / "pg_dumpall"
    program.write_text(f"#!/bin/sh\nREAL={filled.server.binaries}/pg_dumpall\n{script}\n")
    program.chmod(0o755)
    backup = back_up(filled, tmp_path / "b", clients=clients)
    assert backup.globals_note
    assert not globals_path(path_of(backup)).exists()


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_check_of_the_backup_is_one_of_them_too(filled: Database, tmp_path: Path, damage: str) -> None:
    dump = path_of(back_up(filled, tmp_path))
    if damage == "flipped":
        globals_path(dump).write_text(globals_path(dump).read_text().replace("CREATE", "CREATX", 1))
    else:
        globals_path(dump).unlink()
    with pytest.raises(Permanent) as caught:
        check_backup(dump)
    assert (caught.value.reason, caught.value.place.file) == (Reason.BACKUP_FAILED, str(globals_path(dump)))
