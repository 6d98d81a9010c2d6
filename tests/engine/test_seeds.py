"""Seeds: after the migrations, again when their text changes, each whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent
from dbmigration.migrations.folder import read_set
from dbmigration.postgres import schema
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.rollback import down_to
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.support import PLATFORM, applied_names, write_files

FILES = {"001_plans.sql": "CREATE TABLE plans (name text PRIMARY KEY, price int);", "rollback-001.sql": "DROP TABLE plans;"}
PRICES = """-- Dependencies:
--   - 001_plans.sql
INSERT INTO plans VALUES ('free', {})
ON CONFLICT (name) DO UPDATE SET price = EXCLUDED.price;
"""
SEED = {"seed-plans.sql": PRICES.format(0)}


def engine(database: Database, folder: Path, environment: str | None = "production", **options: object) -> Engine:
    given = RunOptions(directory=folder, run_id=f"test-{os.urandom(3).hex()}", environment=environment, **options)  # type: ignore[arg-type]
    return Engine(given, database.conninfo(), lambda _: None, StopRequest())


def run(database: Database, folder: Path, files: Mapping[str, str] = {}, **options: object) -> RunResult:
    write_files(folder, files)
    return engine(database, folder, **options).run()  # type: ignore[arg-type]


def seeded(result: RunResult) -> list[str]:
    assert result.error is None, result.error
    return [done.name for done in result.seeded]


def states(result: RunResult) -> dict[str, State]:
    return {line.name: line.state for line in result.seeds()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migrations"


def test_a_seed_runs_after_the_migrations_and_again_only_when_its_text_changes(database: Database, folder: Path) -> None:
    first = run(database, folder, FILES | SEED)
    assert (seeded(first), states(first), first.pending()) == (["seed-plans.sql"], {"seed-plans.sql": State.APPLIED}, ())
    assert applied_names(database) == ["001_plans.sql"]
    assert seeded(run(database, folder)) == []
    assert seeded(run(database, folder, {"seed-plans.sql": PRICES.format(0).replace("\n", "\r\n")})) == [], "CRLF is no change"

    again = run(database, folder, {"seed-plans.sql": PRICES.format(5)})
    assert (seeded(again), again.applied) == (["seed-plans.sql"], [])
    assert database.psql("SELECT price FROM plans") == "5"
    kinds = database.psql("SELECT kind || ' ' || migration_name FROM dbmigration.event ORDER BY id").split("\n")
    assert kinds == ["applied 001_plans.sql", "seeded seed-plans.sql", "seeded seed-plans.sql"]


def test_nothing_to_do_asks_the_server_nothing_more_for_seeds(database: Database, folder: Path) -> None:
    def statements(given: Path) -> int:
        made = engine(database, given)
        assert made.run().executed_sql is False
        return database.statements_of(f"dbmigration/{made.options.run_id}").count("statement: ")

    run(database, folder, FILES)
    without = statements(folder)
    assert seeded(run(database, folder, SEED)) == ["seed-plans.sql"]
    assert statements(folder) == without > 0


def test_a_pending_seed_alone_is_backed_up_before(database: Database, folder: Path, tmp_path: Path) -> None:
    run(database, folder, FILES)
    result = run(database, folder, SEED, backup=BackupTarget(tmp_path / "b"))
    assert (seeded(result), result.backup_reason) == (["seed-plans.sql"], Reason.BACKUP_VERIFIED)


def test_a_seed_that_fails_leaves_the_migrations_in_and_nothing_of_itself(database: Database, folder: Path) -> None:
    result = run(database, folder, FILES | {"seed-a.sql": "INSERT INTO plans VALUES ('x', 1);\nINSERT INTO plans VALUES ('x', 2);", **SEED})
    assert result.error is not None
    assert (result.error.reason, result.error.place.file, result.error.place.line) == (Reason.SEED_FAILED, "seed-a.sql", 2)
    assert states(result) == {"seed-a.sql": State.FAILED, "seed-plans.sql": State.PENDING}
    assert (applied_names(database), database.psql("SELECT count(*) FROM plans")) == (["001_plans.sql"], "0")
    mended = run(database, folder, {"seed-a.sql": "INSERT INTO plans VALUES ('x', 1) ON CONFLICT DO NOTHING;"})
    assert seeded(mended) == ["seed-a.sql", "seed-plans.sql"]


def test_a_seed_runs_again_after_a_migration_that_it_depends_on_was_applied_anew(database: Database, folder: Path) -> None:
    run(database, folder, FILES | SEED)
    down = engine(database, folder).rollback(down_to("000"))
    assert (down.error, states(down)) == (None, {"seed-plans.sql": State.APPLIED}), "a rollback does not touch seeds"
    refused = run(database, folder)
    assert refused.error is not None
    assert refused.error.reason is Reason.ROLLED_BACK
    assert seeded(run(database, folder, reapply_rolled_back=True)) == ["seed-plans.sql"]
    assert database.psql("SELECT name FROM plans") == "free"


def test_a_seed_waits_for_a_migration_beyond_the_target_or_one_that_was_rolled_back(database: Database, folder: Path) -> None:
    files = FILES | {"002_more.sql": "CREATE TABLE more (id int);"}
    result = run(
        database,
        folder,
        files | {"seed-more.sql": "-- Dependencies: 002\nINSERT INTO more SELECT 1 WHERE NOT EXISTS (SELECT FROM more);"},
        target="001",
    )
    assert (seeded(result), states(result), result.pending()) == ([], {"seed-more.sql": State.PENDING}, ())
    assert seeded(run(database, folder)) == ["seed-more.sql"]


def test_environment_of_a_seed(database: Database, folder: Path) -> None:
    write_files(
        folder, FILES | {"seed-demo.sql": "-- Environment: development\nINSERT INTO plans VALUES ('demo', 0) ON CONFLICT DO NOTHING;"}
    )
    assert states(engine(database, folder).run()) == {"seed-demo.sql": State.SKIPPED}
    nameless = engine(database, folder, None).run().error
    assert nameless is not None
    assert nameless.reason is Reason.ENVIRONMENT_REQUIRED
    assert seeded(engine(database, folder, "development").run()) == ["seed-demo.sql"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE INDEX CONCURRENTLY ON plans (price);", Reason.SOURCE_INVALID),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", Reason.SOURCE_INVALID),
        ("\\copy plans from stdin\n", Reason.META_COMMAND),
    ],
)
def test_a_seed_that_cannot_be_one_transaction_is_refused_before_any_sql(
    database: Database, folder: Path, text: str, reason: Reason
) -> None:
    result = run(database, folder, FILES | {"seed-x.sql": text})
    assert result.error is not None
    assert (result.error.reason, result.error.place.file, result.executed_sql) == (reason, "seed-x.sql", False)


def test_an_outer_transaction_and_copy_data_are_fine(database: Database, folder: Path) -> None:
    text = "BEGIN;\nDELETE FROM plans;\nCOPY plans FROM stdin;\nfree\t0\npro\t9\n\\.\nCOMMIT;\n"
    assert seeded(run(database, folder, FILES | {"seed-plans.sql": text})) == ["seed-plans.sql"]
    assert database.psql("SELECT count(*) FROM plans") == "2"


def test_a_database_of_the_layout_before_seeds_gets_the_table(database: Database, folder: Path) -> None:
    run(database, folder, FILES)
    database.psql("DROP TABLE dbmigration.seed; UPDATE dbmigration.meta SET value = '2' WHERE key = 'layout'")
    assert states(engine(database, folder).look()) == {}
    assert seeded(run(database, folder, SEED)) == ["seed-plans.sql"]
    assert seeded(run(database, folder)) == []
    assert database.psql("SELECT value FROM dbmigration.meta WHERE key = 'layout'") == str(schema.LAYOUT)


def test_seeds_in_a_folder_of_their_own_have_the_digest_of_one_folder(tmp_path: Path) -> None:
    toml = {"dbmigration.toml": '[seeds]\ndirectory = "../seeds"\n'}
    apart = tmp_path / "apart"
    (apart / "seeds").mkdir(parents=True)
    (apart / "seeds" / "seed-plans.sql").write_text(SEED["seed-plans.sql"])
    (apart / "seeds" / "README.md").write_text("not a seed")
    (apart / "migrations").mkdir()
    for name, text in (FILES | toml).items():
        (apart / "migrations" / name).write_text(text)
    found = read_set(apart / "migrations")
    together = tmp_path / "together"
    together.mkdir()
    for name, text in (FILES | toml | SEED).items():
        (together / name).write_text(text)
    mounted = read_set(together, seeds_beside=False)
    assert [seed.name for seed in found.seeds] == [seed.name for seed in mounted.seeds] == ["seed-plans.sql"]
    assert found.digest == mounted.digest

    for wrong, reason in (("seed-plans.sql", Reason.DUPLICATE_NUMBER), ("seed-.sql", Reason.SOURCE_INVALID)):
        path = apart / "migrations" / wrong
        path.write_text("SELECT 1;")
        with pytest.raises(Permanent) as refused:
            read_set(apart / "migrations")
        assert (refused.value.reason, refused.value.place.file) == (reason, wrong)
        path.unlink()
    (apart / "seeds" / "plans.sql").write_text("SELECT 1;")
    with pytest.raises(Permanent) as refused:
        read_set(apart / "migrations")
    assert (refused.value.reason, refused.value.place.file) == (Reason.SOURCE_INVALID, "plans.sql")


@pytest.mark.parametrize(
    ("files", "reason", "place"),
    [
        ({"dbmigration.toml": '[seeds]\ndirectory = "../nowhere"\n'}, Reason.SOURCE_INVALID, "dbmigration.toml"),
        ({"dbmigration.toml": "[seeds]\n"}, Reason.SOURCE_INVALID, "dbmigration.toml"),
        ({"seed-a.sql": "-- Dependencies: 009\nSELECT 1;"}, Reason.DEPENDENCY_MISSING, "seed-a.sql"),
        ({"seed-a.sql": "-- Environment: prod\nSELECT 1;"}, Reason.UNKNOWN_ENVIRONMENT, "seed-a.sql"),
    ],
)
def test_what_is_wrong_with_seeds_is_said_with_its_file(tmp_path: Path, files: dict[str, str], reason: Reason, place: str) -> None:
    with pytest.raises(Permanent) as refused:
        write_files(tmp_path / "m", FILES | files)
    assert (refused.value.reason, refused.value.place.file) == (reason, place)


def test_the_platforms_own_seed_is_for_development_and_puts_back_what_it_says(database: Database) -> None:
    assert seeded(engine(database, PLATFORM, "development").run()) == ["seed-development_organization.sql"]
    database.psql("UPDATE platform.organizations SET name = 'renamed'; UPDATE platform.user_roles SET role = 'member'")
    database.psql("UPDATE dbmigration.seed SET checksum = 'as if it had been edited'")
    assert seeded(engine(database, PLATFORM, "development").run()) == ["seed-development_organization.sql"]
    assert database.psql("SELECT name FROM platform.organizations") == "Development"
    assert database.psql("SELECT string_agg(role, ' ' ORDER BY role) FROM platform.user_roles") == "owner viewer"
    assert database.psql("SELECT count(*) FROM platform.projects") == "1"


def test_the_platforms_seed_is_skipped_in_production(database: Database) -> None:
    assert states(engine(database, PLATFORM).run()) == {"seed-development_organization.sql": State.SKIPPED}
