"""What statements mean to whoever runs them, and how a whole script may be run."""

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.script import inspect_bytes, read_statements_from
from dbmigration.migrations.statements import Kind, Shape, Statement

NO_TRANSACTION = [
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "create unique index /* x */ concurrently if not exists i on t (a)",
    "DROP INDEX CONCURRENTLY IF EXISTS i",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
    "REINDEX SCHEMA s",
    "REINDEX DATABASE d",
    "REINDEX SYSTEM d",
    "VACUUM",
    "vacuum (analyze) t",
    "CLUSTER",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "CREATE DATABASE d",
    "DROP DATABASE IF EXISTS d",
    "ALTER DATABASE d SET TABLESPACE x",
    "CREATE TABLESPACE x LOCATION '/x'",
    "DROP TABLESPACE x",
    "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "DROP SUBSCRIPTION s",
    "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
    "ALTER SUBSCRIPTION s SET PUBLICATION p",
    "ALTER SUBSCRIPTION s ADD PUBLICATION p WITH (refresh = true)",
    "ALTER SUBSCRIPTION s SET (failover = true)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = 1)",
    "DISCARD ALL",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
    # what no parser of today knows is decided by its words
    "CREATE INDEX CONCURRENTLY i ON t USING btree (a) WITH NEW SYNTAX 'x'",
    "VACUUM (BRAND_NEW 1) t WITH x",
]
PLAIN = [
    "CREATE INDEX i ON t (a)",
    "CREATE INDEX concurrently_made ON t (a)",
    "CREATE INDEX i ON t (a) -- CONCURRENTLY\n",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
    "ALTER TABLE t ADD CHECK (a <> 'concurrently')",
    "ALTER TABLE t ADD value int",
    "ALTER SUBSCRIPTION s SET (slot_name = NONE)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = 0)",
    "COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP INDEX CONCURRENTLY i'; END $$",
    "DROP INDEX i",
    "REINDEX TABLE t",
    "REINDEX (CONCURRENTLY false) TABLE t",
    "ANALYZE t",
    "CLUSTER t USING i",
    "ALTER TABLE t DETACH PARTITION p",
    "ALTER TABLE t DETACH PARTITION p FINALIZE",
    "ALTER TABLE t SET TABLESPACE x",
    "CREATE TABLE t (a int) TABLESPACE x",
    "ALTER DATABASE d SET work_mem = '1MB'",
    "COMMENT ON DATABASE d IS 'x'",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = false)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = off)",
    "ALTER SUBSCRIPTION s DISABLE",
    "ALTER TYPE e ADD VALUE 'x'",
    "SAVEPOINT a",
    "RELEASE SAVEPOINT a",
    "ROLLBACK TO a",
    "ROLLBACK WORK TO SAVEPOINT a",
    "SET LOCAL search_path = ''",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET CONSTRAINTS ALL DEFERRED",
    "LOCK TABLE t",
    "SELECT 'set_config'",
    "SELECT 1 AS temp",
    "CREATE TABLE t (temp int, temporary text)",
    "CREATE TABLE temperature (a int)",
    "DO $$ BEGIN RAISE NOTICE 'COMMIT;'; -- COMMIT;\n END $$",
    "DO $$ BEGIN EXECUTE 'x'; ROLLBACK TO a; END $$",
    "COPY t FROM '/file'",
    "COPY t TO STDOUT",
    "COPY t FROM PROGRAM 'cat stdin'",
    "CALL p()",
    "INSERT INTO t SELECT * FROM u",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "NOT SQL AT ALL",
]
SESSION = [
    "SET search_path = ''",
    "set statement_timeout to 0",
    "SET SESSION work_mem = '1MB'",
    "SET ROLE x",
    "SET SESSION AUTHORIZATION x",
    "RESET ALL",
    "RESET ROLE",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "WITH x AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM x",
    "LISTEN x",
    "LOAD 'x'",
]
TEMPORARY = [
    "CREATE TEMP TABLE t (a int)",
    "CREATE TEMPORARY TABLE IF NOT EXISTS t AS SELECT 1",
    "CREATE TABLE pg_temp.t (a int)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE TEMP SEQUENCE s",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE pg_temp.e AS ENUM ('a')",
    "CREATE TYPE pg_temp.c AS (a int)",
    "SELECT 1 INTO TEMP t",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
]
OTHERS = [
    ("BEGIN", Kind.BEGIN),
    ("begin isolation level serializable", Kind.BEGIN),
    ("START TRANSACTION", Kind.BEGIN),
    ("COMMIT", Kind.COMMIT),
    ("End Work", Kind.COMMIT),
    ("COMMIT AND CHAIN", Kind.COMMIT),
    ("ROLLBACK", Kind.ROLLBACK),
    ("ABORT", Kind.ROLLBACK),
    ("DO $$ BEGIN COMMIT; END $$", Kind.NO_TRANSACTION),
    ("DO LANGUAGE plpgsql $$ BEGIN LOOP ROLLBACK AND CHAIN; END LOOP; END $$", Kind.NO_TRANSACTION),
    ("COPY t FROM STDIN", Kind.COPY_IN),
    ("COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER)", Kind.COPY_IN),
    ("COPY t FROM STDIN NEW SYNTAX 'x'", Kind.COPY_IN),
]
KINDS = [
    *((sql, Kind.NO_TRANSACTION) for sql in NO_TRANSACTION),
    *((sql, Kind.PLAIN) for sql in PLAIN),
    *((sql, Kind.SESSION) for sql in SESSION),
    *((sql, Kind.TEMPORARY) for sql in TEMPORARY),
    *OTHERS,
]


