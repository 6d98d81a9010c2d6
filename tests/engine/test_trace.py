"""What a rehearsal measures of each statement: time, locks, rewrites."""

from pathlib import Path

import pytest

from dbmigration.errors import Permanent
from dbmigration.postgres.trace import Trace
from tests.engine.conftest import Database
from tests.engine.support import apply_pending, write_files

BEFORE = """
CREATE TABLE big AS SELECT n AS id, n::text AS note FROM generate_series(1, 2000) AS n;
CREATE TABLE empty (id int);
CREATE TABLE parent (id int PRIMARY KEY);
"""


def traced(database: Database, tmp_path: Path, **files: str) -> Trace:
    """The files run, in order of their names, where BEFORE has run."""
    database.psql(BEFORE, user="platform_owner")
    found = write_files(tmp_path / "m", {f"{name.removeprefix('f')}_x.sql": text for name, text in files.items()})
    trace = Trace()
    with database.connect() as session:
        session.trace = trace
        apply_pending(session, found)
    return trace


def test_the_strongest_lock_on_each_table_that_was_there_before(database: Database, tmp_path: Path) -> None:
    trace = traced(
        database,
        tmp_path,
        f001="CREATE TABLE child (id int REFERENCES parent);\nINSERT INTO empty VALUES (1);\n\nCREATE INDEX ON big (id);",
        f002="LOCK TABLE big IN SHARE MODE;\nSELECT pg_sleep(0.3);\nALTER TABLE big ADD COLUMN more int;",
    )
    found = [(lock.file, lock.line, lock.table, lock.mode) for lock in trace.locks()]
    assert found == [
        ("002_x.sql", 3, "public.big", "ACCESS EXCLUSIVE"),
        ("001_x.sql", 1, "public.parent", "SHARE ROW EXCLUSIVE"),
        ("002_x.sql", 1, "public.big", "SHARE"),
        ("001_x.sql", 4, "public.big", "SHARE"),
        ("001_x.sql", 4, "public.empty", "ROW EXCLUSIVE"),
    ]
    times = {(lock.file, lock.mode): lock.ms for lock in trace.locks()}
    assert times["002_x.sql", "SHARE"] >= 300
    assert times["002_x.sql", "ACCESS EXCLUSIVE"] < times["002_x.sql", "SHARE"]


def test_a_rewrite_is_told_with_its_line_and_size(database: Database, tmp_path: Path) -> None:
    trace = traced(
        database,
        tmp_path,
        f001="ALTER TABLE big ADD COLUMN more int;\nALTER TABLE big ALTER id TYPE bigint;\nALTER TABLE big ALTER id TYPE numeric;",
        f002="-- Transaction: none\nVACUUM FULL big;\nVACUUM big;",
    )
    found = [(rewrite.file, rewrite.line, rewrite.table) for rewrite in trace.rewrites()]
    assert found == [("001_x.sql", 2, "public.big"), ("001_x.sql", 3, "public.big"), ("002_x.sql", 2, "public.big")]
    assert all(rewrite.bytes >= 2000 * 24 for rewrite in trace.rewrites())


def test_what_costs_nothing_is_no_rewrite(database: Database, tmp_path: Path) -> None:
    trace = traced(
        database,
        tmp_path,
        f001="ALTER TABLE empty ALTER COLUMN id TYPE bigint;\nTRUNCATE big;\nALTER TABLE big ALTER COLUMN note TYPE varchar;",
        f002="DROP TABLE big;\nCREATE TABLE big (id int);\nINSERT INTO big VALUES (1);\nALTER TABLE big ALTER COLUMN id TYPE bigint;",
    )
    assert trace.rewrites() == ()


def test_the_slowest_statements_first_without_their_values(database: Database, tmp_path: Path) -> None:
    trace = traced(
        database,
        tmp_path,
        f001="SELECT 1;\nSELECT pg_sleep(0.2), 'secret';\nDO $$ BEGIN PERFORM pg_sleep(0.1); END $$;",
        f002="COPY empty FROM STDIN;\n1\n2\n\\.\nSELECT 2;",
    )
    slowest = trace.slowest()
    assert [(each.file, each.line) for each in slowest[:2]] == [("001_x.sql", 2), ("001_x.sql", 3)]
    assert slowest[0].statement == "SELECT pg_sleep(0), '***';"
    assert slowest[0].ms >= 200
    assert ("002_x.sql", 1) in [(each.file, each.line) for each in slowest]


def test_isolation_levels_and_blocks_of_their_own_run_as_without_it(database: Database, tmp_path: Path) -> None:
    trace = traced(
        database,
        tmp_path,
        f001="BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSET TRANSACTION READ WRITE;\nINSERT INTO empty VALUES (1);\nCOMMIT;",
        f002="-- Transaction: none\nCREATE INDEX CONCURRENTLY i ON big (id);\nBEGIN;\nALTER TABLE big ADD more int;\nCOMMIT;\nSELECT 1;",
    )
    assert ("002_x.sql", 4, "ACCESS EXCLUSIVE") in [(lock.file, lock.line, lock.mode) for lock in trace.locks()]
    assert database.psql("SELECT string_agg(migration_name, ' ' ORDER BY id) FROM dbmigration.schema_migrations") == "001_x.sql 002_x.sql"


def test_a_file_that_fails_is_told_of_as_far_as_it_came(database: Database, tmp_path: Path) -> None:
    database.psql(BEFORE, user="platform_owner")
    found = write_files(tmp_path / "m", {"001_x.sql": "ALTER TABLE big ADD COLUMN more int;\nSELECT 1 / 0;"})
    trace = Trace()
    with database.connect() as session:
        session.trace = trace
        with pytest.raises(Permanent) as raised:
            apply_pending(session, found)
    assert (raised.value.place.line, raised.value.place.sqlstate) == (2, "22012")
    assert [(each.file, each.line) for each in trace.slowest()] == [("001_x.sql", 1)]
