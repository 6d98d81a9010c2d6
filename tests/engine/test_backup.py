"""Backups of a real database: what is proved, and what every kind of failure leaves behind (nothing)."""

import hashlib
import json
import os
import re
import resource
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.backup import dump as dump_module
from dbmigration.backup.check import check_backup
from dbmigration.backup.clients import Client, choose_dump_client
from dbmigration.backup.partial import clean_stale, open_partial, publish
from dbmigration.backup.record import record_path
from dbmigration.errors import Permanent, Transient
from tests.engine.conftest import Database
from tests.engine.dumps import (
    DEADLINE_S,
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

ROWS = 20_000


@pytest.fixture
def filled(database: Database) -> Database:
    """About 2 MB that do not compress away, a large object, and an index."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE note (id int PRIMARY KEY, body text NOT NULL)")
        connection.execute("INSERT INTO note SELECT g, md5(g::text) || md5((-g)::text) FROM generate_series(1, %s) AS g", (ROWS,))
        connection.execute("SELECT lo_from_bytea(0, 'kept'::bytea)")
    return database


def test_a_dump_its_record_and_its_hash_agree_and_restore_to_the_same_rows(
    filled: Database, database_factory: Callable[[], Database], tmp_path: Path
) -> None:
    backup = back_up(filled, tmp_path)
    path = path_of(backup)
    assert sorted(left_in(tmp_path)) == whole(path)
    assert path.parent == tmp_path / "studio" / "db"
    assert re.fullmatch(r"[A-Za-z0-9._-]+-\d{8}T\d{6}Z-run-1\.dump", path.name)
    assert {stat.S_IMODE(each.stat().st_mode) for each in left_in(tmp_path)} == {0o600}
    assert backup.bytes == path.stat().st_size
    assert backup.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    record = json.loads(record_path(path).read_text())
    assert (record["sha256"], record["bytes"], record["uri"]) == (backup.sha256, backup.bytes, backup.uri)
    assert backup.verified
    assert check_backup(path) == backup

    other = database_factory()
    client = choose_dump_client(backup.server_version, int(backup.server_version.partition(".")[0]))
    subprocess.run([client.pg_restore, "--exit-on-error", "--dbname", other.dsn, path], check=True, capture_output=True)
    with psycopg.connect(other.dsn) as restored, psycopg.connect(filled.dsn) as original:
        question = "SELECT count(*), md5(string_agg(body, ',' ORDER BY id)), (SELECT count(*) FROM pg_largeobject_metadata) FROM note"
        assert restored.execute(question).fetchone() == original.execute(question).fetchone()


def test_the_lsn_was_read_before_the_dump_and_what_was_committed_before_it_is_in_the_dump(filled: Database, tmp_path: Path) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        before = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        backup = back_up(filled, tmp_path)
        assert before is not None
        row = connection.execute("SELECT %s::pg_lsn <= %s::pg_lsn", (before[0], backup.snapshot_lsn)).fetchone()
        assert row == (True,)


def test_an_empty_database_gives_a_dump_that_passes(database: Database, tmp_path: Path) -> None:
    backup = back_up(database, tmp_path)
    assert backup.bytes > 0
    assert check_backup(path_of(backup)) == backup


def test_progress_is_told_in_bytes_and_ends_with_the_size(filled: Database, tmp_path: Path) -> None:
    told: list[int] = []
    backup = back_up(filled, tmp_path, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == backup.bytes


def test_what_pg_dump_says_is_told_without_the_password(filled: Database, tmp_path: Path) -> None:
    read = r"""$(sed 's/^\*:\*:\*:\*://; s/\\\(.\)/\1/g' "$PGPASSFILE")"""
    clients = wrapped_client(filled, tmp_path / "bin", f'printf "pg_dump: error: cannot use %s here" "{read}" >&2; exit 1')
    with pytest.raises(Transient) as caught:
        back_up(filled, tmp_path / "b", clients=clients)
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert "cannot use *** here" in caught.value.message
    assert PASSWORD not in str(caught.value)
    assert left_in(tmp_path / "b") == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param('$REAL "$@" | head -c 300000', id="truncated-and-status-0"),
        pytest.param('$REAL "$@"; exit 3', id="whole-and-status-3"),
        pytest.param('$REAL "$@" | head -c 300000; kill -9 $$', id="killed-midway"),
        pytest.param("exit 0", id="zero-bytes-and-status-0"),
        pytest.param("head -c 300000 /dev/urandom", id="garbage"),
    ],
)
def test_zero_byte_or_truncated_dump_is_backup_failed_and_leaves_no_file(filled: Database, tmp_path: Path, script: str) -> None:
    with pytest.raises(Transient) as caught:
        back_up(filled, tmp_path / "b", clients=wrapped_client(filled, tmp_path / "bin", script))
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert left_in(tmp_path / "b") == []


@pytest.mark.parametrize("script", ["cat >/dev/null; exit 1", "head -c 1000 >/dev/null; exit 1", "exit 0"])
def test_a_dump_that_pg_restore_does_not_read_to_its_end_is_no_backup(filled: Database, tmp_path: Path, script: str) -> None:
    with pytest.raises(Transient) as caught:
        back_up(filled, tmp_path / "b", clients=wrapped_client(filled, tmp_path / "bin", script, program="pg_restore"))
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert left_in(tmp_path / "b") == []


def test_bit_flip_in_store_between_write_and_second_hash_is_caught(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped: list[int] = []

    def flip(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            byte = os.pread(descriptor, 1, 5000)
            flipped.append(os.pwrite(descriptor, bytes([byte[0] ^ 1]), 5000))

    monkeypatch.setattr(os, "fsync", flip)
    with pytest.raises(Transient) as caught:
        back_up(filled, tmp_path / "b")
    assert flipped == [1], "the dump, and nothing was published after it"
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert left_in(tmp_path / "b") == []


def test_a_disk_that_fills_up_midway_leaves_nothing_and_names_the_folder(filled: Database, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))  # the kernel refuses the write as it does on a full disk
    try:
        with pytest.raises(Transient) as caught:
            back_up(filled, tmp_path / "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert str(tmp_path / "b") in caught.value.message
    assert "bytes free" in caught.value.message
    assert left_in(tmp_path / "b") == []
    await_true(DUMP_GONE, filled)


def test_a_folder_that_cannot_be_made_is_backup_failed(filled: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "b", tmp_path / "missing" / "b"):
        with pytest.raises(Transient) as caught:
            back_up(filled, folder)
        assert caught.value.reason is Reason.BACKUP_FAILED
        assert str(folder) in caught.value.message


def test_client_older_than_server_is_refused_before_anything_is_written(filled: Database, tmp_path: Path) -> None:
    server = server_of(filled)
    for major in (server.major - 1, server.major + 1):
        with pytest.raises(Transient) as caught:
            back_up(filled, tmp_path / "b", clients=[Client(Path("/opt/pg/bin"), f"{major}.1", major)])
        assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH
    assert not (tmp_path / "b").exists()


def test_a_stop_request_ends_a_dump_that_waits_for_a_lock_and_its_server_process(filled: Database, tmp_path: Path) -> None:
    with locked_table(filled):
        assert reason_when_stopped(filled, lambda stop: back_up(filled, tmp_path / "b", stop=stop)) is Reason.INTERRUPTED
        assert left_in(tmp_path / "b") == []
    await_true(DUMP_GONE, filled)


def test_dump_against_ddl_gives_up_after_its_limit_and_says_so(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_module, "LOCK_WAIT_TIMEOUT", "50ms")
    with locked_table(filled), pytest.raises(Transient) as caught:
        back_up(filled, tmp_path / "b")
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert "public.note" in caught.value.message
    assert "50ms" in caught.value.message


def test_a_killed_attempts_temporary_file_goes_at_the_next_start_and_a_living_ones_stays(filled: Database, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with waiting_dump(filled, folder) as runner:
        (partial,) = left_in(folder)
        with pytest.raises(Transient):
            back_up(filled, folder, clients=wrapped_client(filled, tmp_path / "bin", "exit 1"))
        assert left_in(folder) == [partial], "its writer lives"
        runner.kill()
        runner.wait(DEADLINE_S)
        assert left_in(folder) == [partial], "nobody is left to remove it"
    backup = back_up(filled, folder)
    assert sorted(left_in(folder)) == whole(path_of(backup))


def flip_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "record-missing", "record-foreign", "dump-missing", "disk-broken"])
def test_check_catches_a_backup_that_is_no_longer_what_was_written(filled: Database, tmp_path: Path, damage: str) -> None:
    path = path_of(back_up(filled, tmp_path))
    match damage:
        case "truncated":
            os.truncate(path, int(path.stat().st_size * 0.6))
        case "flipped":
            flip_bit(path, path.stat().st_size // 2)
        case "record-missing":
            record_path(path).unlink()
        case "record-foreign":
            record_path(path).write_text('{"bytes": 1}')
        case "dump-missing":
            path.unlink()
        case "disk-broken":
            path.unlink()
            path.symlink_to("/proc/self/mem")  # it opens, and its first byte is an I/O error
    with pytest.raises(Permanent) as caught:
        check_backup(path)
    assert caught.value.reason is Reason.BACKUP_FAILED
    assert caught.value.place.file == str(path)


def test_check_reads_to_the_end_even_when_the_record_was_made_for_the_damaged_bytes(filled: Database, tmp_path: Path) -> None:
    backup = back_up(filled, tmp_path)
    path = path_of(backup)
    os.truncate(path, int(backup.bytes * 0.6))
    cut = replace(backup, bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    record_path(path).write_text(cut.to_json())
    with pytest.raises(Permanent) as caught:
        check_backup(path)
    assert caught.value.reason is Reason.BACKUP_FAILED


@pytest.mark.parametrize("in_the_way", ["x.json", "x.dump", "x.globals.sql"])
def test_a_name_that_cannot_be_given_leaves_none_of_the_others(tmp_path: Path, in_the_way: str) -> None:
    (tmp_path / in_the_way).mkdir()
    (tmp_path / in_the_way / "somebody's").touch()
    with pytest.raises(OSError, match="directory"), open_partial(tmp_path / "x.dump") as partial:
        publish(partial, tmp_path / "x.json", b"{}", beside=(tmp_path / "x.globals.sql", b"--"))
    assert [path.name for path in tmp_path.iterdir()] == [in_the_way]
    assert (tmp_path / in_the_way / "somebody's").exists()


def test_what_a_dead_process_left_of_a_removal_goes_with_the_next_backup(tmp_path: Path) -> None:
    left = tmp_path / ".old.dump.removed"
    left.mkdir()
    (left / "toc.dat").touch()
    clean_stale(tmp_path)
    assert list(tmp_path.iterdir()) == []
