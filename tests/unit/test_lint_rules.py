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


def test_rules_are_one_function_each() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    checks = [rule.check for rule in RULES if rule.kind is not Kind.SOURCE]
    assert len(checks) == len(set(checks))
