"""Files between plan and run: read once more or sent as they were read, edited, gone, broken off, on a disk that breaks."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres.apply import apply_file, apply_seed, read_ahead, seed_source
from dbmigration.postgres.settings import Execution
from tests.engine.conftest import Database
from tests.engine.support import GOOD, OUR_TABLE, applied_names, apply_pending, write_files


def test_a_file_that_changes_between_plan_and_run_is_not_run(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_one.sql": GOOD})
    (tmp_path / "001_one.sql").write_text("CREATE TABLE other (id int);\n")
    with pytest.raises(Transient) as caught, database.connect() as session:
        apply_pending(session, files)
    assert caught.value.reason is Reason.SOURCE_CHANGING
    assert database.psql("SELECT to_regclass('other') IS NULL AND to_regclass('good') IS NULL") == "t"


@pytest.mark.parametrize("gone", ["verify-001.sql", "001_one.sql"])
def test_a_file_that_is_gone_between_plan_and_run_is_not_run(database: Database, tmp_path: Path, gone: str) -> None:
    files = write_files(tmp_path, {"001_one.sql": GOOD, "verify-001.sql": "SELECT true;"})
    (tmp_path / gone).unlink()
    with pytest.raises(Transient) as caught, database.connect() as session:
        apply_pending(session, files)
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_CHANGING, gone)
    assert database.psql("SELECT to_regclass('good') IS NULL") == "t"


@pytest.mark.parametrize("statement", ["", "COPY half FROM STDIN;\n"], ids=["statements", "data of COPY"])
def test_a_big_file_whose_disk_breaks_after_it_was_planned_leaves_nothing(database: Database, tmp_path: Path, statement: str) -> None:
    text = f"CREATE TABLE half (id int);\n{statement}" + ("1\n" * 600_000 if statement else MUCH)
    (file,) = write_files(tmp_path, {"001_one.sql": text}).files
    with database.connect() as session:
        read_ahead(session, file)
        file.path.unlink()
        file.path.symlink_to("/proc/self/mem")  # its first byte is an I/O error
        with pytest.raises(Permanent) as caught:
            apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="test-run", on_progress=lambda _: None)
        assert session.query("SELECT to_regclass('half') IS NULL")[0][0] is True
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "001_one.sql")


def test_a_file_that_breaks_off_while_messages_of_it_are_on_their_way_leaves_nothing_and_a_session_that_works(
    database: Database, tmp_path: Path
) -> None:
    text = "CREATE TABLE half (id int);\n" + "INSERT INTO half VALUES (1);\n" * 50_000
    (file,) = write_files(tmp_path, {"001_one.sql": text}).files
    with database.connect() as session:
        read_ahead(session, file)
        file.path.write_text(text + "SELECT 'no end")
        with pytest.raises(Permanent) as caught:
            apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="test-run", on_progress=lambda _: None)
        assert session.query("SELECT to_regclass('half') IS NULL")[0][0] is True
    assert (caught.value.reason, caught.value.place.line) == (Reason.SOURCE_INVALID, 50_002)


MUCH = "INSERT INTO half VALUES (1);\n" * 50_000
ROWS = "10000\n" * 200_000
"""Each more than is kept in memory of a file: it is read once more when it is run."""


@pytest.mark.parametrize(
    ("name", "planned"),
    [
        ("001_one.sql", f"CREATE TABLE half (id int);\n{MUCH}SELECT 1;\n"),
        ("001_one.sql", f"CREATE TABLE half (id int);\nCOPY half FROM STDIN;\n{ROWS}\\.\n"),
        ("verify-001.sql", f"CREATE TEMP TABLE half (id int);\n{MUCH}SELECT 1;\n"),
    ],
    ids=["statements", "data of COPY", "verify"],
)
def test_a_big_file_edited_after_it_was_planned_is_not_committed(database: Database, tmp_path: Path, name: str, planned: str) -> None:
    files = write_files(tmp_path, {"001_one.sql": "SELECT 1;", name: planned})
    (file,) = files.files
    with database.connect() as session:
        read_ahead(session, file)
        (tmp_path / name).write_text("2".join(planned.rsplit("1", 1)))
        with pytest.raises(Transient) as caught:
            apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="test-run", on_progress=lambda _: None)
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_CHANGING, name)
    assert database.psql("SELECT to_regclass('half') IS NULL AND to_regclass('dbmigration.schema_migrations') IS NULL") == "t"


def test_files_too_big_for_one_message_or_not_read_yet_are_not_made_ahead(database: Database, tmp_path: Path) -> None:
    big = f"CREATE TABLE two (v text);\nINSERT INTO two VALUES ('{'x' * 40_000}');\n"
    one, two, three = write_files(tmp_path, {"001_one.sql": GOOD, "002_two.sql": big, "003_three.sql": "CREATE TABLE three ();"}).files
    then = {one.name: two, two.name: three}
    with database.connect() as session:
        for file in (one, two):
            read_ahead(session, file)
        for file in (one, two, three):
            apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="r", on_progress=lambda _: None, then=then)
            assert session.ahead is None
    assert applied_names(database) == ["001_one.sql", "002_two.sql", "003_three.sql"]


def test_a_big_seed_whose_disk_breaks_is_no_failure_of_its_sql(database: Database, tmp_path: Path) -> None:
    (seed,) = write_files(tmp_path, {"seed-a.sql": "CREATE TABLE half (id int);\n" + MUCH}).seeds
    with database.connect() as session:
        seed_source(session, seed)
        seed.path.unlink()
        seed.path.symlink_to("/proc/self/mem")
        with pytest.raises(Permanent) as caught:
            apply_seed(session, seed, table=OUR_TABLE, execution=Execution(), run_id="r", on_progress=lambda _: None)
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "seed-a.sql")
    assert database.psql("SELECT to_regclass('half') IS NULL") == "t"
