"""Findings for people, for scripts and for code hosts, and the command that prints them."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path, PurePath

import pytest

from dbmigration.cli.main import main
from dbmigration.lint import Finding, Severity, report, worst
from dbmigration.lint.registry import RULES

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = (
    Finding("drop-table", Severity.ERROR, "002 b.sql", 3, "a is gone", "app.a"),
    Finding("missing-rollback", Severity.WARNING, "002 b.sql", None, "no way back"),
)


def test_console_lines_name_file_line_and_rule() -> None:
    assert list(report.console(FINDINGS, PurePath("migrations"))) == [
        "migrations/002 b.sql:3: error: a is gone [drop-table]",
        "migrations/002 b.sql: warning: no way back [missing-rollback]",
        "1 error, 1 warning. Each rule has a page: docs/rules/<rule>.md",
    ]


def test_console_colours_only_where_asked() -> None:
    assert "\x1b[31merror\x1b[0m" in next(report.console(FINDINGS, PurePath("m"), colour=True))
    assert "\x1b" not in "".join(report.console(FINDINGS, PurePath("m")))


def test_json_holds_every_field() -> None:
    document = json.loads(report.as_json(FINDINGS))
    assert document["counts"] == {"error": 1, "warning": 1, "note": 0}
    assert document["findings"][0] == {
        "rule": "drop-table",
        "severity": "error",
        "file": "002 b.sql",
        "line": 3,
        "message": "a is gone",
        "table": "app.a",
        "page": "docs/rules/drop-table.md",
    }


def test_sarif_has_what_the_standard_requires() -> None:
    """SARIF 2.1.0: 3.13 log, 3.14 run, 3.19 toolComponent, 3.27 result, 3.49 reportingDescriptor."""
    document = json.loads(report.as_sarif(FINDINGS, PurePath("db/migrations"), "1.2.3"))
    assert (document["version"], "sarif-schema-2.1.0.json" in document["$schema"]) == ("2.1.0", True)
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("dbmigration", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == [rule.name for rule in RULES]
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} == {"error", "warning", "note"}
    first, second = run["results"]
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "drop-table"
    assert (first["level"], first["message"]["text"]) == ("error", "a is gone.")
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "db/migrations/002%20b.sql", "uriBaseId": "ROOT"}, "region": {"startLine": 3}}
    assert "region" not in second["locations"][0]["physicalLocation"]


def test_sarif_fingerprint_survives_a_moved_line() -> None:
    def fingerprint(line: int) -> object:
        moved = Finding("drop-table", Severity.ERROR, "a.sql", line, "a is gone")
        return json.loads(report.as_sarif((moved,), PurePath("m"), "1"))["runs"][0]["results"][0]["partialFingerprints"]

    assert fingerprint(3) == fingerprint(30)


def test_worst_is_the_highest() -> None:
    assert worst(FINDINGS) is Severity.ERROR
    assert worst(()) is None


def run(*words: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main(["lint", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "001_a.sql").write_text("-- Migration: 001 - A\n-- Purpose: a\n-- Dependencies: None\n-- Rollback: none\nSELECT 1;\n")
    return tmp_path


@pytest.mark.parametrize(
    ("sql", "fail_on", "status"),
    [
        ("SELECT 1;", "error", 0),
        ("SELECT 1;", "warning", 1),
        ("SELECT 1;", "never", 0),
        ("DROP TABLE a;", "error", 1),
        ("DROP TABLE a;", "never", 0),
    ],
)
def test_exit_status_follows_the_worst_finding(folder: Path, sql: str, fail_on: str, status: int) -> None:
    """Without a rollback script there is a warning in any case."""
    (folder / "001_a.sql").write_text((folder / "001_a.sql").read_text().replace("SELECT 1;", sql))
    assert run("--dir", str(folder), "--fail-on", fail_on)[0] == status


def test_clean_set_says_so() -> None:
    assert run("--dir", str(ROOT / "migrations")) == (0, "No findings.\n")


def test_a_folder_without_a_migration_is_not_called_clean(tmp_path: Path) -> None:
    status, out = run("--dir", str(tmp_path))
    assert (status, "no .sql file" in out) == (0, True)
    (tmp_path / "001_first").mkdir()
    (tmp_path / "001_first" / "up.sql").write_text("SELECT 1;\n")
    status, out = run("--dir", str(tmp_path))
    assert (status, "001_first/up.sql" in out, "invalid-set" in out) == (1, True, True)


def test_files_may_be_named_with_their_folder(folder: Path) -> None:
    (folder / "002_b.sql").write_text("SELECT 1;\n")
    status, out = run("--dir", str(folder), "--format", "json", str(folder / "001_a.sql"))
    assert (status, {finding["file"] for finding in json.loads(out)["findings"]}) == (0, {"001_a.sql"})


@pytest.mark.parametrize("words", [["nothing.sql"], ["/elsewhere/001_a.sql"], ["--format", "xml"], ["--fail-on", "note"]])
def test_wrong_words_are_usage(folder: Path, words: list[str]) -> None:
    assert run("--dir", str(folder), *words)[0] == 2


def test_missing_folder_is_usage(tmp_path: Path) -> None:
    assert run("--dir", str(tmp_path / "none"))[0] == 2


def test_sarif_from_the_command_is_json(folder: Path) -> None:
    status, out = run("--dir", str(folder), "--format", "sarif", "--fail-on", "never")
    assert (status, json.loads(out)["runs"][0]["results"][0]["ruleId"]) == (0, "missing-rollback")


def test_importing_lint_does_not_import_the_parser() -> None:
    """A run with nothing pending pays for no parser."""
    code = "import sys, dbmigration.lint; print('postgast' in sys.modules, 'pydantic' in sys.modules, 'psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


PAGES = ROOT / "docs" / "rules"
SECTIONS = ("## What is dangerous", "## Why", "## What is true in PostgreSQL", "## The safe way", "## How to ignore it")


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_rule_has_a_page_with_every_section(rule: str) -> None:
    page = PAGES / f"{rule}.md"
    assert page.exists(), f"write {page.relative_to(ROOT)}"
    text = page.read_text()
    assert text.startswith(f"# {rule}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for section in re.split(r"^## .*\n", text, flags=re.MULTILINE)[1:]:
        assert section.strip(), f"an empty section in {page.name}"


def test_no_page_without_its_rule() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {rule.name for rule in RULES}


def test_lint_page_lists_every_rule_with_its_severity() -> None:
    text = (ROOT / "docs" / "lint.md").read_text()
    for rule in RULES:
        assert f"| [{rule.name}](rules/{rule.name}.md) | {rule.severity}{' by size' if rule.by_size else ''} | {rule.summary} |" in text
