"""Going down: what is shown before, what is refused before, what is done, and what it means for the next run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.rollback import RollbackPlan, down_to, last_run, only, refuse_other_plan
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import PLATFORM, applied_names, statements_done, write_files

FILES = {
    "001_one.sql": "CREATE TABLE one (id int PRIMARY KEY, name text);",
    "rollback-001.sql": "DROP TABLE one;",
    "002_two.sql": "CREATE TABLE two (id int);",
    "rollback-002.sql": "DROP TABLE two;",
    "003_three.sql": "ALTER TABLE one ADD COLUMN three text;",
    "rollback-003.sql": "BEGIN;\nALTER TABLE one DROP COLUMN three;\nCOMMIT;",
}


def engine(database: Database, folder: Path, *, run_id: str = "", **options: object) -> Engine:
    given = RunOptions(directory=folder, run_id=run_id or f"test-{os.urandom(3).hex()}", environment="production", **options)  # type: ignore[arg-type]
    return Engine(given, database.conninfo(), lambda _: None, StopRequest())


def states(result: RunResult) -> list[State]:
    return [line.state for line in result.migrations()]


def lost(result: RunResult) -> list[str]:
    assert result.rollback is not None
    return [str(loss) for loss in result.rollback.losses]


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    """Applied: 001 by one run, 002 and 003 by another."""
    directory = tmp_path / "migrations"
    write_files(directory, FILES)
    for target in ("001", None):
        assert engine(database, directory, target=target).run().error is None
    return directory


def test_last_run_undoes_what_the_last_run_applied_and_nothing_more(database: Database, folder: Path) -> None:
    done = engine(database, folder).rollback(last_run())
    assert [each.name for each in done.rolled_back] == ["003_three.sql", "002_two.sql"]
    assert (done.reason, done.version(), done.pending()) == (Reason.ROLLED_BACK, "001", ())
    again = engine(database, folder).rollback(last_run())
    assert (again.reason, again.rolled_back, again.version()) == (Reason.ROLLED_BACK, [], "001")
    assert applied_names(database) == ["001_one.sql"]


def test_last_run_is_refused_when_later_files_were_built_on_it(database: Database, folder: Path) -> None:
    write_files(folder, {"005_five.sql": "SELECT 5;", "rollback-005.sql": "SELECT 5;"})
    assert engine(database, folder).run().error is None
    write_files(folder, {"004_late.sql": "SELECT 4;", "rollback-004.sql": "SELECT 4;"})
    assert engine(database, folder, out_of_order=True).run().error is None
    refused = engine(database, folder).rollback(last_run()).error
    assert refused is not None
    assert refused.reason is Reason.OUT_OF_ORDER
    assert len(applied_names(database)) == 5


def test_last_run_on_a_database_that_has_seen_none_does_nothing(
    database: Database, folder: Path, database_factory: Callable[[], Database]
) -> None:
    empty = database_factory()
    assert engine(empty, folder).rollback(last_run()).rolled_back == []


def test_losses_are_counted_where_that_is_cheap(database: Database, folder: Path) -> None:
    database.psql("INSERT INTO one VALUES (1, 'a', 'b'), (2, 'c', NULL); INSERT INTO two SELECT generate_series(1, 5)")
    result = engine(database, folder).look_at_rollback(down_to("000"))
    assert lost(result) == [
        "column one.three: 1 value (rollback-003.sql:2)",
        "table two: 5 rows, 8.2 kB (rollback-002.sql:1)",
        "table one: 2 rows, 32.8 kB (rollback-001.sql:1)",
    ]
    assert len(applied_names(database)) == 3


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("DROP TABLE IF EXISTS never_there;", []),
        ("DROP VIEW IF EXISTS v; DROP INDEX IF EXISTS i;", []),
        ("DROP TABLE never_there;", ["table never_there: cannot tell, never_there is not there now"]),
        ("ALTER TABLE two RENAME TO deux; DROP TABLE deux;", ["table deux: 1 row, 8.2 kB"]),
        ("CREATE TEMP TABLE kept AS SELECT * FROM two; DROP TABLE kept;", []),
        ("TRUNCATE two;", ["all rows of two: 1 row, 8.2 kB"]),
        ("DELETE FROM two;", ["all rows of two: 1 row, 8.2 kB"]),
        ("DELETE FROM two WHERE id = 1;", ["some rows of two: cannot tell what is lost of 1 row, 8.2 kB"]),
        ("UPDATE two SET id = 2;", ["what id of two held: cannot tell what is lost of 1 row, 8.2 kB"]),
        ("ALTER TABLE two ALTER id TYPE smallint;", ["column two.id becomes smallint: cannot tell what is lost of 1 value"]),
        ("DO $$BEGIN DELETE FROM two; END$$;", ["DO …: cannot tell what is lost"]),
        ("SELECT pg_catalog.set_config('a.b', 'c', true);", []),
        ("SELECT lo_unlink(1);", ["SELECT …: cannot tell what is lost"]),
        ("DROP SCHEMA extra CASCADE;", ["table extra.x of schema extra: 0 rows, 0 bytes"]),
        ("DROP SCHEMA extra;", []),
        ("DROP TYPE mood CASCADE;", ["columns that need type mood: cannot tell what is lost"]),
        ("DROP OWNED BY someone;", ["DROP …: cannot tell what is lost"]),
        ("DROP SEQUENCE s;", ["sequence s and where it stands"]),
    ],
)
def test_what_a_script_takes_away_is_shown_or_said_to_be_unknown(database: Database, folder: Path, script: str, shown: list[str]) -> None:
    database.psql("INSERT INTO two VALUES (1); CREATE SCHEMA extra CREATE TABLE x (id int)")
    database.psql("GRANT USAGE ON SCHEMA extra TO PUBLIC; GRANT SELECT ON extra.x TO PUBLIC")
    write_files(folder, {"rollback-003.sql": script})
    result = engine(database, folder).look_at_rollback(only("003"))
    assert [text.partition(" (rollback-003.sql")[0] for text in lost(result)] == shown


def test_a_big_table_is_estimated_with_its_partitions(database: Database, folder: Path) -> None:
    database.psql(
        "CREATE TABLE big (id int, pad text) PARTITION BY RANGE (id);"
        "CREATE TABLE big_1 PARTITION OF big FOR VALUES FROM (0) TO (1000000);"
        "INSERT INTO big SELECT n, repeat('x', 900) FROM generate_series(1, 12000) AS n; ANALYZE big"
    )
    write_files(folder, {"rollback-003.sql": "DROP TABLE big;"})
    (text,) = lost(engine(database, folder).look_at_rollback(only("003")))
    assert text.startswith("table big: about 12,000 rows, 1"), text
    write_files(folder, {"rollback-003.sql": "ALTER TABLE big DROP COLUMN pad;"})
    (text,) = lost(engine(database, folder).look_at_rollback(only("003")))
    assert text.startswith("column big.pad: values of about 12,000 rows"), text


def test_a_table_that_may_not_be_read_is_estimated(database: Database, folder: Path) -> None:
    database.psql("CREATE TABLE locked_away (id int)")  # the superuser's: platform_owner may not count in it
    write_files(folder, {"rollback-003.sql": "DROP TABLE locked_away;"})
    (text,) = lost(engine(database, folder).look_at_rollback(only("003")))
    assert text.startswith("table locked_away: an unknown number of rows (never analyzed)"), text


@pytest.mark.parametrize(("change", "reason"), [(None, Reason.ROLLBACK_MISSING), ("\\i x.sql\n", Reason.META_COMMAND)])
def test_one_bad_script_refuses_the_whole_before_backup_and_sql(
    database: Database, folder: Path, tmp_path: Path, change: str | None, reason: Reason
) -> None:
    script = folder / "rollback-001.sql"
    script.unlink() if change is None else script.write_text(change)
    result = engine(database, folder, backup=BackupTarget(tmp_path / "backups")).rollback(down_to("000"))
    assert result.error is not None
    assert (result.error.reason, result.executed_sql, result.backup) == (reason, False, None)
    assert len(applied_names(database)) == 3
    assert not (tmp_path / "backups").exists()


def test_a_backup_comes_first_and_the_events_say_what_was_undone(database: Database, folder: Path, tmp_path: Path) -> None:
    result = engine(database, folder, backup=BackupTarget(tmp_path / "backups"), run_id="down").rollback(down_to("001"))
    assert result.backup is not None
    assert result.backup_reason is Reason.BACKUP_VERIFIED
    rows = database.psql("SELECT kind || ' ' || migration_name FROM dbmigration.event WHERE run_id = 'down' ORDER BY id")
    assert rows.split("\n") == ["rolled_back 003_three.sql", "rolled_back 002_two.sql"]


def test_going_down_again_does_nothing_and_coming_back_needs_a_word_or_a_new_text(database: Database, folder: Path) -> None:
    assert engine(database, folder).rollback(down_to("002")).version() == "002"
    again = engine(database, folder).rollback(down_to("002"))
    assert (again.error, again.executed_sql, again.reason) == (None, False, Reason.ROLLED_BACK)
    assert states(again) == [State.APPLIED, State.APPLIED, State.ROLLED_BACK]

    write_files(folder, {"004_four.sql": "SELECT 4;"})
    refused = engine(database, folder).run()
    assert refused.error is not None
    assert refused.error.reason is Reason.ROLLED_BACK
    assert applied_names(database) == ["001_one.sql", "002_two.sql"]

    write_files(folder, {"003_three.sql": "ALTER TABLE one ADD COLUMN three int;"})
    assert engine(database, folder).run().version() == "004"


def test_a_file_that_failed_half_way_can_be_undone(database: Database, folder: Path) -> None:
    """failed-midway-non-transactional, and the way out is down."""
    fourth = {
        "004_indexes.sql": "CREATE INDEX CONCURRENTLY by_name ON one (name);\nCREATE INDEX CONCURRENTLY nowhere ON absent (name);\n",
        "rollback-004.sql": "DROP INDEX CONCURRENTLY IF EXISTS by_name;\n",
    }
    write_files(folder, fourth)
    assert engine(database, folder).run().error is not None
    assert statements_done(database, "004_indexes.sql") == [1]
    done = engine(database, folder).rollback(down_to("003"))
    assert (done.error, [each.name for each in done.rolled_back], done.version()) == (None, ["004_indexes.sql"], "003")
    assert database.psql("SELECT count(*) FROM pg_class WHERE relname = 'by_name'") == "0"
    assert statements_done(database, "004_indexes.sql") == []
    assert states(engine(database, folder).look())[-1] is State.ROLLED_BACK


def test_plan_hash_survives_an_interrupted_rollback_and_nothing_else(database: Database, folder: Path) -> None:
    before = engine(database, folder).look_at_rollback(down_to("000")).rollback
    assert before is not None

    def agree(plan: RollbackPlan) -> bool:
        refuse_other_plan(plan, before.hash)
        return True

    write_files(folder, {"rollback-001.sql": "DROP TABLE one; SELECT 1;"})
    refused = engine(database, folder).rollback(down_to("000"), agree).error
    assert refused is not None
    assert refused.reason is Reason.PLAN_CHANGED
    assert len(applied_names(database)) == 3

    write_files(folder, {"rollback-001.sql": FILES["rollback-001.sql"]})
    database.psql("CREATE VIEW in_the_way AS SELECT * FROM one")  # 001's script fails: 002 and 003 are gone by then
    database.psql("DROP VIEW in_the_way; CREATE VIEW in_the_way AS SELECT name FROM one")
    failed = engine(database, folder).rollback(down_to("000"), agree)
    assert failed.error is not None
    assert (failed.error.reason, failed.version()) == (Reason.SQL_FAILED, "001")
    database.psql("DROP VIEW in_the_way")
    rest = engine(database, folder).rollback(down_to("000"), agree)
    assert (rest.error, rest.version()) == (None, None)

    assert engine(database, folder, reapply_rolled_back=True).run().version() == "003"
    whole = engine(database, folder).look_at_rollback(down_to("000")).rollback
    part = engine(database, folder).look_at_rollback(down_to("001")).rollback
    assert whole is not None
    assert part is not None
    assert whole.hash == before.hash != part.hash


def test_the_platform_s_own_rollback_names_the_rows_it_loses(database: Database) -> None:
    assert engine(database, PLATFORM).run().error is None
    told = lost(engine(database, PLATFORM).look_at_rollback(down_to("000")))
    for table in ("users", "user_roles", "permissions", "projects", "organizations", "credentials"):
        assert any(f"platform.{table}" in line for line in told), told
    assert not any("schema_migrations" in line for line in told), told
    assert engine(database, PLATFORM).rollback(down_to("000")).version() is None
