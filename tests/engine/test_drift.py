"""Every run compares the schema with the one the last run left, names what differs, and stores what it leaves itself."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.catalog import store
from dbmigration.catalog.fingerprint import fingerprint
from dbmigration.catalog.snapshot import take_snapshot
from dbmigration.errors import Transient
from dbmigration.migrations.model import History
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.history import read_history
from dbmigration.postgres.schema import LAYOUT
from dbmigration.run.engine import Engine
from dbmigration.run.options import DriftPolicy, RunOptions
from dbmigration.run.progress import Progress, Step
from dbmigration.run.result import RunResult
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from dbmigration.run.truth import Truth
from tests.engine.conftest import Database
from tests.engine.server import OWNER
from tests.engine.support import OUR_TABLE, PLATFORM, history_of, write_files

TWO = {
    "001_projects.sql": "CREATE SCHEMA app;\nCREATE TABLE app.projects (id int PRIMARY KEY, region text);\n",
    "rollback-001.sql": "DROP SCHEMA app CASCADE;\n",
    "002_notes.sql": "CREATE TABLE app.notes (id int);\n",
    "rollback-002.sql": "DROP TABLE app.notes;\n",
}
THREE = "ALTER TABLE app.projects ADD COLUMN name text;\nCREATE INDEX by_name ON app.projects (name);\n"
TO_LAYOUT_1 = "DROP TABLE dbmigration.snapshot, dbmigration.seed; UPDATE dbmigration.meta SET value = '1' WHERE key = 'layout'"
BY_HAND = "ALTER TABLE app.projects ALTER region TYPE varchar(20)"
DRIFT = ["app.projects.region: text → varchar(20)"]


def engine(
    database: Database,
    directory: Path,
    *,
    drift: DriftPolicy | None = None,
    said: list[Progress] | None = None,
    conninfo: ConnInfo | None = None,
) -> Engine:
    options = RunOptions(directory, "test-run", environment="production", drift=drift)
    return Engine(options, conninfo or database.conninfo(), (said if said is not None else []).append, StopRequest())


def run(database: Database, directory: Path, *, drift: DriftPolicy | None = None) -> RunResult:
    result = engine(database, directory, drift=drift).run()
    assert result.error is None or result.error.reason is Reason.SCHEMA_DRIFTED, result.error
    return result


def named(result: RunResult) -> list[str]:
    return [str(drift) for drift in result.drift]


def snapshots(database: Database) -> str:
    return database.psql("SELECT string_agg(version, ',' ORDER BY id) FROM dbmigration.snapshot")


@pytest.fixture
def migrated(database: Database, tmp_path: Path) -> Path:
    write_files(tmp_path, TWO)
    assert named(run(database, tmp_path)) == []
    return tmp_path


def test_a_run_stores_the_schema_it_leaves_with_its_version(database: Database, migrated: Path) -> None:
    assert snapshots(database) == "002"
    with database.connect() as session:
        stored = store.newest(session, OUR_TABLE)
        assert stored is not None
        assert stored.unchanged
        assert stored.history_key == store.history_key(history_of(database))
        assert store.read(session, stored) == take_snapshot(session)


def test_nothing_changed_is_no_drift_and_writes_nothing(database: Database, migrated: Path) -> None:
    before = database.psql("SELECT id, xmin FROM dbmigration.snapshot")
    result = run(database, migrated)
    assert (named(result), result.drift_note) == ([], None)
    assert database.psql("SELECT id, xmin FROM dbmigration.snapshot") == before


def test_a_change_by_hand_is_named_and_the_run_goes_on(database: Database, migrated: Path) -> None:
    database.psql(BY_HAND, user=OWNER)
    write_files(migrated, {"003_name.sql": THREE})
    said: list[Progress] = []
    result = engine(database, migrated, said=said).run()
    assert result.error is None
    assert named(result) == DRIFT
    assert [done.name for done in result.applied] == ["003_name.sql"]
    assert [DRIFT[0] in progress.message for progress in said if progress.step is Step.DRIFT] == [True]


def test_refuse_stops_before_anything_runs(database: Database, migrated: Path) -> None:
    database.psql(BY_HAND, user=OWNER)
    write_files(migrated, {"003_name.sql": THREE})
    result = run(database, migrated, drift=DriftPolicy.REFUSE)
    assert result.error is not None
    assert result.error.reason is Reason.SCHEMA_DRIFTED
    assert DRIFT[0] in result.error.message
    assert (result.applied, result.executed_sql) == ([], False)
    assert run(database, migrated, drift=DriftPolicy.OFF).error is None


def test_the_set_may_say_refuse_and_what_may_differ(database: Database, migrated: Path) -> None:
    (migrated / "dbmigration.toml").write_text('[drift]\npolicy = "refuse"\nignore = ["app.notes"]\n')
    database.psql("ALTER TABLE app.notes ADD COLUMN by_hand int", user=OWNER)
    assert run(database, migrated).error is None
    database.psql(BY_HAND, user=OWNER)
    result = run(database, migrated)
    assert result.error is not None
    assert named(result) == DRIFT


def test_drift_stays_named_however_many_runs_come_after(database: Database, migrated: Path) -> None:
    database.psql(BY_HAND, user=OWNER)
    write_files(migrated, {"003_name.sql": THREE})
    assert named(run(database, migrated)) == DRIFT
    assert named(run(database, migrated)) == DRIFT
    write_files(migrated, {"004_more.sql": "CREATE TABLE app.more (id int);\n"})
    assert named(run(database, migrated)) == DRIFT
    assert named(run(database, migrated)) == DRIFT


def test_drift_that_a_migration_takes_over_is_drift_no_more(database: Database, migrated: Path) -> None:
    database.psql(BY_HAND, user=OWNER)
    write_files(migrated, {"003_region.sql": "ALTER TABLE app.projects ALTER region TYPE varchar(30);\n"})
    assert named(run(database, migrated)) == DRIFT
    assert named(run(database, migrated)) == []


def test_drift_that_is_undone_is_drift_no_more(database: Database, migrated: Path) -> None:
    database.psql(BY_HAND, user=OWNER)
    assert named(run(database, migrated)) == DRIFT
    database.psql("ALTER TABLE app.projects ALTER region TYPE text", user=OWNER)
    assert named(run(database, migrated)) == []
    with database.connect() as session:
        stored = store.newest(session, OUR_TABLE)
        assert stored is not None
        assert stored.unchanged, "a close look that found nothing is remembered"


def test_what_a_failed_run_did_is_no_drift(database: Database, migrated: Path) -> None:
    write_files(migrated, {"003_name.sql": THREE, "004_bad.sql": "SELECT 1/0;\n"})
    result = engine(database, migrated).run()
    assert result.error is not None
    assert result.error.reason is Reason.SQL_FAILED
    assert snapshots(database) == "002,003"
    write_files(migrated, {"004_bad.sql": "SELECT 1;\n"})
    assert named(run(database, migrated)) == []


def test_what_half_a_file_did_outside_a_transaction_is_no_drift(database: Database, migrated: Path) -> None:
    text = "CREATE INDEX CONCURRENTLY one ON app.projects (region);\nSELECT 1/0;\n"
    write_files(migrated, {"003_index.sql": text})
    assert engine(database, migrated).run().error is not None
    write_files(migrated, {"003_index.sql": text.replace("1/0", "1")})
    assert named(run(database, migrated)) == []


def test_a_rollback_stores_the_schema_too(database: Database, migrated: Path) -> None:
    assert engine(database, migrated).rollback(down_to("001")).error is None
    assert snapshots(database) == "002,001"
    options = RunOptions(migrated, "again", environment="production", reapply_rolled_back=True)
    result = Engine(options, database.conninfo(), lambda _: None, StopRequest()).run()
    assert (result.error, named(result)) == (None, [])


def test_a_run_that_died_before_its_snapshot_makes_no_false_alarm(database: Database, migrated: Path) -> None:
    write_files(migrated, {"003_name.sql": THREE})
    run(database, migrated)
    database.psql("DELETE FROM dbmigration.snapshot WHERE version = '003'")
    result = run(database, migrated)
    assert named(result) == []
    assert result.drift_note is not None
    database.psql(BY_HAND, user=OWNER)
    assert named(run(database, migrated)) == DRIFT


def test_a_database_of_an_older_layout_gets_the_table(database: Database, migrated: Path) -> None:
    database.psql(TO_LAYOUT_1)
    assert run(database, migrated).error is None
    assert database.psql("SELECT value FROM dbmigration.meta WHERE key = 'layout'") == str(LAYOUT)
    assert snapshots(database) == "002"
    database.psql(TO_LAYOUT_1)
    write_files(migrated, {"003_name.sql": THREE})
    assert run(database, migrated).error is None
    assert snapshots(database) == "003"


def test_a_schema_recorded_by_another_major_is_not_compared(database: Database, migrated: Path) -> None:
    database.psql("UPDATE dbmigration.snapshot SET content = jsonb_set(content, '{major}', '13'), fingerprint = NULL")
    result = run(database, migrated)
    assert result.drift_note is not None
    assert "PostgreSQL 13" in result.drift_note
    assert named(result) == []


def test_a_role_that_may_not_read_the_snapshot_still_migrates(database: Database, migrated: Path) -> None:
    database.psql(f"REVOKE ALL ON dbmigration.snapshot FROM {OWNER}; ALTER TABLE dbmigration.snapshot OWNER TO postgres")
    write_files(migrated, {"003_name.sql": THREE})
    result = run(database, migrated)
    assert [done.name for done in result.applied] == ["003_name.sql"]
    assert result.drift_note is not None


def test_an_empty_set_on_an_empty_database_makes_nothing(database: Database, tmp_path: Path) -> None:
    assert run(database, tmp_path).error is None
    assert database.psql("SELECT to_regnamespace('dbmigration') IS NULL") == "t"


def test_only_the_newest_snapshots_are_kept(database: Database, migrated: Path) -> None:
    for number in range(3, 6):
        write_files(migrated, {f"00{number}_x.sql": f"CREATE TABLE app.t{number} (id int);\n"})
        run(database, migrated)
    database.psql(
        "INSERT INTO dbmigration.snapshot (run_id, version, history_key, content) "
        "SELECT 'old', '000', 'k', '{}' FROM generate_series(1, 20)"
    )
    write_files(migrated, {"006_x.sql": "CREATE TABLE app.t6 (id int);\n"})
    run(database, migrated)
    assert database.psql("SELECT count(*), max(version) FROM dbmigration.snapshot") == f"{store.KEPT}|006"


def test_the_platforms_own_set_is_the_same_after_each_run(database: Database) -> None:
    assert named(run(database, PLATFORM)) == []
    assert named(run(database, PLATFORM)) == []
    database.psql("CREATE TABLE platform.by_hand (id int)")
    assert named(run(database, PLATFORM)) == ["table platform.by_hand added, with 1 object in it"]


def test_verify_names_drift_and_writes_nothing(database: Database) -> None:
    run(database, PLATFORM)
    database.psql("ALTER TABLE platform.projects ALTER created_at DROP NOT NULL", user="postgres")
    before = database.psql("SELECT id, xmin FROM dbmigration.snapshot")
    result = engine(database, PLATFORM).verify()
    assert (result.error, named(result)) == (None, ["platform.projects.created_at: NOT NULL → nullable"])
    refused = engine(database, PLATFORM, drift=DriftPolicy.REFUSE).verify()
    assert refused.error is not None
    assert refused.error.reason is Reason.SCHEMA_DRIFTED
    assert database.psql("SELECT id, xmin FROM dbmigration.snapshot") == before


CHANGES_IN_THE_DARK = [
    "ALTER TABLE app.projects ALTER region SET DEFAULT 'x'",
    "ALTER TABLE app.projects ALTER region SET NOT NULL",
    "CREATE INDEX fresh ON app.projects (region)",
    "ALTER TABLE app.projects ADD CONSTRAINT c CHECK (id > 0)",
    "CREATE VIEW app.v AS SELECT 1 AS one",
    "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE app.e AS ENUM ('a')",
    "CREATE SEQUENCE app.s",
    "GRANT SELECT ON app.projects TO PUBLIC",
    "COMMENT ON COLUMN app.projects.region IS 'x'",
    "CREATE SCHEMA other",
    "ALTER TABLE app.projects ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON app.projects USING (true)",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC",
    "CREATE EXTENSION citext",
    "CREATE RULE r AS ON DELETE TO app.projects DO INSTEAD NOTHING",
    "CREATE STATISTICS app.st ON id, region FROM app.projects",
    "CREATE DOMAIN app.d AS int CHECK (value > 0)",
    "CREATE OPERATOR app.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
    "CREATE CAST (app.e AS app.d) WITH INOUT",
    'CREATE COLLATION app.c FROM "C"',
    "CREATE TEXT SEARCH CONFIGURATION app.t (COPY = simple)",
    "CREATE PUBLICATION p FOR TABLE app.projects",
    "COMMENT ON SCHEMA public IS 'ours'",
    "DROP TABLE app.notes",
]


def test_the_fingerprint_changes_with_every_change_and_with_nothing_else(database: Database, migrated: Path) -> None:
    missed = []
    with database.connect(user="postgres") as session:
        for change in CHANGES_IN_THE_DARK:
            before = store.newest(session, OUR_TABLE)
            assert before is not None
            with_mark = session.query(f"SELECT {fingerprint(OUR_TABLE)}")
            database.psql(change)
            if session.query(f"SELECT {fingerprint(OUR_TABLE)}") == with_mark:
                missed.append(change)
        still = session.query(f"SELECT {fingerprint(OUR_TABLE)}")
        database.psql("INSERT INTO app.projects SELECT g, 'x' FROM generate_series(1, 5000) AS g; ANALYZE")
        database.psql("VACUUM")
        session.query("CREATE TEMPORARY TABLE passing (id serial PRIMARY KEY)")
        database.psql("INSERT INTO dbmigration.event (actor, run_id, kind) VALUES ('a', 'b', 'c')")
        assert session.query(f"SELECT {fingerprint(OUR_TABLE)}") == still
    assert missed == []


def test_histories_that_differ_have_keys_that_differ() -> None:
    assert store.history_key(History()) == store.history_key(History())
    assert store.history_key(History()) != store.history_key(History(partial={"001_a.sql": (1, "x")}))
    assert store.history_key(History()) != store.history_key(History(rolled_back={"001_a.sql": "x"}))


def test_a_connection_that_is_lost_is_an_error_and_no_note(database: Database, migrated: Path) -> None:
    with database.connect() as session:
        truth = Truth(session, OUR_TABLE, DriftPolicy.REPORT, (), "test-run")
        history = read_history(session, OUR_TABLE)
        database.psql(f"SELECT pg_terminate_backend({session.pid})")
        with pytest.raises(Transient):
            truth.check(history)
