"""Files of other tools' layouts run, fail, resume and go back as our own do."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.postgres.apply import read_ahead
from tests.engine.conftest import Database
from tests.engine.support import applied_names, apply_all, apply_pending, history_of, roll_back, statements_done, write_files

GOOSE = """-- +goose Up
CREATE TABLE a (id int);
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
-- +goose StatementEnd
-- +goose Down
DROP FUNCTION f();
DROP TABLE a;
"""
LAYOUTS = {
    "goose": {"00001_a.sql": GOOSE, "verify-1.sql": "SELECT f() = 1;"},
    "dbmate": {"20240102030405_a.sql": "-- migrate:up\nCREATE TABLE a (id int);\n-- migrate:down\nDROP TABLE a;"},
    "golang-migrate": {"1_a.up.sql": "BEGIN;\nCREATE TABLE a (id int);\nCOMMIT;\n", "1_a.down.sql": "DROP TABLE a;"},
    "flyway": {"V1.2__a.sql": "CREATE TABLE a (id int);", "U1.2__a.sql": "DROP TABLE a;", "verify-1.2.sql": "SELECT count(*) = 0 FROM a;"},
}


def is_there(database: Database, relation: str) -> bool:
    return database.psql(f"SELECT to_regclass('{relation}') IS NOT NULL") == "t"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_up_and_down_again(database: Database, tmp_path: Path, layout: str) -> None:
    files = write_files(tmp_path, {"dbmigration.toml": f'layout = "{layout}"', **LAYOUTS[layout]})
    name = files.files[0].name
    assert apply_all(database, files).files == [name]
    assert is_there(database, "a")
    assert applied_names(database) == [name]
    assert apply_all(database, files).files == []
    with database.connect() as session:
        roll_back(session, files, name)
    assert not is_there(database, "a")
    assert applied_names(database) == []
    assert history_of(database).rolled_back == {name: files.files[0].checksum}


@pytest.mark.parametrize("filler", ["", "INSERT INTO a VALUES (1);\n" * 50_000], ids=["kept in memory", "streamed"])
def test_an_error_in_either_way_names_the_line_of_the_file(database: Database, tmp_path: Path, filler: str) -> None:
    lines = filler.count("\n")
    text = f"-- +goose Up\nCREATE TABLE a (id int);\n{filler}-- +goose Down\n\n{filler}DROP TABLE b;\n"
    files = write_files(tmp_path, {"dbmigration.toml": 'layout = "goose"', "1_a.sql": text})
    apply_all(database, files)
    assert database.psql("SELECT count(*) FROM a") == str(lines)
    with database.connect() as session, pytest.raises(Permanent) as caught:
        roll_back(session, files, "1_a.sql")
    assert (caught.value.place.file, caught.value.place.line) == ("1_a.sql", 5 + 2 * lines)
    broken = write_files(tmp_path, {"2_b.sql": "-- a\n-- +goose Up\n\nSELECT 1/0;\n-- +goose Down\n"})
    with pytest.raises(Permanent) as caught:
        apply_all(database, broken)
    assert (caught.value.place.file, caught.value.place.line, caught.value.place.sqlstate) == ("2_b.sql", 4, "22012")


def test_a_way_down_without_a_transaction_resumes_and_is_no_unfinished_migration(database: Database, tmp_path: Path) -> None:
    text = """-- migrate:up transaction:false
CREATE TABLE a (id int);
CREATE INDEX CONCURRENTLY i ON a (id);
-- migrate:down transaction:false
DROP INDEX CONCURRENTLY i;
DROP TABLE b;
"""
    files = write_files(tmp_path, {"dbmigration.toml": 'layout = "dbmate"', "1_a.sql": text})
    assert not apply_all(database, files).results[0].transactional
    with database.connect() as session, pytest.raises(Permanent) as caught:
        roll_back(session, files, "1_a.sql")
    assert caught.value.place.line == 6
    assert statements_done(database, "rollback-1_a.sql") == [1]
    assert statements_done(database, "1_a.sql") == []
    assert history_of(database).partial == {}
    mended = write_files(tmp_path, {"1_a.sql": text.replace("DROP TABLE b", "DROP TABLE a")})
    assert apply_all(database, mended).files == []
    with database.connect() as session:
        roll_back(session, mended, "1_a.sql")
    assert not is_there(database, "a")


def test_an_unfinished_file_is_compared_up_to_its_way_down_only(database: Database, tmp_path: Path) -> None:
    text = "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE a (id int);\nSELECT 1/0;\n-- +goose Down\nDROP TABLE a;\n"
    files = write_files(tmp_path, {"dbmigration.toml": 'layout = "goose"', "1_a.sql": text})
    with pytest.raises(Permanent):
        apply_all(database, files)
    assert statements_done(database, "1_a.sql") == [1]
    edited = write_files(tmp_path, {"1_a.sql": text.replace("SELECT 1/0;", "SELECT 1;").replace("DROP TABLE a", "DROP TABLE IF EXISTS a")})
    assert apply_all(database, edited).files == ["1_a.sql"]
    assert database.psql("SELECT count(*) FROM dbmigration.progress") == "0"


def test_what_cannot_be_read_is_found_before_anything_runs(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"dbmigration.toml": 'layout = "dbmate"', "1_a.sql": "-- migrate:up\n\nSELECT 'x;\n-- migrate:down\n"})
    with database.connect() as session, pytest.raises(Permanent) as caught:
        read_ahead(session, files.files[0])
    assert (caught.value.reason, caught.value.place.line) == (Reason.SOURCE_INVALID, 3)


def test_versions_of_flyway_are_out_of_order_when_they_are(database: Database, tmp_path: Path) -> None:
    one, ten = "CREATE TABLE one (id int);", "CREATE TABLE ten (id int);"
    files = write_files(tmp_path, {"dbmigration.toml": 'layout = "flyway"', "V1.1__a.sql": one, "V1.10__b.sql": ten})
    assert apply_all(database, files).files == ["V1.1__a.sql", "V1.10__b.sql"]
    later = write_files(tmp_path, {"V1.2__c.sql": "SELECT 1;"})
    with database.connect() as session, pytest.raises(Permanent) as caught:
        apply_pending(session, later)
    assert (caught.value.reason, caught.value.place.file) == (Reason.OUT_OF_ORDER, "V1.2__c.sql")
    gone = later._replace(files=tuple(file for file in later.files if file.version == "1.1"))
    with database.connect() as session, pytest.raises(Permanent) as caught:
        apply_pending(session, gone)
    assert caught.value.reason is Reason.MISSING_FILES
