"""`dbmigration wait`: the gate in front of an application, with the application's own login."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.engine.conftest import Database
from tests.engine.server import OWNER, PASSWORD, wait_until

TABLE = "CREATE SCHEMA dbmigration; CREATE TABLE dbmigration.schema_migrations (id serial, migration_name text, applied_at timestamptz)"


GRANT = f"GRANT USAGE ON SCHEMA dbmigration TO {OWNER}; GRANT SELECT ON dbmigration.schema_migrations TO {OWNER}"


def environment(database: Database) -> dict[str, str]:
    return database.server.environment(database.name)


def words(*more: str) -> Sequence[str]:
    return [sys.executable, "-m", "dbmigration.cli.main", "wait", "--for-version", "004", *more]


def applied(database: Database, *names: str) -> None:
    for name in names:
        database.psql(f"INSERT INTO dbmigration.schema_migrations (migration_name) VALUES ('{name}')")


def test_it_ends_well_when_the_version_or_a_higher_one_is_applied(database: Database) -> None:
    database.psql(TABLE)
    database.psql(GRANT)
    applied(database, "001_a.sql", "010_b.sql")
    done = subprocess.run(words(), env=environment(database), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "the database is at version 010\n")


def test_it_waits_for_the_table_the_right_and_the_version(database: Database) -> None:
    with subprocess.Popen(words(), env=environment(database), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "there is no history table" in waiting.stderr.readline()
        database.psql(TABLE)
        assert "may not read" in waiting.stderr.readline()
        applied(database, "003_a.sql")
        database.psql(GRANT)
        assert "at version 003" in waiting.stderr.readline()
        assert waiting.poll() is None
        applied(database, "004_b.sql")
        wait_until(lambda: waiting.poll() is not None, "it ends")
        assert waiting.returncode == 0


def test_it_gives_up_with_a_status_that_says_try_again(database: Database) -> None:
    done = subprocess.run(words("--timeout", "1s"), env=environment(database), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "004" in done.stderr


def test_a_database_that_is_not_there_yet_is_waited_for(database: Database) -> None:
    nowhere = {**environment(database), "PGPORT": "1"}
    done = subprocess.run(words("--timeout", "1s"), env=nowhere, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "waiting for version 004" in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("version", ["latest", "1" * 5000])
def test_a_version_that_is_no_number_is_wrong_usage(database: Database, version: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dbmigration.cli.main", "wait", "--for-version", version],
        env=environment(database),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
