"""Folder → set: names, text, checksums, dependencies, digest."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.migrations import checksum
from dbmigration.migrations.checksum import read_text, text_checksum
from dbmigration.migrations.digest import digest_bytes
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.layout import Layout, read_name
from dbmigration.migrations.model import MigrationSet

PLATFORM = Path(__file__).parents[2] / "migrations"


def write(directory: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def read(directory: Path, files: Mapping[str, str | bytes]) -> MigrationSet:
    return read_set(write(directory, files))


def refusal(directory: Path, files: Mapping[str, str | bytes]) -> tuple[Reason, str | None, int | None]:
    with pytest.raises(Permanent) as caught:
        read(directory, files)
    return caught.value.reason, caught.value.place.file, caught.value.place.line


def test_the_platforms_own_set_is_read_with_its_scripts_and_headers() -> None:
    found = read_set(PLATFORM)
    assert [file.version for file in found.files] == ["001", "002", "003", "004"]
    assert all(file.rollback and file.rollback.name == f"rollback-{file.version}.sql" for file in found.files)
    assert all(file.verify and file.verify.name == f"verify-{file.version}.sql" for file in found.files)
    assert str(found.config.history) == "platform.schema_migrations"
    assert [file.header.environments for file in found.files] == [(), (), (), ("production",)]
    assert [dependency.name for dependency in found.files[3].header.dependencies] == ["003_user_management_and_permissions.sql"]


def test_files_come_in_the_order_of_their_numbers_not_of_their_names(tmp_path: Path) -> None:
    names = ["1000_d.sql", "20250101120000_f.sql", "0200_b.sql", "099_a.sql", "999_c.sql", "20250101_e.sql"]
    found = read(tmp_path, dict.fromkeys(names, "SELECT 1;"))
    assert [(file.number, file.version) for file in found.files] == [
        (99, "099"),
        (200, "0200"),
        (999, "999"),
        (1000, "1000"),
        (20250101, "20250101"),
        (20250101120000, "20250101120000"),
    ]


def test_scripts_belong_to_the_same_number_however_many_zeros_it_has(tmp_path: Path) -> None:
    found = read(tmp_path, {"0005_a.sql": "", "rollback-005.sql": "-- Transaction: none\n", "verify-00005.sql": "SELECT true;"})
    file = found.files[0]
    assert (file.rollback and file.rollback.name, file.verify and file.verify.name) == ("rollback-005.sql", "verify-00005.sql")
    assert file.rollback is not None
    assert file.rollback.transaction is False
    assert file.rollback.checksum == text_checksum(b"-- Transaction: none\n")


def test_what_does_not_count_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "..2025_11_21").mkdir()
    (tmp_path / "006_folder.sql").mkdir()
    ignored: dict[str, str | bytes] = {"README.md": "x", ".hidden.sql": b"\xff", "001_a.sql.bak": "x", "notes.txt": b"\0", "sql": "x"}
    found = read(tmp_path, {"001_a.sql": "SELECT 1;", **ignored})
    assert [file.name for file in found.files] == ["001_a.sql"]
    assert found.digest == digest_bytes({"001_a.sql": b"SELECT 1;"})


def test_a_mounted_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    data = tmp_path / "..2025_11_21"
    data.mkdir()
    write(data, {"001_a.sql": "SELECT 1;", "dbmigration.toml": 'environments = ["test"]\n'})
    (tmp_path / "..data").symlink_to(data.name)
    for name in ("001_a.sql", "dbmigration.toml"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    found = read_set(tmp_path)
    assert [file.size for file in found.files] == [9]
    assert found.config.environments == ("test",)


@pytest.mark.parametrize(
    "name",
    [
        "5_x.sql",
        "05_x.sql",
        "add_things.sql",
        "005-name.sql",
        "005.sql",
        "005_.sql",
        "005_é.sql",
        "005_init.up.sql",
        "005_x.SQL",
        "V005_x.sql",
        "٠٠٥_x.sql",
        "rollback_005.sql",
        "rollback-5.sql",
        "rollback-005_x.sql",
        "Rollback-005.sql",
        "undo-005.sql",
    ],
)
def test_a_misnamed_sql_file_is_an_error_that_says_what_name_is_expected(tmp_path: Path, name: str) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, {"005_x.sql": "", name: "SELECT 1;"})
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, name)
    assert "NNN_name.sql" in caught.value.message


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("5_x.sql", "005_x.sql"),
        ("0_setup.sql", "000_setup.sql"),
        ("005-Add things.sql", "005_Add_things.sql"),
        ("00.01.02_first.sql", None),
        ("2024-01-02-first.sql", None),
        ("005_first.up.sql", None),
        ("005_x.SQL", "005_x.sql"),
        ("x5.sql", None),
        ("005.sql", None),
        ("005_é.sql", None),
    ],
)
def test_a_misnamed_file_with_a_number_is_told_a_name_that_is_taken(tmp_path: Path, name: str, better: str | None) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, {name: "SELECT 1;"})
    found = re.search(r"could be (\S+)$", caught.value.message)
    assert (found[1] if found else None) == better
    assert better is None or read_name(better, Layout.NUMBERED)


@pytest.mark.parametrize("below", ["20240101000000_init/migration.sql", "first/up.sql"])
def test_a_set_that_is_kept_one_folder_deeper_is_no_empty_set(tmp_path: Path, below: str) -> None:
    (tmp_path / below).parent.mkdir()
    (tmp_path / below).write_text("SELECT 1;")
    with pytest.raises(Permanent) as caught:
        read_set(tmp_path)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert below in caught.value.message
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    assert [file.name for file in read_set(tmp_path).files] == ["001_a.sql"]


@pytest.mark.parametrize(
    ("names", "both"),
    [
        (["005_a.sql", "0005_b.sql"], ["005_a.sql", "0005_b.sql"]),
        (["005_a.sql", "006_b.sql", "006_a.sql"], ["006_a.sql", "006_b.sql"]),
        (["005_a.sql", "rollback-005.sql", "rollback-0005.sql"], ["rollback-005.sql", "rollback-0005.sql"]),
    ],
)
def test_duplicate_number_is_refused_and_both_files_are_named(tmp_path: Path, names: list[str], both: list[str]) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, dict.fromkeys(names, ""))
    assert caught.value.reason is Reason.DUPLICATE_NUMBER
    assert all(name in caught.value.message for name in both)


@pytest.mark.parametrize("name", ["rollback-006.sql", "verify-006.sql"])
def test_a_script_without_its_migration_is_an_error(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, {"005_a.sql": "", name: ""}) == (Reason.SOURCE_INVALID, name, None)


@pytest.mark.parametrize("block", [checksum.BLOCK_BYTES, 1, 2, 3])
@pytest.mark.parametrize(
    ("data", "line", "byte"),
    [
        (b"SELECT 1;\nSELECT '\xff';\n", 2, 18),
        (b"\xef\xbb\xbf\n\n\xc3\xa9\xc3(", 3, 7),
        (b"a\n\xe2\x82", 2, 2),
        (b"S\0E\0", 1, 1),
        (b"a\nb\n\xc3\xa9\0", 3, 6),
    ],
)
def test_what_is_no_utf_8_text_is_refused_with_line_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, line: int, byte: int, block: int
) -> None:
    monkeypatch.setattr(checksum, "BLOCK_BYTES", block)
    with pytest.raises(Permanent) as caught:
        read(tmp_path, {"001_a.sql": "", "002_b.sql": data})
    assert f"byte {byte} " in caught.value.message
    place = caught.value.place
    assert (caught.value.reason, place.file, place.line) == (Reason.SOURCE_INVALID, "002_b.sql", line)


def test_utf_16_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, {"001_a.sql": "SELECT 1;".encode("utf-16")})
    assert "UTF-16" in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "001_a.sql").symlink_to("nowhere")
    assert refusal(tmp_path, {}) == (Reason.SOURCE_INVALID, "001_a.sql", None)


def test_a_missing_folder_is_no_empty_set(tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        read_set(tmp_path / "migrations")
    assert caught.value.reason is Reason.SOURCE_MISSING


@pytest.mark.parametrize(
    "dependency", ["002_other.sql", "002", "002_missing.sql", "003_c.sql", "003", "004_d.sql"], ids=lambda name: f"depends on {name}"
)
def test_dependency_missing_renamed_itself_or_later_is_refused(tmp_path: Path, dependency: str) -> None:
    header = f"-- Migration: 003 - C\n--\n-- Dependencies:\n--   - 001_a.sql\n--   - {dependency}\n"
    files = {"001_a.sql": "", "003_c.sql": header, "004_d.sql": ""}
    assert refusal(tmp_path, files) == (Reason.DEPENDENCY_MISSING, "003_c.sql", 5)


def test_dependency_by_number_becomes_the_files_name(tmp_path: Path) -> None:
    found = read(tmp_path, {"001_a.sql": "", "0002_b.sql": "-- Dependencies: 001", "003_c.sql": "-- Dependencies: 0001, 002"})
    assert [[dependency.name for dependency in file.header.dependencies] for file in found.files] == [
        [],
        ["001_a.sql"],
        ["001_a.sql", "0002_b.sql"],
    ]


def test_unknown_environment_in_a_header_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"001_a.sql": "-- Purpose: x\n-- Environment: prod\n"}) == (Reason.UNKNOWN_ENVIRONMENT, "001_a.sql", 2)


def test_environments_are_those_of_dbmigration_toml(tmp_path: Path) -> None:
    files = {"dbmigration.toml": 'environments = ["prod", "test"]', "001_a.sql": "-- Environment: prod\n"}
    assert read(tmp_path, files).files[0].header.environments == ("prod",)


CONTENT = "-- Migration: 001 - É\r\nSELECT 'a\r\nb';\n"


def test_crlf_copy_and_bom_do_not_change_the_checksum_but_change_the_digest(tmp_path: Path) -> None:
    unix = CONTENT.replace("\r\n", "\n").encode()
    variants = [unix, unix.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + unix, b"\xef\xbb\xbf" + unix.replace(b"\n", b"\r\n")]
    sets = []
    for index, data in enumerate(variants):
        (tmp_path / str(index)).mkdir()
        sets.append(read(tmp_path / str(index), {"001_a.sql": data}))
    assert {found.files[0].checksum for found in sets} == {hashlib.sha256(unix).hexdigest()}
    assert [found.files[0].size for found in sets] == [len(data) for data in variants]
    assert len({found.digest for found in sets}) == len(variants)
    assert {found.files[0].header.title for found in sets} == {"É"}


@pytest.mark.parametrize("edit", ["-- migration: 001 - É\nSELECT 'a\nb';\n", CONTENT + " ", CONTENT.replace("'a", "'a\r")])
def test_every_other_change_of_the_text_changes_the_checksum(edit: str) -> None:
    assert text_checksum(edit.encode()) != text_checksum(CONTENT.encode())


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a\r\n\ufeffé€😀", max_size=30), st.integers(1, 9))
def test_blocks_of_any_size_give_the_same_checksum(text: str, block: int) -> None:
    data = text.encode()
    first = max(block, len("\ufeff".encode()))
    hashes = checksum.TextHash("x", lambda _: None)
    for start, end in [(0, first), *((start, start + block) for start in range(first, len(data), block))]:
        hashes.add(data[start:end])
    expected = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    assert hashes.finish() == (hashlib.sha256(expected).hexdigest(), hashlib.sha256(data).hexdigest())


def test_a_big_file_is_hashed_in_blocks_as_if_it_were_one(tmp_path: Path) -> None:
    data = ("INSERT INTO t VALUES ('é€');\r\n" * 40_000).encode()
    assert len(data) > 4 * checksum.BLOCK_BYTES
    path = tmp_path / "001_a.sql"
    path.write_bytes(data)
    text = read_text(path, path.name)
    assert text.checksum == hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
    assert (text.raw_sha256, text.size, len(text.head)) == (hashlib.sha256(data).hexdigest(), len(data), checksum.BLOCK_BYTES)


def test_the_digest_of_a_folder_is_that_of_a_config_maps_data(tmp_path: Path) -> None:
    data = {"001_a.sql": b"SELECT 1;\r\n", "rollback-001.sql": b"", "dbmigration.toml": b"", "README.md": b"x", ".x.sql": b"y"}
    assert read(tmp_path, data).digest == digest_bytes(data)
    assert digest_bytes(data) == digest_bytes({name: text for name, text in data.items() if name not in ("README.md", ".x.sql")})


@pytest.mark.parametrize(
    "change",
    [{"001_a.sql": b"SELECT 2;"}, {"dbmigration.toml": b"#"}, {"verify-001.sql": b""}, {"002_b.sql": b""}],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_every_byte_that_counts(change: dict[str, bytes]) -> None:
    data = {"001_a.sql": b"SELECT 1;", "dbmigration.toml": b""}
    assert digest_bytes(data | change) != digest_bytes(data)


def test_a_renamed_file_changes_the_digest() -> None:
    assert digest_bytes({"001_a.sql": b"x"}) != digest_bytes({"001_b.sql": b"x"})


def test_no_error_shows_a_path_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path, {"001_a.sql": "-- Environment: x"})
    with pytest.raises(DbmigrationError) as caught:
        read_set(tmp_path)
    assert os.fspath(tmp_path) not in str(caught.value)
