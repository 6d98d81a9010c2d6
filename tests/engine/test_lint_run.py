"""Lint in a run: pending files only, before anything is done, with the sizes that the database tells; refused by policy."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import Exit
from dbmigration.lint import Severity
from dbmigration.lint.catalog import Size
from dbmigration.lint.live import read_catalog
from dbmigration.lint.names import Relation
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, LintPolicy, RunOptions
from dbmigration.run.progress import Progress, Step
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.server import OWNER
from tests.engine.support import applied_names, write_files

FIRST = {
    "001_app.sql": "CREATE SCHEMA app;\nCREATE TABLE app.people (id bigint PRIMARY KEY, name text);\nINSERT INTO app.people VALUES (1);\n"
}
DROP = {"002_drop.sql": "-- Purpose: gone\n\nDROP TABLE app.people;\n"}
INDEX = {"002_index.sql": "CREATE INDEX by_name ON app.people (name);\n"}
TABLE = Relation("app", "people")


def run(
    database: Database,
    directory: Path,
    *,
    lint: LintPolicy | None = None,
    ignore: tuple[str, ...] = (),
    backup: BackupTarget | None = None,
    environment: str = "production",
    said: list[Progress] | None = None,
) -> RunResult:
    options = RunOptions(directory, "test-run", environment=environment, lint=lint, lint_ignore=ignore, backup=backup)
    return Engine(options, database.conninfo(), (said if said is not None else []).append, StopRequest()).run()


def found(result: RunResult) -> dict[str, Severity]:
    """Rule -> severity, without what is about headers and the like."""
    return {finding.rule: finding.severity for finding in result.findings if finding.table or finding.rule.startswith("drop")}


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    write_files(tmp_path / "set", FIRST)
    result = run(database, tmp_path / "set")
    assert (result.error, result.findings) == (None, ())
    return tmp_path / "set"


def pretend_size(database: Database, rows: int, pages: int) -> None:
    """What ANALYZE would have written down of a big table."""
    database.psql(f"UPDATE pg_class SET reltuples = {rows}, relpages = {pages} WHERE oid = 'app.people'::regclass")


def test_a_destructive_file_is_refused_before_backup_and_sql(database: Database, folder: Path, tmp_path: Path) -> None:
    write_files(folder, DROP)
    (tmp_path / "backups").mkdir()
    result = run(database, folder, backup=BackupTarget(tmp_path / "backups"))
    assert result.error is not None
    assert (result.error.reason, str(result.error.place)) == (Reason.LINT_FAILED, "002_drop.sql:3")
    assert "drop-table" in result.error.message
    assert (result.executed_sql, result.backup, list((tmp_path / "backups").iterdir())) == (False, None, [])
    assert applied_names(database) == ["001_app.sql"]


def test_an_ignore_with_a_reason_lets_it_through(database: Database, folder: Path) -> None:
    reason = "-- dbmigration: ignore drop-table because nobody has read it since release 41\n"
    write_files(folder, {"002_drop.sql": reason + DROP["002_drop.sql"]})
    assert run(database, folder).error is None
    assert database.psql("SELECT to_regclass('app.people') IS NULL") == "t"


@pytest.mark.parametrize(
    ("lint", "toml", "ignore", "refused"),
    [
        (None, "", (), True),
        (LintPolicy.ERROR, '[lint]\nfail_on = "never"\n', (), True),
        (None, '[lint]\nfail_on = "never"\n', (), False),
        (LintPolicy.NEVER, "", (), False),
        (LintPolicy.OFF, "", (), False),
        (None, "", ("drop-table",), False),
        (None, '[[lint.rules]]\nrule = "drop-table"\nseverity = "off"\nreason = "a test"\n', (), False),
    ],
)
def test_who_refuses_is_asked_then_the_set_then_errors_are(
    database: Database, folder: Path, lint: LintPolicy | None, toml: str, ignore: tuple[str, ...], refused: bool
) -> None:
    write_files(folder, DROP | {"dbmigration.toml": toml})
    result = run(database, folder, lint=lint, ignore=ignore)
    assert (result.error.reason if result.error else None) == (Reason.LINT_FAILED if refused else None)
    assert bool(result.applied) is not refused


def test_a_warning_is_said_and_refused_only_when_asked(database: Database, folder: Path) -> None:
    write_files(folder, {"002_rename.sql": "ALTER TABLE app.people RENAME name TO full_name;\n"})
    refused = run(database, folder, lint=LintPolicy.WARNING)
    assert refused.error is not None
    assert refused.error.reason is Reason.LINT_FAILED
    said: list[Progress] = []
    assert run(database, folder, said=said).error is None
    assert ["002_rename.sql:1: warning" in each.message for each in said if each.step is Step.LINT] == [True]


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"002_missing.sql": "UPDATE app.nobody SET id = 1 WHERE id = 2;\n"}, "unknown-object"),
        ({"002_again.sql": "CREATE TABLE app.people (id int);\n"}, "already-exists"),
        ({"002_typo.sql": "CREATE TABEL app.more (id int);\n"}, "syntax-error"),
    ],
)
def test_what_postgresql_finds_out_for_sure_is_said_and_left_to_it(
    database: Database, folder: Path, files: dict[str, str], rule: str
) -> None:
    write_files(folder, files)
    result = run(database, folder)
    assert result.error is not None
    assert result.error.reason is Reason.SQL_FAILED
    assert rule in [finding.rule for finding in result.findings if finding.severity is Severity.ERROR]


def test_a_bad_rollback_script_is_said_and_stops_no_migration(database: Database, folder: Path) -> None:
    ignore = {"rollback-002.sql": "-- dbmigration: ignore drop-table\nDROP TABLE IF EXISTS app.more;\n"}
    write_files(folder, {"002_more.sql": "CREATE TABLE app.more (id bigint PRIMARY KEY);\n"} | ignore)
    result = run(database, folder)
    assert result.error is None
    assert ("rollback-002.sql", Severity.ERROR) in [(finding.file, finding.severity) for finding in result.findings]


def test_the_way_back_in_the_same_file_stops_no_migration(database: Database, tmp_path: Path) -> None:
    up = "-- +goose Up\nCREATE TABLE {0} (id bigint PRIMARY KEY);\n-- +goose Down\nDROP TABLE {0};\n"
    bad = "-- dbmigration: ignore drop-table\n"
    write_files(tmp_path, {"dbmigration.toml": 'layout = "goose"\n', "00001_one.sql": up.format("one")})
    assert run(database, tmp_path).error is None
    write_files(tmp_path, {"00002_two.sql": up.format("two") + bad})
    result = run(database, tmp_path)
    assert result.error is None
    assert [finding.line for finding in result.findings if finding.severity is Severity.ERROR] == [5]
    write_files(tmp_path, {"00003_three.sql": bad + up.format("three")})
    write_files(tmp_path, {"00003_three.sql": up.format("three").replace("CREATE", f"{bad}CREATE")})
    assert run(database, tmp_path).error is not None


def test_a_rule_that_does_not_exist_is_refused(database: Database, folder: Path) -> None:
    write_files(folder, INDEX)
    error = run(database, folder, ignore=("drop-tables",)).error
    assert error is not None
    assert (error.reason, "drop-tables" in error.message) == (Reason.SPEC_INVALID, True)


@pytest.mark.parametrize(
    ("rows", "pages", "severity", "refused"),
    [
        (10, 1, Severity.NOTE, False),
        (1_000_000, 20_000, Severity.WARNING, False),
        (50_000_000, 2_000_000, Severity.ERROR, True),
    ],
)
def test_a_blocking_index_is_as_bad_as_its_table_is_big(
    database: Database, folder: Path, rows: int, pages: int, severity: Severity, refused: bool
) -> None:
    pretend_size(database, rows, pages)
    write_files(folder, INDEX)
    result = run(database, folder)
    assert found(result)["create-index-not-concurrently"] is severity
    assert (result.error is not None) is refused


def test_applied_files_are_not_looked_at_again(database: Database, folder: Path) -> None:
    write_files(folder, DROP)
    assert run(database, folder, lint=LintPolicy.OFF).error is None
    write_files(folder, {"003_more.sql": "CREATE TABLE app.more (id bigint PRIMARY KEY);\n"})
    result = run(database, folder)
    assert result.error is None
    assert {finding.file for finding in result.findings} <= {"003_more.sql"}


def test_a_first_install_is_not_looked_at(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path, FIRST | DROP)
    result = run(database, tmp_path)
    assert (result.error, result.findings, len(result.applied)) == (None, (), 2)


def test_tables_without_a_history_are_protected_too(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE TABLE old (id int)", user=OWNER)
    write_files(tmp_path, {"001_drop.sql": "DROP TABLE old;\n"})
    error = run(database, tmp_path).error
    assert error is not None
    assert error.reason is Reason.LINT_FAILED


def test_what_this_environment_skips_has_made_nothing(database: Database, folder: Path) -> None:
    only = "-- Environment: production only\n\nCREATE TABLE app.extra (id bigint PRIMARY KEY);\n"
    write_files(folder, {"002_extra.sql": only, "003_extra.sql": only.replace("production", "staging")})
    assert run(database, folder, environment="staging").error is None
    assert applied_names(database)[-1] == "003_extra.sql"


def test_a_column_that_somebody_added_by_hand_is_there(database: Database, folder: Path) -> None:
    database.psql("ALTER TABLE app.people ADD COLUMN born date", user=OWNER)
    write_files(folder, {"002_fill.sql": "UPDATE app.people SET born = now() WHERE id = 1;\n"})
    assert run(database, folder).error is None


def test_the_catalog_knows_tables_partitions_columns_indexes_and_views(database: Database) -> None:
    database.psql(
        """
        CREATE SCHEMA app;
        CREATE TABLE app.people (id bigint PRIMARY KEY, gone int, name text);
        ALTER TABLE app.people DROP gone;
        CREATE INDEX ON app.people (lower(name), id) INCLUDE (name);
        CREATE INDEX ON app.people (name) WHERE id > 5;
        INSERT INTO app.people SELECT n, 'x' FROM generate_series(1, 500) AS n;
        CREATE VIEW app.seen AS SELECT 1 AS one;
        CREATE MATERIALIZED VIEW app.kept AS SELECT 1 AS one;
        CREATE TABLE app.events (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE app.events_24 PARTITION OF app.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY RANGE (at);
        CREATE TABLE app.events_24a PARTITION OF app.events_24 FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
        INSERT INTO app.events SELECT n, '2024-02-01' FROM generate_series(1, 1000) AS n;
        ANALYZE app.people; ANALYZE app.events_24a;
        """
    )
    with database.connect(writable=False) as session:
        catalog = read_catalog(session)
    people, events = catalog.tables[TABLE], catalog.tables[Relation("app", "events")]
    assert (people.rows, people.columns, sorted(people.indexes or ())) == (500, ("id", "name"), [("", "id"), ("id",)])
    measured = int(database.psql("SELECT pg_total_relation_size('app.people')"))
    assert measured / 2 < people.bytes <= measured, "free space maps are not counted"
    part = catalog.tables[Relation("app", "events_24a")]
    assert (events.rows, events.bytes) == (1000, part.bytes)
    assert (events.rows, part.bytes) > (0, 0)
    assert (catalog.has(Relation("app", "seen")), catalog.size(Relation("app", "seen"))) == (True, Size.UNKNOWN)
    assert catalog.size(Relation("app", "kept")) is Size.SMALL
    assert catalog.size(Relation("app", "nothing")) is Size.ABSENT
    with database.connect(writable=False) as session:
        some = read_catalog(session, frozenset({"people", "events"}))
    assert (some.tables[TABLE], some.tables[Relation("app", "events")].rows) == (people, 1000)
    assert (some.tables[Relation("app", "kept")].columns, some.has(Relation("app", "seen"))) == (None, True)
    assert not any(name.schema in ("pg_catalog", "information_schema", "dbmigration") for name in (*catalog.tables, *catalog.relations))


def test_reading_sizes_waits_for_nobody(database: Database, folder: Path) -> None:
    with database.connect() as other, database.connect(writable=False) as session:
        other.query("BEGIN")
        other.query("LOCK TABLE app.people IN ACCESS EXCLUSIVE MODE")
        session.query("SET statement_timeout = '1s'")
        session.query("SET lock_timeout = '1ms'")
        assert TABLE in read_catalog(session).tables


def test_plan_shows_findings_and_that_apply_would_refuse(database: Database, folder: Path) -> None:
    write_files(folder, DROP)
    ended = dbmigration(database, "plan", "--dir", str(folder))
    assert ended.status == Exit.FAILED
    assert f"{folder}/002_drop.sql:3: error: " in ended.out
    assert ended.err.startswith(f"{folder}/002_drop.sql:3: error: LintFailed: ")
    assert dbmigration(database, "plan", "--lint", "never", "--dir", str(folder)).status == Exit.OK


def test_apply_says_refuses_and_obeys(database: Database, folder: Path) -> None:
    write_files(folder, DROP)
    ended = dbmigration(database, "apply", "--dir", str(folder))
    assert (ended.status, "[drop-table]" in ended.out, "LintFailed" in ended.err) == (Exit.FAILED, True, True)
    report = dbmigration(database, "apply", "--json", "--dir", str(folder)).report()
    assert (report.reason, report.lint[0].split(":")[:2]) == (Reason.LINT_FAILED, ["002_drop.sql", "3"])
    assert report.lint_count == len(report.lint)
    assert "Applied 1" in succeeds(database, "apply", "--lint", "off", "--dir", str(folder)).out


def test_lint_with_a_database_looks_at_what_is_pending_there(database: Database, folder: Path) -> None:
    pretend_size(database, 50_000_000, 2_000_000)
    write_files(folder, INDEX)
    without = dbmigration(database, "lint", "--dir", str(folder))
    ended = dbmigration(database, "lint", "--database", "--dir", str(folder))
    assert (without.status, ended.status) == (Exit.OK, Exit.FAILED)
    assert "001_app.sql" not in ended.out
    assert f"{folder}/002_index.sql:1: error: " in ended.out
    assert dbmigration(database, "lint", "--dsn", database.dsn, "--dir", str(folder)).out == ended.out
