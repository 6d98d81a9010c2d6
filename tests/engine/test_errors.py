"""What may be shown of a server's message, and what a SQLSTATE means for a run."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres.errors import ServerError, classify, mask_message
from tests.engine.conftest import Database
from tests.engine.support import apply_all, write_files


@pytest.mark.parametrize(
    ("sqlstate", "message", "shown"),
    [
        ("22P02", 'invalid input syntax for type integer: "s3cret"', 'invalid input syntax for type integer: "***"'),
        ("22P02", 'invalid input syntax for type json: "a ""s3cret"" b"', 'invalid input syntax for type json: "***"'),
        ("P0001", "bad token 'it''s s3cret' given", "bad token '***' given"),
        ("23505", 'duplicate key value violates unique constraint "t_key"', 'duplicate key value violates unique constraint "t_key"'),
        ("42P01", 'relation "nothing" does not exist', 'relation "nothing" does not exist'),
        ("42601", 'syntax error at or near "FROM"', 'syntax error at or near "FROM"'),
        ("42601", "syntax error at or near \"'s3cret'\"", 'syntax error at or near "***'),
        ("42601", 'syntax error at or near "$$s3cret\n$$"', 'syntax error at or near "***'),
        ("42601", "unterminated quoted string at or near \"'s3cret;\nmore\"", 'unterminated quoted string at or near "***'),
        ("42601", 'syntax error at or near "4711"', 'syntax error at or near "***'),
        ("XX000", 'could not "s3cret"', 'could not "***"'),
        ("22007", 'ungültige Eingabesyntax für Typ date: »s3cret«', "ungültige Eingabesyntax für Typ date: »***«"),
        (None, 'connection to server at "db", port 1 failed', 'connection to server at "db", port 1 failed'),
    ],
)  # fmt: skip
def test_what_may_be_a_value_is_masked_and_names_stay(sqlstate: str | None, message: str, shown: str) -> None:
    assert mask_message(sqlstate, message) == shown


def test_a_long_message_is_one_short_line() -> None:
    shown = mask_message("42P01", "x\n" * 2000)
    assert len(shown) <= 500
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("sqlstate", "kind", "reason"),
    [
        ("42601", Permanent, Reason.SQL_FAILED),
        ("23505", Permanent, Reason.SQL_FAILED),
        ("22P02", Permanent, Reason.SQL_FAILED),
        ("0A000", Permanent, Reason.SQL_FAILED),
        ("P0001", Permanent, Reason.SQL_FAILED),
        ("28000", Permanent, Reason.SQL_FAILED),
        ("42501", Permanent, Reason.SQL_FAILED),
        ("55P03", Transient, Reason.LOCK_TIMEOUT),
        ("40P01", Transient, Reason.LOCK_TIMEOUT),
        ("40001", Transient, Reason.LOCK_TIMEOUT),
        ("53100", Transient, Reason.DATABASE_UNAVAILABLE),
        ("58030", Transient, Reason.DATABASE_UNAVAILABLE),
        ("58P01", Permanent, Reason.SQL_FAILED),
        ("58P02", Permanent, Reason.SQL_FAILED),
        ("57P03", Transient, Reason.DATABASE_UNAVAILABLE),
        ("57P01", Transient, Reason.CONNECTION_LOST),
        ("08006", Transient, Reason.CONNECTION_LOST),
        (None, Transient, Reason.CONNECTION_LOST),
        ("57014", Transient, Reason.DEADLINE_EXCEEDED),
        ("25006", Transient, Reason.DATABASE_READ_ONLY),
    ],
)
def test_classes_of_sqlstate_decide_whether_another_attempt_can_help(sqlstate: str | None, kind: type, reason: Reason) -> None:
    error = classify(ServerError(sqlstate, "message"), after_sql=True)
    assert (type(error), error.reason, error.place.sqlstate) == (kind, reason, sqlstate)


def test_a_missing_right_on_our_own_tables_is_transient_for_a_person_grants_it() -> None:
    error = classify(ServerError("42501", "permission denied for table event"))
    assert (type(error), error.reason) == (Transient, Reason.PERMISSION_DENIED)


def test_a_library_that_the_server_lacks_is_no_reason_to_try_again(database: Database, tmp_path: Path) -> None:
    database.psql("UPDATE pg_language SET lanpltrusted = true WHERE lanname = 'c'")
    sql = "SELECT 1;\nCREATE FUNCTION f() RETURNS int LANGUAGE c AS 'no_such_library', 'f';\n"
    with pytest.raises(Permanent) as caught:
        apply_all(database, write_files(tmp_path, {"001_library.sql": sql}))
    assert (caught.value.reason, caught.value.place.sqlstate, caught.value.place.line) == (Reason.SQL_FAILED, "58P01", 2)
