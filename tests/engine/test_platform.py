"""The platform's own migrations 001-004 on a real server: up, from anywhere, down, and the same as by hand."""

from collections.abc import Callable

import pytest

from dbmigration.migrations.folder import read_set
from dbmigration.postgres.settings import Execution
from dbmigration.postgres.verify import verify_file
from tests.engine.conftest import Database
from tests.engine.support import (
    PLATFORM,
    PLATFORM_TABLE,
    applied_names,
    apply_all,
    apply_pending,
    dump_schema,
    history_of,
    roll_back,
)

FILES = read_set(PLATFORM)
NAMES = [file.name for file in FILES.files]


def by_hand(database: Database, count: int) -> None:
    """As the requirements say: psql -f, file after file, and the history table made and written by hand."""
    for file in FILES.files[:count]:
        database.run_file(file.path)
    if count:
        database.server.psql(
            "CREATE TABLE IF NOT EXISTS platform.schema_migrations (id SERIAL PRIMARY KEY, migration_name TEXT NOT NULL UNIQUE,"
            " applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW());"
            + "".join(f"INSERT INTO platform.schema_migrations (migration_name) VALUES ('{name}');" for name in NAMES[:count]),
            database=database.name,
            user="platform_owner",
        )


def schema_of(database: Database) -> str:
    return dump_schema(database, tables=("platform.schema_migrations*",))


def test_001_to_004_from_nothing_are_recorded_in_exactly_the_requirements_table(database: Database) -> None:
    assert apply_all(database, FILES).files == NAMES
    assert applied_names(database, PLATFORM_TABLE) == NAMES
    assert database.psql(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'platform' AND table_name = 'schema_migrations' ORDER BY ordinal_position"
    ).split("\n") == [
        "id|integer|NO|nextval('platform.schema_migrations_id_seq'::regclass)",
        "migration_name|text|NO|",
        "applied_at|timestamp with time zone|NO|now()",
    ]
    history = history_of(database, PLATFORM_TABLE)
    assert [(row.name, row.checksum) for row in history.applied] == [(file.name, file.checksum) for file in FILES.files]


@pytest.mark.parametrize("applied", range(1, 5))
def test_from_each_earlier_version_only_the_rest_is_run(database: Database, applied: int) -> None:
    apply_all(database, FILES, target=FILES.files[applied - 1].version)
    assert applied_names(database, PLATFORM_TABLE) == NAMES[:applied]
    assert apply_all(database, FILES).files == NAMES[applied:]
    assert applied_names(database, PLATFORM_TABLE) == NAMES


@pytest.mark.parametrize("applied", range(1, 5))
def test_a_database_that_was_migrated_by_hand_is_taken_over(database: Database, applied: int) -> None:
    by_hand(database, applied)
    before = history_of(database, PLATFORM_TABLE)
    assert [(row.name, row.checksum) for row in before.applied] == [(name, None) for name in NAMES[:applied]]
    assert apply_all(database, FILES).files == NAMES[applied:]
    assert applied_names(database, PLATFORM_TABLE) == NAMES


@pytest.mark.parametrize("count", range(1, 5))
def test_the_schema_is_the_same_as_through_psql(database_factory: Callable[[], Database], count: int) -> None:
    ours, theirs = database_factory(), database_factory()
    apply_all(ours, FILES, target=FILES.files[count - 1].version)
    by_hand(theirs, count)
    assert "CREATE TABLE platform.organizations" in schema_of(ours)
    assert schema_of(ours) == schema_of(theirs)


def test_the_data_of_004_are_the_same_as_through_psql(database_factory: Callable[[], Database]) -> None:
    ours, theirs = database_factory(), database_factory()
    apply_all(ours, FILES)
    by_hand(theirs, 4)
    rows = (
        "SELECT o.slug, o.name, count(p.ref) FROM platform.organizations AS o"
        " LEFT JOIN platform.projects AS p ON p.organization_id = o.id GROUP BY 1, 2"
    )
    assert ours.psql(rows).startswith("lancio|")
    assert ours.psql(rows) == theirs.psql(rows)


def test_rolling_back_004_to_001_leaves_the_database_as_it_was_and_up_again_works(database: Database) -> None:
    empty = dump_schema(database)
    schemas = [empty]
    with database.connect() as session:
        for file in FILES.files:
            apply_pending(session, FILES, target=file.version)
            schemas.append(schema_of(database))
        for count in range(3, -1, -1):
            assert roll_back(session, FILES, NAMES[count]).transactional
            if count:
                assert applied_names(database, PLATFORM_TABLE) == NAMES[:count]
                assert schema_of(database) == schemas[count]
        assert database.psql("SELECT to_regnamespace('platform') IS NULL") == "t"
        assert history_of(database, PLATFORM_TABLE).applied == ()
        assert database.psql("SELECT kind, migration_name FROM dbmigration.event ORDER BY id DESC LIMIT 4").split("\n") == [
            f"rolled_back|{name}" for name in NAMES
        ]
        assert apply_pending(session, FILES, reapply_rolled_back=True).files == NAMES
    assert schema_of(database) == schemas[4]
    assert applied_names(database, PLATFORM_TABLE) == NAMES


def data_of(dump: str) -> list[str]:
    """Without the random key that pg_dump gives each dump."""
    return [line for line in dump.splitlines() if not line.startswith("\\")]


def test_every_verify_script_passes_again_after_its_own_file(database: Database) -> None:
    with database.connect() as session:
        for file in FILES.files:
            apply_pending(session, FILES, target=file.version)
            before = database.server.run("pg_dump", database=database.name)
            assert verify_file(session, file, Execution()) is True
            assert data_of(database.server.run("pg_dump", database=database.name)) == data_of(before)
