"""What people have looked at stays quiet, with a reason; what is not needed any more, or says none, does not."""

from pathlib import Path

import pytest

from dbmigration.errors import Permanent
from dbmigration.lint import check_folder
from dbmigration.migrations.config import parse_config

HEADER = "-- Migration: 001 - X\n-- Purpose: x\n-- Dependencies: None\n-- Rollback: see rollback-001.sql\n"


def rules(folder: Path, sql: str, config: str = "") -> list[tuple[str, str, int | None]]:
    """(rule, file, line) of every finding."""
    (folder / "001_x.sql").write_text(HEADER + sql)
    (folder / "rollback-001.sql").write_text("SELECT 1;\n")
    if config:
        (folder / "dbmigration.toml").write_text(config)
    return [(finding.rule, finding.file, finding.line) for finding in check_folder(folder)]


@pytest.mark.parametrize(
    "sql",
    [
        "-- dbmigration: ignore drop-table because nobody has read it since May\nDROP TABLE IF EXISTS a;\n",
        "DROP TABLE IF EXISTS a; -- dbmigration: ignore drop-table because nobody has read it since May\n",
        "DROP TABLE\n-- dbmigration: ignore drop-table because nobody has read it since May\nIF EXISTS a;\n",
        "--dbmigration:ignore DROP-TABLE  BECAUSE nobody has read it since May\n\n-- more words\nDROP TABLE IF EXISTS a;\n",
        "-- dbmigration: ignore-file drop-table because nobody has read it since May\nBEGIN;\nDROP TABLE IF EXISTS a;\nCOMMIT;\n",
        "DROP TABLE IF EXISTS a;\n\n-- dbmigration: ignore-file drop-table because nobody has read it since May",
        "-- dbmigration: ignore drop-cascade, drop-table because both are ours\nDROP TABLE IF EXISTS a CASCADE;\n",
    ],
)
def test_reasoned_ignore_silences_its_statement(tmp_path: Path, sql: str) -> None:
    assert rules(tmp_path, sql) == []


def test_an_ignore_behind_several_statements_is_about_all_that_stands_on_its_line(tmp_path: Path) -> None:
    ignore = "-- dbmigration: ignore drop-table because nobody has read it since May"
    assert rules(tmp_path, f"BEGIN; SELECT 1; DROP TABLE IF EXISTS a; {ignore}\nCOMMIT;\n") == []
    assert rules(tmp_path, f"BEGIN; DROP TABLE IF EXISTS\na; {ignore}\nCOMMIT;\n") == []
    assert rules(tmp_path, f"BEGIN; DROP TABLE IF EXISTS a; SELECT 1; {ignore}\nCOMMIT;\n") == []


def test_an_ignore_behind_copy_is_about_it_and_what_its_data_hold_is_none(tmp_path: Path) -> None:
    ignore = "-- dbmigration: ignore statement-after-exclusive-lock because there are two rows"
    data = "-- dbmigration: ignore nothing\n"
    found = rules(tmp_path, f"ALTER TABLE a ADD IF NOT EXISTS x int;\nCOPY a FROM stdin; {ignore}\n{data}\\.\n")
    assert {rule for rule, *_ in found} <= {"missing-transaction"}


def test_ignore_is_for_one_statement_only(tmp_path: Path) -> None:
    sql = "BEGIN;\n-- dbmigration: ignore drop-table because a is empty\nDROP TABLE IF EXISTS a;\nDROP TABLE IF EXISTS b;\nCOMMIT;\n"
    assert rules(tmp_path, sql) == [("drop-table", "001_x.sql", 8)]


@pytest.mark.parametrize(
    "comment", ["ignore drop-table", "ignore drop-table because", "ignore drop-table because ok", "drop-table is fine"]
)
def test_ignore_without_a_reason_ignores_nothing_and_is_an_error(tmp_path: Path, comment: str) -> None:
    found = rules(tmp_path, f"-- dbmigration: {comment}\nDROP TABLE IF EXISTS a;\n")
    assert found == [("invalid-ignore", "001_x.sql", 5), ("drop-table", "001_x.sql", 6)]


def test_ignore_of_no_rule_is_an_error(tmp_path: Path) -> None:
    assert rules(tmp_path, "-- dbmigration: ignore drop-tabel because it is empty\nSELECT 1;\n") == [("invalid-ignore", "001_x.sql", 5)]


def test_the_rules_about_ignores_cannot_be_ignored(tmp_path: Path) -> None:
    sql = "-- dbmigration: ignore-file unused-ignore because I say so\n-- dbmigration: ignore drop-table because no reason\nSELECT 1;\n"
    assert rules(tmp_path, sql) == [("invalid-ignore", "001_x.sql", 5), ("unused-ignore", "001_x.sql", 6)]


