"""What our parser does not read, and the server does: key words of 16 to 18 used as names, and long chains of operators."""

from pathlib import Path

import pytest
from postgast import PgQueryError

from dbmigration.lint import check_folder
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.script import inspect
from dbmigration.migrations.tree import TooDeep, parse, parse_one
from dbmigration.pictures.effects import effects_of

DEEP = " || ".join(["'x'"] * 500)
KEY_WORD = "CREATE FUNCTION json_value(a text) RETURNS text LANGUAGE sql AS 'SELECT a;'"
"""Runs on PostgreSQL 14 to 16; in 17 json_value became a key word that can name no function."""

HEADER = "-- Migration: 001 - X\n-- Purpose: x\n--\n-- Dependencies:\n--   None\n--\n-- Rollback:\n--   See rollback-001.sql\n"


def test_a_long_chain_of_operators_is_no_error_of_the_parser() -> None:
    with pytest.raises(TooDeep):
        parse(f"SELECT {DEEP}")
    with pytest.raises(PgQueryError):
        parse(KEY_WORD)
    assert parse_one(f"SELECT {DEEP}".encode()) is None
    assert parse_one(KEY_WORD.encode()) is None
    assert parse_one(b"SELECT 1; SELECT 2") is None


@pytest.mark.parametrize(
    ("sql", "transactional", "statements"),
    [
        (f"CREATE VIEW v AS SELECT {DEEP} AS x;\nSELECT 1;", True, 2),
        (f"{KEY_WORD};\nSELECT 1;", True, 2),
        (f"CREATE INDEX CONCURRENTLY i ON t (({DEEP}));\nSELECT 1;", False, 2),
        ("CREATE INDEX CONCURRENTLY json_value() ON t (a);\nSELECT 1;", False, 2),
        ("CREATE INDEX i ON t (a) WHERE json_value('CONCURRENTLY') RETURNING;\nSELECT 1;", True, 2),
    ],
)
def test_a_file_is_split_and_its_transaction_guessed_without_the_parser(
    tmp_path: Path, sql: str, transactional: bool, statements: int
) -> None:
    path = tmp_path / "001_x.sql"
    path.write_text(sql)
    shape = inspect(path, None)
    assert (shape.transactional, shape.statements) == (transactional, statements)


def linted(folder: Path, sql: str) -> list[tuple[str, int | None]]:
    (folder / "001_x.sql").write_text(HEADER + sql)
    (folder / "rollback-001.sql").write_text("SELECT 1;")
    return [(finding.rule, finding.line) for finding in check_folder(folder)]


def test_lint_says_what_its_grammar_does_not_know_and_can_be_told_better(tmp_path: Path) -> None:
    assert ("syntax-error", 9) in linted(tmp_path, f"{KEY_WORD};\n")
    told = f"-- dbmigration: ignore syntax-error because the server is PostgreSQL 15, where json_value is a name like others\n{KEY_WORD};\n"
    assert "syntax-error" not in [rule for rule, _ in linted(tmp_path, told)]


def test_lint_does_not_take_a_long_chain_for_an_error(tmp_path: Path) -> None:
    sql = f"CREATE TABLE deep AS SELECT {DEEP} AS x;\nALTER TABLE deep ADD y int;\n"
    assert {rule for rule, _ in linted(tmp_path, sql)} & {"syntax-error", "unknown-object"} == set()


def test_docs_say_that_a_long_chain_was_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text(f"SELECT 1;\nCREATE VIEW v AS SELECT {DEEP} AS x;\nDO 'BEGIN END';\n")
    ((_, effects),) = effects_of(read_set(tmp_path).files)
    assert effects.unread == ("1 DO block: code that runs at once", "line 2: nested too deeply for this parser")
