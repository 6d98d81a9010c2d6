"""Verify scripts: inside the file's transaction, always undone, and any boolean that is not true is a failure."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.postgres.settings import Execution
from dbmigration.postgres.verify import verify_file
from tests.engine.conftest import Database
from tests.engine.support import applied_names, apply_all, history_of, write_files

BODY = "BEGIN;\nCREATE TABLE t (id int);\nINSERT INTO t VALUES (1);\nSELECT set_config('search_path', '', false);\nCOMMIT;\n"


@pytest.mark.parametrize(
    ("verify", "line", "sqlstate", "column"),
    [
        ("SELECT true AS fine;\n\nSELECT count(*) = 2 AS two_rows FROM t;\n", 3, None, "two_rows"),
        ("SELECT NULL::boolean AS unknown;\n", 1, None, "unknown"),
        ("SELECT id = 1 AS has_one FROM t WHERE id = 99;\n", 1, None, "has_one"),
        ("SELECT x FROM (VALUES (true), (false)) AS v (x);\n", 1, None, "x"),
        ("SELECT 1;\nSELECT\n  1/0;\n", 2, "22012", None),
        ("SELECT 1;\nSELECT nothing FROM t;\n", 2, "42703", None),
        ("BEGIN;\nSELECT false AS inside;\nCOMMIT;\n", 2, None, "inside"),
        ("-- as Sqitch has them\nBEGIN;\nSELECT false AS inside;\nROLLBACK;\n", 3, None, "inside"),
    ],
)
def test_a_failed_verification_rolls_its_file_back(
    database: Database, tmp_path: Path, verify: str, line: int, sqlstate: str | None, column: str | None
) -> None:
    with pytest.raises(Permanent) as caught:
        apply_all(database, write_files(tmp_path, {"001_t.sql": BODY, "verify-001.sql": verify}))
    error = caught.value
    assert (error.reason, error.place.file, error.place.line, error.place.sqlstate) == (
        Reason.VERIFY_FAILED,
        "verify-001.sql",
        line,
        sqlstate,
    )
    assert column is None or column in error.message.split()
    assert database.psql("SELECT to_regclass('t') IS NULL") == "t"
    assert history_of(database).applied == ()


@pytest.mark.parametrize(
    "verify",
    [
        "SELECT count(*) = 1 AS one FROM t;\nSELECT id, id > 5 FROM t;\nSELECT 'text';\nSELECT 1 WHERE false;\n",
        "INSERT INTO t VALUES (2);\nSELECT count(*) = 2 FROM t;\nDROP TABLE t;\nSET search_path = nowhere;\n",
        "",
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM t) = 1; END $$;",
        "BEGIN;\nINSERT INTO t VALUES (2);\nSELECT count(*) = 2 FROM t;\nROLLBACK;\n-- the end\n",
        "BEGIN ISOLATION LEVEL READ COMMITTED;\nDELETE FROM t;\nABORT",
    ],
)
def test_what_a_passing_verification_does_is_undone(database: Database, tmp_path: Path, verify: str) -> None:
    files = write_files(tmp_path, {"001_t.sql": BODY, "verify-001.sql": verify})
    apply_all(database, files)
    assert database.psql("TABLE t") == "1"
    assert applied_names(database) == ["001_t.sql"]
    with database.connect() as session:
        assert verify_file(session, files.files[0], Execution()) is True
        assert session.query("SELECT current_setting('search_path')") == [('"$user", public',)]
    assert database.psql("TABLE t") == "1"


def test_verification_of_many_messages_sees_the_last_query(database: Database, tmp_path: Path) -> None:
    many = "".join(f"SELECT id < {n} AS below FROM t;\n" for n in range(2, 4002)) + "SELECT id > 1 AS above FROM t;\n"
    with pytest.raises(Permanent) as caught:
        apply_all(database, write_files(tmp_path, {"001_t.sql": BODY, "verify-001.sql": many}))
    assert (caught.value.reason, caught.value.place.line) == (Reason.VERIFY_FAILED, 4001)
    assert database.psql("SELECT to_regclass('t') IS NULL") == "t"


def test_a_re_run_fails_when_the_database_has_changed_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    files = write_files(
        tmp_path, {"001_t.sql": BODY, "verify-001.sql": "DELETE FROM t WHERE id = 2;\nSELECT count(*) = 1 AS one FROM t;\n"}
    )
    apply_all(database, files)
    database.psql("INSERT INTO t VALUES (3)")
    with pytest.raises(Permanent) as caught, database.connect() as session:
        verify_file(session, files.files[0], Execution())
    assert (caught.value.reason, caught.value.place.line) == (Reason.VERIFY_FAILED, 2)
    assert database.psql("TABLE t") == "1\n3"


@pytest.mark.parametrize(
    "verify", ["SELECT true;\nCOMMIT;\nSELECT true;\n", "BEGIN;\nSELECT true;\nROLLBACK;\nDELETE FROM t;\n", "ROLLBACK;\nSELECT true;\n"]
)
def test_a_verify_script_that_ends_transactions_is_refused_before_any_sql(database: Database, tmp_path: Path, verify: str) -> None:
    with pytest.raises(Permanent) as caught:
        apply_all(database, write_files(tmp_path, {"001_t.sql": BODY, "verify-001.sql": verify}))
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "verify-001.sql")
    assert database.psql("SELECT to_regclass('t') IS NULL") == "t"


def test_a_file_without_a_verify_script_says_so(database: Database, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"001_t.sql": BODY})
    apply_all(database, files)
    with database.connect() as session:
        assert verify_file(session, files.files[0], Execution()) is False
