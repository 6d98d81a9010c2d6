"""Each rule on SQL that it must find and on SQL that it must leave alone."""

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from dbmigration.lint import Finding, check_folder
from dbmigration.lint.registry import RULES
from dbmigration.lint.rule import Kind
from tests.unit.lint_cases import FOUND, Case
from tests.unit.lint_left_alone import LEFT_ALONE

TESTED_ELSEWHERE = {"invalid-set", "invalid-ignore", "unused-ignore", "undeclared-dependency", "file-name-style"}


def _cases(cases: dict[str, tuple[Case, ...]]) -> list[ParameterSet]:
    return [pytest.param(rule, case, id=f"{rule}-{number}") for rule, of_rule in cases.items() for number, case in enumerate(of_rule, 1)]


def _lint(folder: Path, case: Case) -> tuple[Finding, ...]:
    (folder / "001_before.sql").write_text(case.before)
    (folder / case.name).write_text(case.sql)
    if case.rollback and case.name.startswith("002"):
        (folder / "rollback-002.sql").write_text(case.rollback)
    return check_folder(folder, [case.name])


@pytest.mark.parametrize(("rule", "case"), _cases(FOUND))
def test_rule_finds_it_on_its_line(tmp_path: Path, rule: str, case: Case) -> None:
    found = [finding for finding in _lint(tmp_path, case) if finding.rule == rule]
    marked = [number for number, line in enumerate(case.sql.splitlines(), 1) if "--!" in line]
    assert {finding.line for finding in found} == (set(marked) if marked else {None})
    assert {finding.file for finding in found} == {case.name}
    if case.severity:
        assert {str(finding.severity) for finding in found} == {case.severity}


@pytest.mark.parametrize(("rule", "case"), _cases(LEFT_ALONE))
def test_rule_leaves_it_alone(tmp_path: Path, rule: str, case: Case) -> None:
    found = _lint(tmp_path, case)
    assert [str(finding) for finding in found if finding.rule == rule] == []
    assert [str(finding) for finding in found if finding.rule == "syntax-error"] == []


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} - set(FOUND) == TESTED_ELSEWHERE


def test_findings_never_hold_a_value(tmp_path: Path) -> None:
    secret = "s3cret-value"
    sql = f"CREATE ROLE a PASSWORD '{secret}';\nSELECT * FORM x WHERE a = '{secret}';\nSELECT a '{secret}' b;\nDELETE FROM x;"
    found = _lint(tmp_path, Case(sql))
    assert {"password-in-file", "syntax-error", "delete-without-where"} <= {finding.rule for finding in found}
    assert secret not in "".join(finding.message for finding in found)


def _message(folder: Path, rule: str, sql: str) -> str:
    return next(finding.message for finding in _lint(folder, Case(sql)) if finding.rule == rule)


def test_columns_that_one_statement_rewrites_for_are_one_finding_that_names_what_is_volatile(tmp_path: Path) -> None:
    add = "ALTER TABLE app.users ADD x text DEFAULT upper(lower(random()::text || clock_timestamp() || random())), ADD y serial, ADD z int;"
    message = _message(tmp_path, "add-column-rewrite", add)
    assert "random() and clock_timestamp() are VOLATILE" in message
    assert "upper" not in message
    assert "x (and 1 more in this statement)" in message


def test_a_generated_column_is_not_said_to_get_a_default_later(tmp_path: Path) -> None:
    message = _message(tmp_path, "add-column-rewrite", "ALTER TABLE app.users ADD x int GENERATED ALWAYS AS (age * 2) STORED;")
    assert "trigger" in message
    assert "default" not in message


@pytest.mark.parametrize(
    ("sql", "shown", "placeholder"),
    [
        ("CREATE TABLE {schema}.x (id int);", '"{"', True),
        ("CREATE TABLE :schema.x (id int);", '":"', True),
        ("CREATE TABLE x (id int,);", '")"', False),
        ("CREATE TABLE x (id int) t2x;", '"t2x"', False),
        ("SELECT 1 '2';", "a value", False),
        ("SELECT a 1;", "a value", False),
    ],
)
def test_a_syntax_error_shows_the_word_it_stands_at_unless_it_may_be_a_value(
    tmp_path: Path, sql: str, shown: str, *, placeholder: bool
) -> None:
    message = _message(tmp_path, "syntax-error", sql)
    assert f"at or near {shown}" in message
    assert ("placeholder" in message) is placeholder


def test_rules_are_one_function_each() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    checks = [rule.check for rule in RULES if rule.kind is not Kind.SOURCE]
    assert len(checks) == len(set(checks))
