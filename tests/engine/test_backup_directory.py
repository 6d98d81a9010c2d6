"""Backups in directory format: the same proof as of a single file, and everything that reads a backup takes them."""

import hashlib
import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.dumps import DumpFormat
from dbmigration.api.reasons import Reason
from dbmigration.backup import directory as directory_module
from dbmigration.backup.check import check_backup
from dbmigration.backup.manifest import MANIFEST, Hashed, hash_folder
from dbmigration.backup.record import Backup, record_path
from dbmigration.backup.restore import restore_backup
from dbmigration.backup.shape import DumpShape
from dbmigration.backup.stream import StopRequest
from dbmigration.errors import Permanent, Transient
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.stop import StopRequest as Stop
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.dumps import (
    DUMP_GONE,
    await_true,
    back_up,
    left_in,
    locked_table,
    path_of,
    reason_when_stopped,
    server_of,
    waiting_dump,
    whole,
    wrapped_client,
)
from tests.engine.server import PASSWORD
from tests.engine.support import write_files

TABLES = 5
FOLDER = DumpShape(DumpFormat.DIRECTORY, jobs=2)


@pytest.fixture
def filled(database: Database) -> Database:
    """Several tables, one with the name that the helpers lock, and a large object."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for number in range(TABLES):
            connection.execute(f"CREATE TABLE t{number} AS SELECT g AS id, md5('{number}' || g) AS body FROM generate_series(1, 3000) AS g")
        connection.execute("CREATE TABLE note (id int PRIMARY KEY, body text)")
        connection.execute("INSERT INTO note VALUES (1, 'kept')")
        connection.execute("SELECT lo_from_bytea(0, 'kept'::bytea)")
    return database


@pytest.fixture
def into(database: Database) -> Iterator[str]:
    name = f"{database.name} restored"
    yield name
    database.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def dump_of(database: Database, folder: Path, shape: DumpShape = FOLDER, **changes: object) -> tuple[Backup, Path]:
    backup = back_up(database, folder, shape=shape, **changes)
    return backup, path_of(backup)


@pytest.mark.parametrize(
    "shape", [FOLDER, DumpShape(DumpFormat.DIRECTORY, 1, "none"), DumpShape(DumpFormat.DIRECTORY, 4, "gzip:1")], ids=str
)
def test_a_folder_its_manifest_and_its_record_agree_and_it_restores_to_the_same_rows(
    filled: Database, into: str, tmp_path: Path, shape: DumpShape
) -> None:
    told: list[int] = []
    backup, dump = dump_of(filled, tmp_path, shape, on_progress=told.append)
    assert dump.suffix == ".dump"
    assert sorted(dump.parent.iterdir()) == whole(dump)
    assert stat.S_IMODE(dump.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in left_in(tmp_path)} == {0o600}
    files = [path for path in dump.iterdir() if path.name != MANIFEST]
    assert len(files) >= TABLES + 2
    assert backup.bytes == sum(path.stat().st_size for path in files) == told[-1]
    assert backup.sha256 == hashlib.sha256((dump / MANIFEST).read_bytes()).hexdigest()
    checked = subprocess.run(["sha256sum", "--strict", "--check", "--quiet", MANIFEST], cwd=dump, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert len((dump / MANIFEST).read_text().splitlines()) == len(files)
    record = json.loads(record_path(dump).read_text())
    assert (record["format"], record.get("compression"), record["verified"]) == ("Directory", shape.compression, True)
    assert check_backup(dump) == backup

    done = restore_backup(filled.conninfo(), dump, into, stop=threading.Event(), say=lambda _: None, jobs=3)
    assert (done.rows, done.large_objects) == (TABLES * 3000 + 1, 1)


def test_several_connections_dump_at_once(filled: Database, tmp_path: Path) -> None:
    with locked_table(filled):
        assert reason_when_stopped(filled, lambda stop: dump_of(filled, tmp_path / "b", stop=stop)) is Reason.INTERRUPTED
        assert left_in(tmp_path / "b") == []
    await_true(DUMP_GONE, filled)
    connections = tmp_path / "connections"
    script = f'$REAL "$@"; echo "$*" >{connections}'
    dump_of(filled, tmp_path / "b", clients=wrapped_client(filled, tmp_path / "bin", script))
    assert "--jobs=2" in connections.read_text()
    assert PASSWORD not in connections.read_text()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param('$REAL "$@"; exit 3', id="whole-and-status-3"),
        pytest.param("exit 0", id="nothing-and-status-0"),
        pytest.param('$REAL "$@"; for last; do :; done; truncate -s 100 ${last#--file=}/toc.dat', id="truncated-and-status-0"),
        pytest.param('$REAL "$@"; for last; do :; done; rm ${last#--file=}/*.dat.gz', id="files-missing-and-status-0"),
        pytest.param('$REAL "$@"; kill -9 $$', id="killed"),
        pytest.param('echo "pg_dump: error: could not write to file: No space left on device" >&2; exit 1', id="full-disk"),
    ],
)
def test_zero_byte_or_truncated_dump_is_backup_failed_and_leaves_no_folder(filled: Database, tmp_path: Path, script: str) -> None:
    with pytest.raises(Transient) as caught:
        dump_of(filled, tmp_path / "b", clients=wrapped_client(filled, tmp_path / "bin", script))
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert list((tmp_path / "b" / "studio" / "db").iterdir()) == []
    if "No space left" in script:
        assert "is full" in caught.value.message


def test_bit_flip_in_store_between_the_two_hashes_is_caught(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flip_then_hash(folder: Path, stop: StopRequest | None = None, *, from_disk: bool = True, jobs: int = 1) -> dict[str, Hashed]:
        if from_disk:  # the second time: pg_restore is done
            flip_bit(next(folder.glob("*.dat.gz")))
        return hash_folder(folder, stop, from_disk=from_disk, jobs=jobs)

    monkeypatch.setattr(directory_module, "hash_folder", flip_then_hash)
    with pytest.raises(Transient) as caught:
        dump_of(filled, tmp_path / "b")
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert left_in(tmp_path / "b") == []


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    ["flipped", "flipped-table-of-contents", "truncated", "missing", "added", "manifest-follows-the-damage", "no-manifest", "odd-manifest"],
)
def test_check_and_restore_catch_a_folder_that_is_no_longer_what_was_written(
    filled: Database, into: str, tmp_path: Path, damage: str
) -> None:
    _, dump = dump_of(filled, tmp_path, DumpShape(DumpFormat.DIRECTORY, 1, "none"))
    largest = max(dump.glob("*.dat"), key=lambda path: path.stat().st_size)
    match damage:
        case "flipped":
            flip_bit(largest)
        case "flipped-table-of-contents":
            flip_bit(dump / "toc.dat")
        case "truncated":
            os.truncate(largest, 100)
        case "missing":
            largest.unlink()
        case "added":
            (dump / "9999.dat").write_text("x")
        case "manifest-follows-the-damage":
            before = hashlib.sha256(largest.read_bytes()).hexdigest()
            flip_bit(largest)
            text = (dump / MANIFEST).read_text()
            (dump / MANIFEST).write_text(text.replace(before, hashlib.sha256(largest.read_bytes()).hexdigest()))
        case "no-manifest":
            (dump / MANIFEST).unlink()
        case "odd-manifest":
            (dump / MANIFEST).write_text("0" * 64 + "  ../../etc/passwd\n")
    for ask in (
        lambda: check_backup(dump),
        lambda: restore_backup(filled.conninfo(), dump, into, stop=threading.Event(), say=lambda _: None),
    ):
        with pytest.raises(Permanent) as caught:
            ask()
        assert caught.value.reason is Reason.BACKUP_FAILED
        assert caught.value.place.file == str(dump)


def test_a_killed_attempts_folder_goes_at_the_next_start_and_a_living_ones_stays(filled: Database, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with waiting_dump(filled, folder, FOLDER):
        made = sorted((folder / "studio" / "db").iterdir())
        assert [path.name.rpartition("dump.")[2] for path in made] == ["partial", "partial.d"]
        with pytest.raises(Transient):
            dump_of(filled, folder, clients=wrapped_client(filled, tmp_path / "bin", "exit 1"))
        assert sorted((folder / "studio" / "db").iterdir()) == made, "its writer lives"
    backup, dump = dump_of(filled, folder)
    assert sorted(dump.parent.iterdir()) == whole(dump)
    assert check_backup(dump) == backup


def test_lz4_of_an_old_server_is_refused_before_anything_is_written(filled: Database, tmp_path: Path) -> None:
    assert server_of(filled).major < 16
    with pytest.raises(Permanent) as caught:
        dump_of(filled, tmp_path / "b", DumpShape(compression="lz4"))
    assert caught.value.reason is Reason.SPEC_INVALID
    assert left_in(tmp_path / "b") == []


def test_retention_of_a_run_removes_folders_and_files_alike_and_keeps_the_newest(filled: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "migrations", {"001_first.sql": "CREATE TABLE first (id int);"})
    for number, shape in enumerate((FOLDER, DumpShape(), FOLDER)):
        target = BackupTarget(tmp_path / "b", "studio", keep_last=1, shape=shape)
        options = RunOptions(directory=tmp_path / "migrations", run_id=f"r{number}", backup=target)
        result = Engine(options, filled.conninfo(), lambda _: None, Stop()).back_up()
        assert result.error is None
        assert result.backup is not None
        assert sorted((tmp_path / "b" / "studio").iterdir()) == whole(path_of(result.backup))


def test_the_command_line_takes_checks_lists_restores_and_prunes_folders(filled: Database, into: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "backups")
    words = ("backup", "--backup-dir", folder, "--backup-format", "Directory")
    assert dbmigration(filled, "backup", "--backup-dir", folder, "--backup-jobs", "2").status == 2
    assert dbmigration(filled, *words, "--backup-compression", "zip").status == 2
    assert dbmigration(filled, "backup", "--backup-dir", "s3://bucket", "--backup-format", "Directory").status == 2
    assert not (tmp_path / "backups").exists()
    for _ in range(2):
        succeeds(filled, *words, "--backup-jobs", "2", "--backup-compression", "gzip:1")
    listed = json.loads(succeeds(filled, "backups", folder, "--json").out)
    dumps = [Path(each["file"]) for each in sorted(listed, key=lambda each: each["record"]["completedAt"])]
    assert "is whole" in succeeds(filled, "backup", "--check", str(dumps[0])).out
    assert [(each["state"], each["record"]["format"], each["record"]["compression"]) for each in listed] == [
        ("verified", "Directory", "gzip:1")
    ] * 2
    succeeds(filled, "restore", str(dumps[1]), "--into", into, "--jobs", "2")
    assert "1 removed" in succeeds(filled, "backups", folder, "--keep-last", "1", "--prune").out
    assert sorted((tmp_path / "backups").iterdir()) == whole(dumps[1])
