"""What other tools recorded is taken over. The fixtures are what the real tools left (`python -m tests.foreign_tools`)."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dbmigration.adopt.tools import TOOLS
from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import HistoryTable
from dbmigration.run.adopt import Adopt, Adoption, import_history
from dbmigration.run.engine import Engine
from dbmigration.run.options import DriftPolicy, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration
from tests.engine.conftest import Database
from tests.engine.server import OWNER

FIXTURES = Path(__file__).parent / "fixtures" / "foreign"
RECORDED = sorted(path.name for path in FIXTURES.iterdir())
LAYOUTS = {"goose": "goose", "dbmate": "dbmate", "golang-migrate": "golang-migrate", "flyway": "flyway"}
CHECKED = {"flyway", "sqlx", "sqitch", "graphile-migrate"}
"""Tools whose checksum is compared with the file."""


def left_by(database: Database, tool: str, folder: Path, dump: str = "left.sql") -> Path:
    """A database as the tool left it, and its files in a folder of ours."""
    database.server.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(FIXTURES / tool / dump), database=database.name, user=OWNER)
    shutil.copytree(FIXTURES / tool / "files", folder, dirs_exist_ok=True)
    if tool in LAYOUTS:
        (folder / "dbmigration.toml").write_text(f'layout = "{LAYOUTS[tool]}"\n')
    return folder


def engine(database: Database, folder: Path, **options: object) -> Engine:
    chosen = RunOptions(directory=folder, run_id="test-import", drift=DriftPolicy.REFUSE, **options)  # type: ignore[arg-type]
    return Engine(chosen, database.conninfo(), lambda _: None, StopRequest())


def adopted(database: Database, folder: Path, choose: Adopt | None = None) -> RunResult:
    result = engine(database, folder).adopt(choose or import_history())
    if result.error is not None:
        raise result.error
    return result


def refused(database: Database, folder: Path, choose: Adopt | None = None) -> DbmigrationError:
    """Nothing is recorded then."""
    result = engine(database, folder).adopt(choose or import_history())
    assert result.error is not None
    assert database.psql("SELECT to_regclass('dbmigration.event') IS NULL") == "t"
    return result.error


def history(database: Database) -> list[str]:
    return database.psql("SELECT migration_name FROM dbmigration.schema_migrations ORDER BY id").split("\n")


@pytest.mark.parametrize("tool", RECORDED)
def test_the_history_of_the_real_tool_is_taken_over(database: Database, tmp_path: Path, tool: str) -> None:
    folder = left_by(database, tool, tmp_path)
    theirs = database.server.run("pg_dump", "--inserts", database=database.name, user="postgres")
    result = adopted(database, folder)
    files = sorted(path.name for path in (FIXTURES / tool / "files").iterdir())
    assert history(database) == files == result.adopted
    events = database.psql("SELECT kind, detail->>'tool', detail->>'checksum_agrees' FROM dbmigration.event ORDER BY id").split("\n")
    assert {line.split("|")[0] for line in events} == {"imported"}
    assert {line.split("|")[1] for line in events} == {tool}
    if tool in CHECKED:
        assert {line.split("|")[2] for line in events} == {"true"}
    ran = engine(database, folder).run()
    assert (ran.error, ran.applied, ran.pending(), ran.drift) == (None, [], (), ())
    without_ours = database.server.run("pg_dump", "--inserts", "-N", "dbmigration", database=database.name, user="postgres")
    assert lines_of(without_ours) == lines_of(theirs), "the tool's own table and the schema are as they were"


def lines_of(dump: str) -> list[str]:
    return [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


@pytest.mark.parametrize("tool", RECORDED)
def test_a_second_import_has_nothing_to_do(database: Database, tmp_path: Path, tool: str) -> None:
    folder = left_by(database, tool, tmp_path)
    adopted(database, folder)
    before = history(database)
    assert adopted(database, folder).adopted == []
    assert history(database) == before


@pytest.mark.parametrize("tool", RECORDED)
def test_what_comes_later_runs_as_if_it_had_always_been_ours(database: Database, tmp_path: Path, tool: str) -> None:
    folder = left_by(database, tool, tmp_path)
    adopted(database, folder)
    later = {
        "goose": ("00009_later.sql", "-- +goose Up\nCREATE TABLE later (id int);\n"),
        "dbmate": ("20250101000000_later.sql", "-- migrate:up\nCREATE TABLE later (id int);\n"),
        "golang-migrate": ("9_later.up.sql", "CREATE TABLE later (id int);\n"),
        "flyway": ("V9__later.sql", "CREATE TABLE later (id int);\n"),
    }
    name, text = later.get(tool, ("990000000000000_later.sql", "CREATE TABLE later (id int);\n"))
    (folder / name).write_text(text)
    result = engine(database, folder).run()
    assert result.error is None
    assert [done.name for done in result.applied] == [name]
    assert history(database)[-1] == name


def test_times_are_those_of_the_other_tool(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "sqlx", tmp_path)
    adopted(database, folder)
    ours = database.psql("SELECT applied_at FROM dbmigration.schema_migrations ORDER BY id")
    assert ours == database.psql("SELECT installed_on FROM _sqlx_migrations ORDER BY version")


def test_a_failure_that_golang_migrate_recorded_is_refused(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "golang-migrate", tmp_path, "failed.sql")
    assert refused(database, folder).reason is Reason.HISTORY_DIRTY


@pytest.mark.parametrize(("tool", "table"), [("flyway", "flyway_schema_history"), ("sqlx", "_sqlx_migrations")])
def test_a_row_that_says_it_failed_is_refused(database: Database, tmp_path: Path, tool: str, table: str) -> None:
    folder = left_by(database, tool, tmp_path)
    database.psql(f"UPDATE {table} SET success = false WHERE description = 'orders'")
    assert refused(database, folder).reason is Reason.HISTORY_DIRTY


def test_a_baseline_of_flyway_stands_for_what_comes_before_it(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "flyway", tmp_path)
    database.psql(
        "DELETE FROM flyway_schema_history WHERE version IN ('1.1', '1.3');"
        "UPDATE flyway_schema_history SET type = 'BASELINE', script = '<< Flyway Baseline >>', checksum = NULL WHERE version = '1.2'"
    )
    result = adopted(database, folder)
    assert result.adopted == ["V1.1__users.sql", "V1.2__orders.sql"]
    assert result.pending() == ("V1.3__order_notes.sql",)


def test_what_flyway_undid_and_goose_took_down_is_not_applied(database_factory: Callable[[], Database], tmp_path: Path) -> None:
    flyway = database_factory()
    folder = left_by(flyway, "flyway", tmp_path / "flyway")
    flyway.psql("INSERT INTO flyway_schema_history SELECT 5, version, description, 'UNDO_SQL', script, 1, 'a', now(), 1, true"
                " FROM flyway_schema_history WHERE version = '1.3'")  # fmt: skip
    assert adopted(flyway, folder).adopted == ["V1.1__users.sql", "V1.2__orders.sql"]
    goose = database_factory()
    folder = left_by(goose, "goose", tmp_path / "goose")
    goose.psql("INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, false)")
    assert adopted(goose, folder).adopted == ["00001_users.sql", "00002_orders.sql"]


@pytest.mark.parametrize("tool", sorted(CHECKED))
def test_a_file_that_is_not_what_was_applied_is_refused(database: Database, tmp_path: Path, tool: str) -> None:
    folder = left_by(database, tool, tmp_path)
    file = sorted(folder.glob("*.sql"))[1]
    file.write_bytes(file.read_bytes() + b"SELECT 1;\n")
    error = refused(database, folder)
    assert (error.reason, error.place.file) == (Reason.CHECKSUM_MISMATCH, file.name)
    assert file.name in adopted(database, folder, import_history(accept_changed=True)).adopted


def test_a_row_without_a_file_is_refused_or_left_where_it_is(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "node-pg-migrate", tmp_path)
    first, second, third = sorted(folder.glob("*.sql"))
    second.unlink()
    assert refused(database, folder).reason is Reason.MISSING_FILES
    assert adopted(database, folder, import_history(skip_unmatched=True)).adopted == [first.name, third.name]


def test_a_file_that_is_not_in_the_other_history_stays_pending(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "tern", tmp_path)
    (folder / "004_new.sql").write_text("CREATE TABLE new (id int);")
    result = adopted(database, folder)
    assert len(result.adopted) == 3
    assert result.pending() == ("004_new.sql",)
    assert result.adoption is not None
    assert result.adoption.matching is not None
    assert [file.name for file in result.adoption.matching.others] == ["004_new.sql"]


def test_half_a_file_of_liquibase_is_refused(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "liquibase", tmp_path)
    database.psql("DELETE FROM databasechangelog WHERE id = 'index'")
    assert refused(database, folder).reason is Reason.HISTORY_DIRTY


def test_nothing_to_import_and_too_much_of_it_are_told_apart(database: Database, tmp_path: Path) -> None:
    (tmp_path / "001_users.sql").write_text("SELECT 1;")
    assert refused(database, tmp_path).reason is Reason.HISTORY_NOT_FOUND
    database.psql("CREATE TABLE other (a int)")
    assert refused(database, tmp_path, import_history(table=("public", "other"))).reason is Reason.HISTORY_NOT_FOUND
    assert refused(database, tmp_path, import_history(table=("public", "none"))).reason is Reason.HISTORY_NOT_FOUND
    assert refused(database, tmp_path, import_history("nonsense")).reason is Reason.SPEC_INVALID
    database.psql(f"SET ROLE {OWNER}; CREATE TABLE schema_version (version int); INSERT INTO schema_version VALUES (1)", user="postgres")
    database.psql(f"SET ROLE {OWNER}; CREATE TABLE schema_migrations (version bigint, dirty boolean)", user="postgres")
    assert refused(database, tmp_path).reason is Reason.HISTORY_NOT_FOUND
    assert adopted(database, tmp_path, import_history("tern")).adopted == ["001_users.sql"]


def test_a_table_of_another_name_is_taken_when_a_person_names_it(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "tern", tmp_path)
    database.psql("ALTER TABLE schema_version RENAME TO my_versions")
    assert refused(database, folder).reason is Reason.HISTORY_NOT_FOUND
    assert len(adopted(database, folder, import_history(table=("public", "my_versions"))).adopted) == 3


def test_nothing_is_recorded_before_somebody_agrees(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "goose", tmp_path)
    shown: list[Adoption] = []

    def decline(adoption: Adoption) -> bool:
        shown.append(adoption)
        return False

    result = engine(database, folder).adopt(import_history(), decline)
    assert (result.error, result.adopted) == (None, [])
    assert len(shown[0].adopted) == 3
    assert database.psql("SELECT to_regclass('dbmigration.event') IS NULL") == "t"


SHAPES: Sequence[tuple[str, str, str]] = (
    (
        "refinery",
        "CREATE TABLE refinery_schema_history (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255),"
        " checksum varchar(255));"
        "INSERT INTO refinery_schema_history VALUES (1, 'users', '2024-01-02T03:04:05.123456789Z', '5')",
        "2024-01-02 03:04:05.123456+00",
    ),
    (
        "atlas",
        "CREATE SCHEMA atlas_schema_revisions; CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (version varchar PRIMARY KEY,"
        " description varchar NOT NULL, type bigint NOT NULL DEFAULT 2, applied bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0,"
        " executed_at timestamptz NOT NULL, execution_time bigint NOT NULL, error text, error_stmt text, hash varchar NOT NULL,"
        " partial_hashes jsonb, operator_version varchar NOT NULL);"
        "INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES"
        " ('001', 'users', 2, 1, 1, '2024-01-02 03:04:05Z', 1, NULL, NULL, 'x', NULL, 'v')",
        "2024-01-02 03:04:05+00",
    ),
)
"""As the tools' sources say that the tables are: these two were not run."""


