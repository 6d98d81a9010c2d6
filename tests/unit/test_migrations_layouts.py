"""Folders of other tools are read as they are, and what they do not say is refused by name and line."""

from datetime import date
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.layout import Layout, read_version
from dbmigration.migrations.model import History, MigrationSet
from dbmigration.migrations.plan import make_plan
from dbmigration.migrations.script import inspect, read_statements
from dbmigration.migrations.statements import Statement
from dbmigration.migrations.template import new_migration

GOOSE = b"""-- who: platform
-- +goose Up
CREATE TABLE a (id int);
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION f();
DROP TABLE a;
"""
DBMATE = b"""-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY i ON a (id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY i;
"""


def folder(directory: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        (directory / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return directory


def refused(directory: Path, layout: Layout | None = None) -> DbmigrationError:
    with pytest.raises(Permanent) as caught:
        read_set(directory, layout)
    return caught.value


def statements(files: MigrationSet, *, down: bool = False) -> list[tuple[int, bytes]]:
    script = files.files[0].rollback if down else files.files[0]
    assert script is not None
    return [(s.line, s.sql) for s in read_statements(script.path, script.part) if isinstance(s, Statement)]


def names_of(files: MigrationSet) -> list[str]:
    return [file.name for file in files.files]


@pytest.mark.parametrize("data", [GOOSE, GOOSE.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + GOOSE], ids=["LF", "CRLF", "BOM"])
def test_both_ways_of_one_file_are_two_scripts_with_the_lines_of_the_file(tmp_path: Path, data: bytes) -> None:
    files = read_set(folder(tmp_path, {"00001_a.sql": data}), Layout.GOOSE)
    assert [line for line, _ in statements(files)] == [3, 5]
    assert statements(files, down=True) == [(9, b"DROP FUNCTION f();"), (10, b"DROP TABLE a;")]


@pytest.mark.parametrize("block", [1, 7, 64])
def test_a_part_reads_the_same_in_small_and_large_steps(tmp_path: Path, block: int) -> None:
    from dbmigration.migrations.part import open_part, read_part

    file = read_set(folder(tmp_path, {"1_a.sql": GOOSE}), Layout.GOOSE).files[0]
    assert file.rollback is not None
    for part in (file.part, file.rollback.part):
        with open_part(file.path, part) as stream:
            assert b"".join(iter(lambda: stream.read(block), b"")) == read_part(file.path, part)
    assert read_part(file.path, file.part) + read_part(file.path, file.rollback.part) == GOOSE
    assert file.size + file.rollback.part.size_in(file.path) == len(GOOSE)


def test_the_way_down_may_be_mended_after_the_migration_was_applied(tmp_path: Path) -> None:
    before = read_set(folder(tmp_path, {"1_a.sql": GOOSE}), Layout.GOOSE)
    after = read_set(folder(tmp_path, {"1_a.sql": GOOSE + b"DROP SCHEMA s;\n"}), Layout.GOOSE)
    assert after.files[0].checksum == before.files[0].checksum
    assert after.files[0].rollback != before.files[0].rollback
    assert after.digest != before.digest
    edited = read_set(folder(tmp_path, {"1_a.sql": b"-- edited\n" + GOOSE}), Layout.GOOSE)
    assert edited.files[0].checksum != before.files[0].checksum


def test_a_marker_says_that_a_way_cannot_run_in_a_transaction(tmp_path: Path) -> None:
    dbmate = read_set(folder(tmp_path, {"1_a.sql": DBMATE}), Layout.DBMATE).files[0]
    assert dbmate.rollback is not None
    assert (dbmate.header.transaction, dbmate.rollback.transaction) == (False, False)
    up_only = read_set(folder(tmp_path, {"1_a.sql": DBMATE.replace(b"down transaction:false", b"down")}), Layout.DBMATE).files[0]
    assert up_only.rollback is not None
    assert (up_only.header.transaction, up_only.rollback.transaction) == (False, None)
    goose = read_set(folder(tmp_path, {"1_a.sql": b"-- +goose NO TRANSACTION\n" + GOOSE}), Layout.GOOSE).files[0]
    assert goose.rollback is not None
    assert (goose.header.transaction, goose.rollback.transaction) == (False, False)
    assert not inspect(goose.path, goose.header.transaction, goose.part).transactional


def test_a_file_without_a_way_down_has_no_rollback_script(tmp_path: Path) -> None:
    files = read_set(folder(tmp_path, {"1_a.sql": "-- migrate:up\nSELECT 1;\n"}), Layout.DBMATE)
    assert files.files[0].rollback is None
    assert "1_a.sql" in files.files[0].rollback_name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT 1;\n", 1),
        ("-- only a comment\n", None),
        ("-- a\nSELECT 1;\n-- +goose Up\n", 2),
        ("-- +goose Down\n-- +goose Up\n", 1),
        ("-- +goose Up\nSELECT 1;\n-- +goose Up\n", 3),
        ("-- +goose Up\n-- +goose Down\n-- +goose Down\n", 3),
        ("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT \udcff;\n", 4),
        ("-- +goose ENVSUB ON\n-- +goose Up\nSELECT '${NAME}';\n", 1),
    ],
)
def test_what_goose_marks_wrongly_is_refused_with_its_line(tmp_path: Path, text: str, line: int | None) -> None:
    error = refused(folder(tmp_path, {"1_a.sql": text.encode("utf-8", "surrogateescape")}), Layout.GOOSE)
    assert (error.reason, error.place.file, error.place.line) == (Reason.SOURCE_INVALID, "1_a.sql", line)


