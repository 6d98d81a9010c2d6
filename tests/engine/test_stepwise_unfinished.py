"""Files that a run left unfinished: what is done stays, what the session had comes back, what was edited, and whose end nobody saw."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.postgres.apply import apply_file
from dbmigration.postgres.history import read_history
from dbmigration.postgres.settings import Execution
from tests.engine.conftest import Database
from tests.engine.stepping import FIVE, NAME, failing, invalid_indexes
from tests.engine.support import (
    OUR_TABLE,
    applied_names,
    apply_all,
    history_of,
    roll_back,
    statements_done,
    write_files,
)


def test_the_unfinished_rest_may_be_mended(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, FIVE)
    mended = FIVE.replace("UNIQUE INDEX CONCURRENTLY t_id ON t (id)", "INDEX CONCURRENTLY t_id ON t (id)")
    assert apply_all(database, write_files(tmp_path, {NAME: mended})).files == [NAME]
    assert invalid_indexes(database) == ""
    assert database.psql("SELECT indisunique FROM pg_index WHERE indexrelid = 't_id'::regclass") == "f"


@pytest.mark.parametrize("change", [("(1), (1)", "(1), (2)"), ("INSERT INTO t VALUES (1), (1);\n", "")])
def test_the_finished_part_may_not_be_edited(database: Database, tmp_path: Path, change: tuple[str, str]) -> None:
    failing(database, tmp_path, FIVE)
    rows = database.psql("TABLE t")
    error = failing(database, tmp_path, FIVE.replace(*change))
    assert error.reason is Reason.PARTIAL_FILE_EDITED
    assert database.psql("TABLE t") == rows
    assert statements_done(database, NAME) == [1, 2]


def test_an_edit_that_comes_after_the_plan_is_found_too(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, FIVE)
    file = write_files(tmp_path, {NAME: FIVE.replace("(1), (1)", "(1), (2)")}).files[0]
    with pytest.raises(Permanent) as caught, database.connect() as session:
        apply_file(session, file, table=OUR_TABLE, execution=Execution(), run_id="r", on_progress=lambda _: None)
    assert (caught.value.reason, caught.value.place.line) == (Reason.PARTIAL_FILE_EDITED, 2)
    assert statements_done(database, NAME) == [1, 2]


def test_line_ends_of_the_finished_part_may_change(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, FIVE.replace("(1), (1)", "(1),\n(1)"))
    database.psql("TRUNCATE t")
    apply_all(database, write_files(tmp_path, {NAME: FIVE.replace("(1), (1)", "(1),\n(1)").replace("\n", "\r\n")}))
    assert applied_names(database) == [NAME]


def test_a_resume_replays_the_files_settings(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE ROLE other; GRANT other TO platform_owner")
    text = (
        "CREATE SCHEMA app;\nGRANT ALL ON SCHEMA app TO other;\nSET search_path = app;\nSET ROLE other;\nCREATE TABLE t (id int);\n"
        "INSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id);\nCREATE TABLE after (id int);\n"
    )
    failing(database, tmp_path, text)
    assert statements_done(database, NAME) == [1, 2, 3, 4, 5, 6]
    database.psql("TRUNCATE app.t")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'app' ORDER BY 1") == "after|other\nt|other"
    assert database.psql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'dbmigration'") == "platform_owner"
    database.psql("DROP OWNED BY other; DROP ROLE other")


def test_a_lost_temporary_object_is_refused_when_more_was_done(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE TEMP TABLE scratch (id int);\nCREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\n"
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
    )
    failing(database, tmp_path, text)
    database.psql("TRUNCATE t")
    error = failing(database, tmp_path, text)
    assert (error.reason, error.place.line) == (Reason.OUTCOME_UNKNOWN, 1)


def test_a_lost_temporary_object_starts_over_when_nothing_else_was_done(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); ALTER TABLE t OWNER TO platform_owner")
    text = (
        "CREATE TEMP TABLE scratch AS SELECT 42 AS id;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
        "INSERT INTO t SELECT id FROM scratch;\n"
    )
    failing(database, tmp_path, text)
    assert statements_done(database, NAME) == [1]
    database.psql("TRUNCATE t")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("TABLE t") == "42"


@pytest.mark.parametrize("happened", [True, False, None], ids=["valid", "absent", "invalid"])
def test_an_index_build_whose_end_nobody_saw_is_looked_up(database: Database, tmp_path: Path, happened: bool | None) -> None:
    """The state that a crash right before, within and right after CREATE INDEX CONCURRENTLY leaves."""
    text = "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
    failing(database, tmp_path, text)  # leaves intent and INVALID index
    if happened is not None:
        database.psql("DROP INDEX i")
    database.psql("TRUNCATE t")
    if happened:
        database.psql("CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t OWNER TO platform_owner")
    before = database.psql("SELECT to_regclass('i')::oid")
    apply_all(database, write_files(tmp_path, {NAME: text}))
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "t"
    assert (database.psql("SELECT 'i'::regclass::oid") == before) is bool(happened)


UNSEEN = "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
"""Fails with its intent written down, as if the run had been killed there."""


def test_a_statement_that_happened_unseen_may_not_be_edited(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, UNSEEN)
    database.psql("DROP INDEX i; TRUNCATE t; CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t OWNER TO platform_owner")
    error = failing(database, tmp_path, UNSEEN.replace("(id);\n", "(id) WHERE id > 1;\n"))
    assert (error.reason, error.place.file, error.place.line) == (Reason.PARTIAL_FILE_EDITED, NAME, 3)
    assert history_of(database).applied == ()


def test_a_statement_whose_end_nobody_saw_may_not_be_taken_out(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, UNSEEN)
    error = failing(database, tmp_path, UNSEEN.partition("CREATE UNIQUE")[0], **{"002_next.sql": "CREATE TABLE never ();"})
    assert (error.reason, error.place.file) == (Reason.PARTIAL_FILE_EDITED, NAME)
    assert database.psql("SELECT to_regclass('never') IS NULL") == "t"


def test_progress_that_somebody_made_a_gap_in_is_not_guessed_about(database: Database, tmp_path: Path) -> None:
    failing(database, tmp_path, UNSEEN)
    database.psql("DELETE FROM dbmigration.progress WHERE statement = 2")
    error = failing(database, tmp_path, UNSEEN)
    assert (error.reason, error.place.line) == (Reason.OUTCOME_UNKNOWN, 2)
    assert "dbmigration.progress" in error.message


def test_an_unfinished_file_that_is_edited_into_one_transaction_goes_on_where_it_stands(database: Database, tmp_path: Path) -> None:
    """Giving up CONCURRENTLY is the commonest way to mend such a file, and what is done must not be done twice."""
    database.psql("CREATE TABLE t (id int); ALTER TABLE t OWNER TO platform_owner")
    text = "INSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (id);\n"
    failing(database, tmp_path, text)
    assert statements_done(database, NAME) == [1]
    mended = text.replace("UNIQUE INDEX CONCURRENTLY", "INDEX")
    (result,) = apply_all(database, write_files(tmp_path, {NAME: mended})).results
    assert result.transactional is False
    assert database.psql("SELECT count(*) FROM t") == "2"
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "t"
    assert (applied_names(database), history_of(database).partial) == ([NAME], {})


def test_an_unfinished_rollback_script_that_is_edited_into_one_transaction_goes_on_where_it_stands(
    database: Database, tmp_path: Path
) -> None:
    back = "INSERT INTO undone VALUES (1);\nDROP INDEX CONCURRENTLY misspelt;\n"
    database.psql("CREATE TABLE undone (id int); ALTER TABLE undone OWNER TO platform_owner")
    given = {NAME: "CREATE TABLE t (id int);\nCREATE INDEX i ON t (id);\n", "rollback-001.sql": back}
    files = write_files(tmp_path, given)
    apply_all(database, files)
    with database.connect() as session, pytest.raises(Permanent):
        roll_back(session, files, NAME)
    mended = write_files(tmp_path, {"rollback-001.sql": back.replace("CONCURRENTLY misspelt", "i")})
    with database.connect() as session:
        read_history(session, OUR_TABLE)
        roll_back(session, mended, NAME)
    assert database.psql("SELECT count(*) FROM undone") == "1"
    assert database.psql("SELECT to_regclass('i') IS NULL") == "t"
    assert applied_names(database) == []