@pytest.mark.parametrize(("tool", "made", "at"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_tools_that_cannot_be_run_here_are_known_by_their_documentation(
    database: Database, tmp_path: Path, tool: str, made: str, at: str
) -> None:
    database.psql(f"SET ROLE {OWNER}; {made}")
    (tmp_path / "001_users.sql").write_text("SELECT 1;")
    result = adopted(database, tmp_path)
    assert result.adopted == ["001_users.sql"]
    assert result.adoption is not None
    assert result.adoption.matching is not None
    assert result.adoption.matching.history.tool.name == tool
    assert database.psql("SET timezone = 'UTC'; SELECT applied_at FROM dbmigration.schema_migrations") == at


def test_every_tool_has_a_fixture_or_a_documented_shape() -> None:
    assert {tool.name for tool in TOOLS} == set(RECORDED) | {shape[0] for shape in SHAPES}


def test_a_statement_of_atlas_that_failed_is_refused(database: Database, tmp_path: Path) -> None:
    database.psql(f"SET ROLE {OWNER}; {SHAPES[1][1]}; UPDATE atlas_schema_revisions.atlas_schema_revisions SET applied = 0")
    (tmp_path / "001_users.sql").write_text("SELECT 1;")
    assert refused(database, tmp_path).reason is Reason.HISTORY_DIRTY


def test_another_tools_table_may_not_be_the_history_table(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "golang-migrate", tmp_path)
    result = engine(database, folder, history=HistoryTable("public", "schema_migrations")).adopt(import_history())
    assert isinstance(result.error, Permanent)
    assert result.error.reason is Reason.HISTORY_FOREIGN


def test_a_person_sees_their_rows_beside_our_files_before_anything_is_recorded(database: Database, tmp_path: Path) -> None:
    folder = left_by(database, "flyway", tmp_path)
    (folder / "V1.3__order_notes.sql").write_text("SELECT 1;")
    (folder / "V2__new.sql").write_text("SELECT 2;")
    words = ("import-history", "--dir", str(folder))
    looked = dbmigration(database, *words, "--dry-run")
    assert looked.status == 1
    assert "ChecksumMismatch" in looked.err
    shown = [line.split() for line in looked.out.splitlines()]
    assert shown[0] == ["flyway,", "in", "public.flyway_schema_history:"]
    assert shown[1] == ["1:", "V1.1__users.sql", "V1.1__users.sql", "checksum", "agrees"]
    assert shown[3][2:4] == ["V1.3__order_notes.sql", "CHANGED"]
    assert shown[4][:5] == ["4:", "R__view.sql", "-", "passed", "over:"]
    assert shown[5] == ["not", "in", "it:", "V2__new.sql"]
    assert dbmigration(database, *words).status == 2
    assert database.psql("SELECT to_regclass('dbmigration.event') IS NULL") == "t"
    taken = dbmigration(database, *words, "--accept-changed", "--yes")
    assert taken.status == 0, taken.err
    assert taken.out.splitlines()[-1] == "Recorded 3 migrations as applied; the database is at version 1.3."