def test_a_quote_that_never_ends_in_the_way_down_is_found_at_its_line(tmp_path: Path) -> None:
    files = read_set(folder(tmp_path, {"1_a.sql": "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 'x;\n"}), Layout.GOOSE)
    assert inspect(files.files[0].path, None, files.files[0].part).statements == 1
    script = files.files[0].rollback
    assert script is not None
    with pytest.raises(Permanent) as caught:
        inspect(script.path, None, script.part)
    assert caught.value.place.line == 4


def test_golang_migrate_has_two_files(tmp_path: Path) -> None:
    files = read_set(
        folder(tmp_path, {"1_a.up.sql": "SELECT 1;", "1_a.down.sql": "SELECT 2;", "000010_b.up.sql": ""}), Layout.GOLANG_MIGRATE
    )
    assert names_of(files) == ["1_a.up.sql", "000010_b.up.sql"]
    assert files.files[0].rollback is not None
    assert files.files[0].rollback.name == "1_a.down.sql"
    assert (files.files[1].rollback, files.files[1].rollback_name) == (None, "000010_b.down.sql")


def test_versions_of_flyway_compare_part_by_part(tmp_path: Path) -> None:
    names = ["V1__a.sql", "V1.2__b.sql", "V1_10__c.sql", "V2__d.sql", "V20240102030405__e.sql"]
    files = read_set(folder(tmp_path, dict.fromkeys([*names, "U1.2__b.sql", "verify-1.10.sql"], "SELECT true;")), Layout.FLYWAY)
    assert names_of(files) == names
    assert [file.version for file in files.files] == ["1", "1.2", "1.10", "2", "20240102030405"]
    assert [file.name for file in files.files if file.rollback] == ["V1.2__b.sql"]
    assert [file.name for file in files.files if file.verify] == ["V1_10__c.sql"]
    plan = make_plan(files, History(), environment=None, target="1.10", out_of_order=False, reapply_rolled_back=False)
    assert [file.name for file in plan.pending] == names[:3]
    assert read_version("1.0", Layout.FLYWAY) == read_version("1", Layout.FLYWAY)


def test_the_same_version_written_in_two_ways_is_a_duplicate(tmp_path: Path) -> None:
    error = refused(folder(tmp_path, {"V1.0__a.sql": "", "V1__b.sql": ""}), Layout.FLYWAY)
    assert error.reason is Reason.DUPLICATE_NUMBER


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (Layout.FLYWAY, "R__views.sql"),
        (Layout.FLYWAY, "beforeMigrate.sql"),
        (Layout.FLYWAY, "V1_a.sql"),
        (Layout.FLYWAY, "V1.2.3.4.5.6.7.8.9__a.sql"),
        (Layout.GOLANG_MIGRATE, "1_a.sql"),
        (Layout.GOOSE, "a.sql"),
        (Layout.GOOSE, "00002_data.go"),
        (Layout.DBMATE, "a.sql"),
        (Layout.NUMBERED, "V1__a.sql"),
    ],
)
def test_a_name_that_the_layout_does_not_know_is_refused(tmp_path: Path, layout: Layout, name: str) -> None:
    error = refused(folder(tmp_path, {name: "-- +goose Up\n-- migrate:up\n"}), layout)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, name)


def test_a_script_for_undoing_nothing_is_refused(tmp_path: Path) -> None:
    error = refused(folder(tmp_path, {"1_a.down.sql": ""}), Layout.GOLANG_MIGRATE)
    assert (error.reason, error.place.file) == (Reason.SOURCE_INVALID, "1_a.down.sql")


def test_the_layout_stands_in_the_set_and_the_command_line_wins(tmp_path: Path) -> None:
    folder(tmp_path, {"dbmigration.toml": 'layout = "goose"\n', "1_a.sql": GOOSE})
    assert read_set(tmp_path).files[0].rollback is not None
    assert refused(tmp_path, Layout.DBMATE).reason is Reason.SOURCE_INVALID


def test_comments_of_other_tools_are_no_header_but_an_environment_counts(tmp_path: Path) -> None:
    text = "-- Migration: 12 of the year\n-- Dependencies: the big one, V1__a.sql\n-- Environment: production\nSELECT 1;\n"
    files = read_set(folder(tmp_path, {"V1__a.sql": "", "V2__b.sql": text}), Layout.FLYWAY)
    assert [each.name for each in files.files[1].header.dependencies] == ["V1__a.sql"]
    assert files.files[1].header.environments == ("production",)


@pytest.mark.parametrize(
    ("layout", "first", "second"),
    [
        (Layout.NUMBERED, ["001_add_a.sql", "rollback-001.sql"], ["002_add_b.sql", "rollback-002.sql"]),
        (Layout.GOOSE, ["00001_add_a.sql"], ["00002_add_b.sql"]),
        (Layout.DBMATE, ["20240203000000_add_a.sql"], ["20240203000001_add_b.sql"]),
        (Layout.GOLANG_MIGRATE, ["000001_add_a.up.sql", "000001_add_a.down.sql"], ["000002_add_b.up.sql", "000002_add_b.down.sql"]),
        (Layout.FLYWAY, ["V1__add_a.sql", "U1__add_a.sql"], ["V2__add_b.sql", "U2__add_b.sql"]),
    ],
)
def test_a_new_migration_has_the_names_of_its_layout(tmp_path: Path, layout: Layout, first: list[str], second: list[str]) -> None:
    folder(tmp_path, {"dbmigration.toml": f'layout = "{layout}"\n'})
    for name, wanted in (("add_a", first), ("add_b", second)):
        assert [path.name for path in new_migration(tmp_path, name, date(2024, 2, 3))] == wanted
    files = read_set(tmp_path).files
    assert [file.name for file in files] == [first[0], second[0]]
    assert all(file.rollback for file in files)