def test_unused_ignore_is_reported(tmp_path: Path) -> None:
    sql = "-- dbmigration: ignore drop-table because it was empty\nSELECT 1;\n"
    assert rules(tmp_path, sql) == [("unused-ignore", "001_x.sql", 5)]


def test_what_looks_like_an_ignore_in_a_string_or_in_data_is_none(tmp_path: Path) -> None:
    comment = "-- dbmigration: ignore-file drop-table because this is no comment"
    sql = f"BEGIN;\nSELECT '\n{comment}\n';\nCOPY a FROM STDIN;\n{comment}\n\\.\nDROP TABLE IF EXISTS b;\nCOMMIT;\n"
    assert rules(tmp_path, sql) == [("drop-table", "001_x.sql", 12)]


def test_ignore_behind_copy_and_after_its_data(tmp_path: Path) -> None:
    sql = (
        "BEGIN;\nCOPY a FROM STDIN;\n1\n\\.\n"
        "-- dbmigration: ignore drop-table because it is a copy of a\nDROP TABLE IF EXISTS b;\nDROP TABLE IF EXISTS c;\nCOMMIT;\n"
    )
    assert rules(tmp_path, sql) == [("drop-table", "001_x.sql", 11)]


def test_ignore_about_a_whole_file_may_stand_anywhere_in_it(tmp_path: Path) -> None:
    sql = "SELECT 1;\n-- dbmigration: ignore missing-transaction because each is fine alone\nSELECT 2;\n"
    assert rules(tmp_path, sql) == []


def test_ignore_in_a_big_file_is_found_across_blocks(tmp_path: Path) -> None:
    line = "INSERT INTO a VALUES (1, 'some text that makes it longer');\n"
    many = line * (2_500_000 // len(line))
    sql = f"BEGIN;\n{many}-- dbmigration: ignore drop-table because it is the old one\nDROP TABLE IF EXISTS b;\nCOMMIT;\n"
    assert rules(tmp_path, sql) == []


CHOICE = '[[lint.rules]]\nrule = "drop-table"\nseverity = "{severity}"\nreason = "archived last year"\n'


def test_choice_takes_a_rule_away(tmp_path: Path) -> None:
    assert rules(tmp_path, "DROP TABLE IF EXISTS a;\n", CHOICE.format(severity="off")) == []


def test_choice_moves_a_severity(tmp_path: Path) -> None:
    rules(tmp_path, "DROP TABLE IF EXISTS a;\n", CHOICE.format(severity="note"))
    assert [str(finding.severity) for finding in check_folder(tmp_path)] == ["note"]


def test_choice_for_named_files_is_for_those_only(tmp_path: Path) -> None:
    config = CHOICE.format(severity="off") + 'files = ["002_y.sql"]\n'
    (tmp_path / "002_y.sql").write_text(HEADER.replace("001", "002") + "DROP TABLE IF EXISTS b;\n")
    (tmp_path / "rollback-002.sql").write_text("SELECT 1;\n")
    assert rules(tmp_path, "DROP TABLE IF EXISTS a;\n", config) == [("drop-table", "001_x.sql", 5)]


def test_choice_that_nothing_needs_is_reported(tmp_path: Path) -> None:
    config = CHOICE.format(severity="off") + 'files = ["001_x.sql"]\n'
    assert rules(tmp_path, "SELECT 1;\n", config) == [("unused-ignore", "dbmigration.toml", None)]


def test_choice_about_no_rule_is_an_error(tmp_path: Path) -> None:
    config = CHOICE.format(severity="off").replace("drop-table", "drop-tabel")
    assert rules(tmp_path, "SELECT 1;\n", config) == [("invalid-ignore", "dbmigration.toml", None)]


@pytest.mark.parametrize(
    "text",
    [
        "lint = 1",
        "[lint]\nruels = []",
        "[lint]\nrules = 1",
        '[[lint.rules]]\nrule = "drop-table"\nseverity = "off"',
        '[[lint.rules]]\nrule = "drop-table"\nseverity = "off"\nreason = " "',
        '[[lint.rules]]\nrule = "drop-table"\nseverity = "none"\nreason = "x"',
        '[[lint.rules]]\nseverity = "off"\nreason = "x"',
        '[[lint.rules]]\nrule = "drop-table"\nseverity = "off"\nreason = "x"\nfiles = []',
        '[[lint.rules]]\nrule = "drop-table"\nseverity = "off"\nreason = "x"\nwhy = "x"',
    ],
)
def test_a_choice_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(Permanent) as refused:
        parse_config(text.encode())
    assert refused.value.reason == "SourceInvalid"
    assert "lint" in refused.value.message
