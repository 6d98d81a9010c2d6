"""The header: what it says, and where it is refused."""

from textwrap import dedent

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.header import parse_header, parse_transaction
from dbmigration.migrations.model import Header

ENVIRONMENTS = ("development", "staging", "production")

TEMPLATE = """\
-- ============================================
-- Migration: 005 - Add Project Limits
-- ============================================
-- Purpose: Add resource limits tracking for projects
--   and their defaults
--
-- Dependencies:
--   - 001_create_platform_schema.sql
--   - 003_user_management_and_permissions.sql
--
-- Rollback:
--   See rollback-005.sql
--
-- Environment: production
-- Transaction: none
-- ============================================

BEGIN;
-- Environment: nowhere
"""


def parse(text: str, number: int = 5) -> Header:
    return parse_header(dedent(text), name="005_add_project_limits.sql", number=number, environments=ENVIRONMENTS)


def refusal(text: str) -> tuple[Reason, int | None]:
    with pytest.raises(Permanent) as caught:
        parse(text)
    assert caught.value.place.file == "005_add_project_limits.sql"
    return caught.value.reason, caught.value.place.line


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_house_template_is_understood(newline: str) -> None:
    header = parse(TEMPLATE.replace("\n", newline))
    assert header.title == "Add Project Limits"
    assert header.purpose == "Add resource limits tracking for projects and their defaults"
    assert [(one.name, one.line) for one in header.dependencies] == [
        ("001_create_platform_schema.sql", 8),
        ("003_user_management_and_permissions.sql", 9),
    ]
    assert header.rollback == "See rollback-005.sql"
    assert (header.environments, header.environment_line) == (("production",), 14)
    assert header.transaction is False


@pytest.mark.parametrize("text", ["", "BEGIN;\n-- Environment: nowhere\n", "SELECT 1; -- Environment: nowhere\n", "-- just a comment\n"])
def test_no_header_says_nothing(text: str) -> None:
    assert parse(text) == Header()


def test_the_header_ends_at_the_first_sql_and_not_at_empty_lines_or_block_comments() -> None:
    comment = "\n/* Environment: nowhere\n /* -- Environment: nowhere */ */ \n\n"
    header = parse(f"{comment}   -- Purpose: this\n\n-- Transaction: single\nSELECT 1;\n-- Purpose: that\n")
    assert (header.purpose, header.transaction, header.environments) == ("this", True, ())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("-- Dependencies: None", []),
        ("-- Dependencies: None (initial migration)", []),
        ("-- Dependencies:\n--   None (initial migration)", []),
        ("-- Dependencies:\n--   - None", []),
        ("-- Dependencies:\n--\n-- Rollback: x", []),
        ("-- Dependencies: 001_a.sql, 002_b.sql and 003", ["001_a.sql", "002_b.sql", "003"]),
        (
            "-- dependencies:\n-- * 001_a\n-- 002_b.sql (for the\n--   tables of b)\n--\n-- - not a list any more",
            ["001_a.sql", "002_b.sql"],
        ),
        ("-- Dependencies:\n--   - Requires `001_a.sql`\n--   - requires 002 - the users", ["001_a.sql", "002"]),
        ("-- Dependencies:\n--\n--   - 001_a.sql: tables", ["001_a.sql"]),
        ("-- Dependencies: 001_a.sql\n--   - 002_b.sql", ["001_a.sql", "002_b.sql"]),
    ],
)
def test_dependencies_are_read_as_people_write_them(text: str, names: list[str]) -> None:
    assert [one.name for one in parse(text).dependencies] == names


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("-- Dependencies: everything before", 1),
        ("-- Dependencies:\n--   - create_platform_schema.sql", 2),
        ("-- Dependencies:\n--   - 001_a.sql\n--   - 1_b.sql", 3),
        ("-- Dependencies:\n--   - 001_a.sql 002_b.sql", 2),
        ("-- Dependencies: 001_a.sql, later", 1),
    ],
)
def test_a_dependency_that_is_no_file_is_refused_with_its_line(text: str, line: int) -> None:
    assert refusal(text) == (Reason.SOURCE_INVALID, line)


@pytest.mark.parametrize(
    ("text", "environments"),
    [
        ("production", ("production",)),
        ("Production-specific", ("production",)),
        ("PRODUCTION ONLY", ("production",)),
        ("production-only.", ("production",)),
        ("production (Lancio lives only there)", ("production",)),
        ("staging, production", ("staging", "production")),
        ("staging and production", ("staging", "production")),
        ("staging / production / staging", ("staging", "production")),
        ("\n--   - staging\n--   - production", ("staging", "production")),
        ("all", ()),
    ],
)
def test_environments_are_read_as_people_write_them(text: str, environments: tuple[str, ...]) -> None:
    assert parse(f"-- Environment: {text}\n").environments == environments


@pytest.mark.parametrize("text", ["prod", "production, prod", "all, production", "production staging", "non-production", "productio"])
def test_unknown_environment_is_refused(text: str) -> None:
    assert refusal(f"--\n-- Environment: {text}\n") == (Reason.UNKNOWN_ENVIRONMENT, 2)


def test_an_environment_field_that_names_none_is_refused() -> None:
    assert refusal("-- Environment:\n--\n-- Purpose: x") == (Reason.SOURCE_INVALID, 1)


@pytest.mark.parametrize(
    ("text", "transaction"),
    [("none", False), ("None (CREATE INDEX CONCURRENTLY)", False), ("none - builds an index", False), ("single", True), ("required", True)],
)
def test_transaction_is_none_or_single(text: str, transaction: bool) -> None:
    assert parse(f"-- Transaction: {text}").transaction is transaction
    assert parse_transaction(f"-- Rollback for migration 005\n-- Transaction: {text}\n", name="rollback-005.sql") is transaction


@pytest.mark.parametrize("text", ["", "no", "false", "nonexistent", "none needed here", "off"])
def test_any_other_transaction_is_refused(text: str) -> None:
    assert refusal(f"-- Purpose: x\n-- Transaction: {text}") == (Reason.SOURCE_INVALID, 2)


@pytest.mark.parametrize("field", ["Enviroment: production", "Environments: production", "Dependency: 001_a.sql", "Transactional: no"])
def test_a_misspelt_field_that_would_change_what_runs_is_refused(field: str) -> None:
    assert refusal(f"-- Purpose: x\n-- {field}\n") == (Reason.SOURCE_INVALID, 2)


@pytest.mark.parametrize("field", ["Author: x", "Ticket: ABC-1", "Note: depends on nothing", "This migration: adds"])
def test_any_other_field_is_free_text(field: str) -> None:
    assert parse(f"-- {field}\n-- Purpose: x\n").purpose == "x"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("005 - Add Limits", "Add Limits"),
        ("005", None),
        ("0005: Add Limits", "Add Limits"),
        ("#5 – Add Limits", "Add Limits"),
        ("005_add_limits.sql", "add_limits.sql"),
        ("005 Add Limits", "Add Limits"),
        ("Add 3 Limits", "Add 3 Limits"),
        ("2FA for users", "2FA for users"),
        ("3 new tables", "3 new tables"),
    ],
)
def test_the_title_follows_the_number(text: str, title: str | None) -> None:
    assert parse(f"-- Migration: {text}").title == title


@pytest.mark.parametrize("text", ["004 - Add Limits", "004", "006_add_limits.sql", "50 - x", "004 Add"])
def test_a_number_that_contradicts_the_files_name_is_refused(text: str) -> None:
    assert refusal(f"-- ====\n-- Migration: {text}\n") == (Reason.SOURCE_INVALID, 2)
