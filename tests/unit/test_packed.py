"""NAME.sql.gz is NAME.sql: the same plan, checksum and rows, whatever it was packed with."""

import gzip
import hashlib
import resource
import tempfile
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.migrations import packed
from dbmigration.migrations.digest import digest_bytes
from dbmigration.migrations.folder import read_set

FIRST = b"-- Purpose: a table\nCREATE TABLE first (id int);\n"


def refused(folder: Path) -> Permanent:
    with pytest.raises(Permanent) as error:
        read_set(folder)
    return error.value


def test_a_packed_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql.gz").write_bytes(gzip.compress(FIRST))
    (tmp_path / "verify-001.sql.gz").write_bytes(gzip.compress(b"SELECT true;"))
    (tmp_path / "seed-a.sql.GZ").write_bytes(gzip.compress(b"SELECT 1;"))
    (tmp_path / "002_second.sql").write_text("SELECT 2;")
    files = read_set(tmp_path)
    assert [file.name for file in (*files.files, *files.seeds)] == ["001_first.sql", "002_second.sql", "seed-a.sql"]
    first = files.files[0]
    assert (first.path.name, first.path.read_bytes(), first.size) == ("001_first.sql", FIRST, len(FIRST))
    assert first.checksum == hashlib.sha256(FIRST).hexdigest()
    assert first.verify is not None
    assert first.verify.path.read_bytes() == b"SELECT true;"


def test_digest_is_that_of_the_bytes_in_the_config_map(tmp_path: Path) -> None:
    """The operator does not unpack what a tenant gave it."""
    held = {"001_first.sql.gz": gzip.compress(FIRST), "002_second.sql": b"SELECT 2;", "dbmigration.toml": b""}
    for name, data in held.items():
        (tmp_path / name).write_bytes(data)
    assert read_set(tmp_path).digest == digest_bytes(held)


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 100_000)
    (tmp_path / "001_first.sql.gz").write_bytes(gzip.compress(b"-" * 60_000))
    assert len(read_set(tmp_path).files) == 1
    (tmp_path / "002_second.sql.gz").write_bytes(gzip.compress(b"-" * 60_000))
    assert refused(tmp_path).reason is Reason.SOURCE_TOO_LARGE


@pytest.mark.parametrize("data", [b"SELECT 1;", b"", gzip.compress(FIRST)[:-9]], ids=["plain", "empty", "cut"])
def test_what_is_no_gzip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "001_first.sql.gz").write_bytes(data)
    error = refused(tmp_path)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "001_first.sql.gz")


def test_a_file_with_and_without_gzip_is_two(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql.gz").write_bytes(gzip.compress(FIRST))
    (tmp_path / "001_first.sql").write_bytes(FIRST)
    assert refused(tmp_path).reason is Reason.DUPLICATE_NUMBER


def test_a_misnamed_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "first.sql.gz").write_bytes(gzip.compress(FIRST))
    assert refused(tmp_path).reason is Reason.SOURCE_INVALID


def test_a_disk_without_room_for_what_is_unpacked_is_no_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql.gz").write_bytes(gzip.compress(b"-" * 200_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the kernel refuses the write as it does on a full disk
    try:
        with pytest.raises(Transient) as caught:
            read_set(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_UNAVAILABLE, "001_first.sql.gz")
    assert "TMPDIR" in caught.value.message


def test_no_temporary_folder_to_unpack_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    (tmp_path / "001_first.sql.gz").write_bytes(gzip.compress(FIRST))
    with pytest.raises(Transient) as caught:
        read_set(tmp_path)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
