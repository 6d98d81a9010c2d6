"""What a backup decides without a disk, a server or a child process."""

import errno
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest

from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.reasons import Reason
from dbmigration.backup.clients import Client, choose_dump_client, choose_restore_client
from dbmigration.backup.dump import disk_words, file_stem, folder_of
from dbmigration.backup.record import Backup, record_path
from dbmigration.backup.shape import compression_arguments
from dbmigration.backup.stream import MESSAGE_LIMIT, first_words
from dbmigration.errors import Permanent, Transient


def client(major: int, minor: int = 4) -> Client:
    return Client(directory=Path(f"/opt/{major}/bin"), version=f"{major}.{minor}", major=major)


def test_exact_major_is_chosen_among_several() -> None:
    assert choose_dump_client("15.18", 15, [client(17), client(15), client(14)]).major == 15


@pytest.mark.parametrize("found", [[client(14)], [client(17)], [client(14), client(17)]])
def test_older_and_newer_clients_are_refused_and_both_versions_named(found: list[Client]) -> None:
    with pytest.raises(Transient) as caught:
        choose_dump_client("15.18", 15, found)
    assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH
    assert all(word in caught.value.message for word in ("15.18", *(each.version for each in found)))


@pytest.mark.parametrize(
    ("compression", "of_15", "of_16"),
    [
        (None, (), ()),
        ("none", ("--compress=0",), ("--compress=none",)),
        ("gzip", (), ("--compress=gzip",)),
        ("gzip:9", ("--compress=9",), ("--compress=gzip:9",)),
        ("lz4", None, ("--compress=lz4",)),
        ("zstd:22", None, ("--compress=zstd:22",)),
    ],
)
def test_a_compression_is_what_that_majors_pg_dump_calls_it_or_is_refused(
    compression: str | None, of_15: tuple[str, ...] | None, of_16: tuple[str, ...]
) -> None:
    assert compression_arguments(compression, 16) == of_16
    if of_15 is not None:
        assert compression_arguments(compression, 15) == of_15
        return
    with pytest.raises(Permanent) as caught:
        compression_arguments(compression, 15)
    assert caught.value.reason is Reason.SPEC_INVALID
    assert "ask for gzip or none" in caught.value.message


@pytest.mark.parametrize("text", ["", "gzip:0", "zstd:23", "lz4:13", "none:1", "gzip --file=/etc/passwd", "gzip\n"])
def test_what_is_no_compression_reaches_no_command_line(text: str) -> None:
    with pytest.raises(ValueError, match="no compression"):
        compression_arguments(text, 17)


def test_no_client_at_all_is_a_mismatch_that_says_what_to_install() -> None:
    with pytest.raises(Transient) as caught:
        choose_dump_client("16.2", 16, [])
    assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH
    assert "postgresql-client-16" in caught.value.message


def test_a_dump_is_read_by_its_own_major_else_by_the_nearest_newer() -> None:
    assert choose_restore_client("15.18", [client(17), client(15)]).major == 15
    assert choose_restore_client("15.18", [client(17), client(16), client(14)]).major == 16
    with pytest.raises(Transient) as caught:
        choose_restore_client("15.18", [client(14)])
    assert caught.value.reason is Reason.CLIENT_VERSION_MISMATCH


def test_names_hold_database_utc_time_and_run_in_safe_characters() -> None:
    at = datetime(2026, 2, 3, 1, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert file_stem("studio", at, "run-7") == "studio-20260202T230405Z-run-7"
    assert file_stem("../etc/pass wd", at, ".x\n") == "_._etc_pass_wd-20260202T230405Z-_x_"
    assert len(file_stem("ü" * 63 + "d" * 99, at, "r" * 200)) < 255 - len(".dump.partial")


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [("", "."), ("studio/db", "studio/db"), ("/etc", "etc"), ("../../etc", "_./_./etc"), ("a//b/", "a/b"), (".", "_")],
)
def test_a_prefix_cannot_leave_the_volume(prefix: str, folder: str) -> None:
    assert folder_of(prefix) == PurePosixPath(folder)


def test_what_a_child_says_is_cut_and_holds_no_password() -> None:
    said = first_words(b"\npg_dump: error: password 's3cr3t' is wrong\n\n  next line\n" + b"x" * 4000, ("s3cr3t", ""))
    assert said.startswith("pg_dump: error: password '***' is wrong | next line | xxx")
    assert len(said) == MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "user id"),
        (errno.ENOENT, "not there"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_an_error_of_the_disk_names_folder_free_bytes_and_cause(number: int, word: str, tmp_path: Path) -> None:
    said = disk_words(OSError(number, "Input/output error"), tmp_path / "missing")
    assert word in said
    assert str(tmp_path / "missing") in said
    assert "bytes free" in said


def test_the_record_is_the_reports_record() -> None:
    at = datetime(2026, 2, 3, tzinfo=UTC)
    backup = Backup("file:///b/x.dump", 7, "ab", "15.18", "15.18", "studio", "0/16B3748", at, at, verified=True)
    read = BackupRecord.model_validate_json(backup.to_json())
    assert (read.uri, read.bytes, read.snapshot_lsn, read.completed_at) == (backup.uri, 7, "0/16B3748", at)
    assert '"dumpVersion"' in backup.to_json()
    assert record_path(Path("/b/x.dump")) == Path("/b/x.json")