def shape(script: str, transaction: bool | None = None) -> Shape:
    return inspect_bytes(script.encode(), transaction)


def refusal(script: str, transaction: bool | None = None) -> tuple[Reason, int | None]:
    with pytest.raises(Permanent) as caught:
        shape(script, transaction)
    return caught.value.reason, caught.value.place.line


@pytest.mark.parametrize(("sql", "kind"), KINDS)
def test_the_grammar_decides_what_a_statement_is(sql: str, kind: Kind) -> None:
    parts = [part for part in read_statements_from(f"{sql};\n".encode()) if isinstance(part, Statement)]
    assert [part.kind for part in parts] == [kind]


@pytest.mark.parametrize("script", ["", "-- nothing\n", "SELECT 1;", "LOCK TABLE t; SET x = 1; CREATE TEMP TABLE u (a int);", *PLAIN])
def test_files_run_in_one_transaction_by_default(script: str) -> None:
    found = shape(script)
    assert (found.transactional, found.why, found.strip_outer) == (True, None, False)


@pytest.mark.parametrize(
    "script",
    [
        "BEGIN;\nSELECT 1;\nCOMMIT;\n",
        "-- head\nbegin work;\nSELECT 1;\nend\n-- tail",
        "START TRANSACTION; SELECT 1; COMMIT TRANSACTION;",
        "SET lock_timeout = '5s';\nBEGIN;\nSELECT 1;\nCOMMIT;\nRESET lock_timeout;",
        "BEGIN;\nSAVEPOINT a;\nSELECT 1;\nROLLBACK TO a;\nRELEASE a;\nCOMMIT;",
        "BEGIN;\nBEGIN;\nSELECT 1;\nCOMMIT;",
        "BEGIN;\nCOMMIT;",
    ],
)
def test_the_files_own_outer_transaction_is_taken_off(script: str) -> None:
    found = shape(script)
    assert (found.transactional, found.why, found.strip_outer, found.begin_sql) == (True, None, True, None)


def test_the_options_of_the_files_own_begin_are_kept() -> None:
    assert shape("BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;").begin_sql == b"BEGIN ISOLATION LEVEL SERIALIZABLE;"
    assert shape("start transaction read write;\nCOMMIT;").begin_sql == b"start transaction read write;"


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;", 4),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 4),
        ("SELECT 0;\nBEGIN;\nSELECT 1;\nCOMMIT;", 1),
        ("SET default_transaction_isolation = 'serializable';\nBEGIN;\nCOMMIT;", 1),
        ("SELECT 1;\nCOMMIT;", 2),
        ("ROLLBACK;", 1),
        ("BEGIN;\nSELECT 1;\nROLLBACK;", 3),
        ("BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;\nSELECT 2;\nCOMMIT;", 3),
        ("SELECT 1;\n\nVACUUM;\nVACUUM t;", 3),
        ("BEGIN;\nCOMMIT;\nCREATE INDEX CONCURRENTLY i ON t (a);", 3),
        ("DO $$ BEGIN COMMIT; END $$;", 1),
    ],
)
def test_other_files_run_statement_by_statement_and_the_first_reason_is_said_with_its_line(script: str, line: int) -> None:
    found = shape(script)
    assert (found.transactional, found.strip_outer) == (False, False)
    assert found.why is not None
    assert found.why.startswith(f"line {line}: ")


@pytest.mark.parametrize("sql", NO_TRANSACTION)
def test_what_cannot_share_a_transaction_makes_the_file_non_transactional(sql: str) -> None:
    assert not shape(f"SELECT 1;\n{sql};").transactional
    assert not shape(f"{sql};", False).transactional


@pytest.mark.parametrize("sql", NO_TRANSACTION)
def test_what_cannot_share_a_transaction_is_refused_inside_one(sql: str) -> None:
    assert refusal(f"BEGIN;\nSELECT 1;\n{sql};\nCOMMIT;") == (Reason.SOURCE_INVALID, 3)
    assert refusal(f"SELECT 1;\n\n{sql};", True) == (Reason.SOURCE_INVALID, 3)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("SELECT 1;\nBEGIN;\nSELECT 2;\n", 2),
        ("BEGIN;\nCOMMIT;\nBEGIN;\n", 3),
        ("BEGIN;\nPREPARE TRANSACTION 'x';", 2),
    ],
)
@pytest.mark.parametrize("transaction", [None, False, True])
def test_a_transaction_that_nobody_ends_is_refused(script: str, line: int, transaction: bool | None) -> None:
    assert refusal(script, transaction) == (Reason.SOURCE_INVALID, line)


@pytest.mark.parametrize(
    ("script", "transaction", "line"),
    [
        ("SELECT 1;\nLOCK TABLE t;\nVACUUM t;", None, 2),
        ("VACUUM t;\nlock t in share mode;", None, 2),
        ("LOCK TABLE t;", False, 1),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nLOCK TABLE t;", None, 4),
        ("ALTER TYPE e ADD VALUE 'x';\nLOCK TABLE t;\nINSERT INTO t VALUES ('x');", None, 2),
    ],
)
def test_a_lock_that_would_be_gone_at_once_is_refused(script: str, transaction: bool | None, line: int) -> None:
    with pytest.raises(Permanent) as caught:
        inspect_bytes(script.encode(), transaction)
    assert (caught.value.reason, caught.value.place.line) == (Reason.SOURCE_INVALID, line)


@pytest.mark.parametrize(
    "script", ["BEGIN;\nLOCK TABLE t;\nCOMMIT;\nVACUUM t;", "VACUUM t;\nBEGIN;\nLOCK t;\nDELETE FROM t;\nEND;", "SELECT 'LOCK'; VACUUM;"]
)
def test_a_lock_in_a_transaction_of_the_file_holds(script: str) -> None:
    assert not inspect_bytes(script.encode(), None).transactional


def test_the_header_says_none() -> None:
    found = shape("BEGIN;\nSELECT 1;\nCOMMIT;", False)
    assert (found.transactional, found.strip_outer, found.statements) == (False, False, 3)
    assert found.why is not None


def test_the_header_says_single_where_the_file_has_more() -> None:
    assert refusal("BEGIN;\nCOMMIT;\nBEGIN;\nCOMMIT;", True) == (Reason.SOURCE_INVALID, 3)


@pytest.mark.parametrize("script", ["DO $$ BEGIN COMMIT; END $$;", "ALTER TYPE e ADD VALUE 'x';\nINSERT INTO t VALUES ('x');"])
def test_a_guess_gives_way_to_the_header(script: str) -> None:
    assert not shape(script).transactional
    assert shape(script, True).transactional


@pytest.mark.parametrize("use", ["INSERT INTO t VALUES ('x''y')", "UPDATE t SET a = 'x''y'::e", "ALTER TABLE t ALTER a SET DEFAULT 'x''y'"])
def test_a_value_added_to_an_enum_and_used_later_needs_two_transactions(use: str) -> None:
    found = shape(f"SELECT 1;\nALTER TYPE s.e ADD VALUE IF NOT EXISTS 'x''y' BEFORE 'b';\nSELECT 2;\n{use};\n")
    assert (found.transactional, found.why is not None and found.why.startswith("line 4: ")) == (False, True)


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TYPE e ADD VALUE 'x';\nINSERT INTO t VALUES ('y');",
        "INSERT INTO t VALUES ('x');\nALTER TYPE e ADD VALUE 'x';",
        "ALTER TYPE e ADD VALUE 'x';\nALTER TYPE e ADD VALUE 'y' AFTER 'x';",
        "ALTER TYPE e RENAME VALUE 'a' TO 'x';\nINSERT INTO t VALUES ('x');",
        "BEGIN;\nALTER TYPE e ADD VALUE 'x';\nINSERT INTO t VALUES ('x');\nCOMMIT;",
    ],
)
def test_a_value_that_is_not_used_or_may_be_used_at_once_needs_one(script: str) -> None:
    assert shape(script).transactional


def test_a_value_of_a_new_enum_is_none_either_before_postgresql_17() -> None:
    assert not shape("CREATE TYPE e AS ENUM ('a');\nALTER TYPE e ADD VALUE 'x';\nINSERT INTO t VALUES ('x');").transactional


def test_statements_are_counted_with_the_outer_ones_and_without_data() -> None:
    assert shape("BEGIN;\nCOPY t FROM STDIN;\n1;\n2;\n\\.\nSELECT 1; ;\nCOMMIT;\n").statements == 4
