"""One file, one transaction: what is kept, what an error says, what may not leak from file to file or out of an error."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from tests.engine.conftest import Database
from tests.engine.support import GOOD, OUR_TABLE, Applied, applied_names, apply_all, apply_pending, dump_schema, history_of, write_files


def refused(database: Database, directory: Path, files: dict[str, str | bytes], into: Applied | None = None) -> Permanent:
    with pytest.raises(Permanent) as caught, database.connect() as session:
        apply_pending(session, write_files(directory, files), into=into)
    return caught.value


def test_bad_sql_in_second_of_three_keeps_the_first_and_runs_nothing_after(database: Database, tmp_path: Path) -> None:
    done = Applied()
    error = refused(
        database,
        tmp_path,
        {
            "001_one.sql": GOOD,
            "002_two.sql": "BEGIN;\n\nCREATE TABLE half (id int);\nINSERT INTO half\nVALUES (1),\n  (nonsense);\nCOMMIT;\n",
            "003_three.sql": "CREATE TABLE never (id int);\n",
        },
        done,
    )
    assert done.files == ["001_one.sql"]
    assert (error.reason, error.place.sqlstate, error.place.file, error.place.line) == (Reason.SQL_FAILED, "42703", "002_two.sql", 6)
    assert error.place.statement is not None
    assert error.place.statement.startswith("INSERT INTO half")
    assert applied_names(database) == ["001_one.sql"]
    assert database.psql("SELECT to_regclass('half') IS NULL AND to_regclass('never') IS NULL") == "t"


@pytest.mark.parametrize(
    ("text", "sqlstate", "line"),
    [
        ("SELECT 1;\nSELECT 2;\n\nSELEC 3;\n", "42601", 4),
        ("SELECT 1;\n\n-- about the next\nINSERT INTO good\n  VALUES (1), (1);\n", "23505", 4),
        ("SELECT 1;\r\nSELECT\r\n  nothing\r\nFROM good;\r\n", "42703", 3),
        ("SELECT 'é', '日本';\nSELECT 'ü' || ü;\n", "42703", 2),
        ("SELECT 1; SELECT 2;\nSELECT 1 / 0", "22012", 2),
        ("COPY good FROM STDIN;\n7\n8\nx\n\\.\n", "22P02", 4),
        ("SELECT 1;\nDO $$\nBEGIN\n  RAISE EXCEPTION 'no';\nEND\n$$;\n", "P0001", 4),
        ("DO\nLANGUAGE plpgsql -- here\n'BEGIN\nPERFORM ''a'';\nPERFORM 1 / 0;\nEND';\n", "22012", 5),
        ("SELECT 1;\nDO $x$ BEGIN\n  INSERT INTO nothing\n  VALUES (1);\nEND $x$;\n", "42P01", 3),
        ("DO $$\nBEGIN\n  EXECUTE 'DO $b$ BEGIN\n\n\nPERFORM 1 / 0; END $b$';\nEND $$;\n", "22012", 3),
        ("SELECT 1;\nDO $$\nBEGIN\n  INSRT INTO good;\nEND $$;\n", "42601", 4),
        ("SELECT 1;\nALTER TABLE good ADD CONSTRAINT later UNIQUE (id) DEFERRABLE INITIALLY DEFERRED;\nINSERT INTO good VALUES (5);\n"
         "ALTER TABLE good DROP CONSTRAINT good_pkey;\nINSERT INTO good VALUES (5);\n", "23505", 5),
    ],
    ids=["syntax", "constraint", "crlf", "characters-not-bytes", "no-final-semicolon", "copy-data",
         "do", "do-in-quotes", "do-from-its-first-line", "do-in-do", "do-syntax", "deferred"],
)  # fmt: skip
def test_an_error_names_the_sqlstate_and_the_exact_line(database: Database, tmp_path: Path, text: str, sqlstate: str, line: int) -> None:
    error = refused(database, tmp_path, {"001_one.sql": GOOD, "002_two.sql": text})
    assert (error.place.file, error.place.sqlstate, error.place.line) == ("002_two.sql", sqlstate, line)
    assert applied_names(database) == ["001_one.sql"]


def test_the_line_is_exact_far_beyond_the_first_message(database: Database, tmp_path: Path) -> None:
    lines = ["CREATE TABLE many (id int, name text);", *(f"INSERT INTO many VALUES ({n}, 'name of row {n}');" for n in range(2, 6001))]
    lines[4999] = "INSERT INTO many VALUES (5000, 'x', 'too many');"
    error = refused(database, tmp_path, {"001_many.sql": "\n".join(lines)})
    assert (error.place.line, error.place.sqlstate) == (5000, "42601")
    lines[4999] = "INSERT INTO many VALUES (1 / (5000 - 5000));"
    error = refused(database, tmp_path, {"001_many.sql": "\n".join(lines)})
    assert (error.place.line, error.place.sqlstate) == (5000, "22012")
    assert database.psql("SELECT to_regclass('many') IS NULL") == "t"


def test_a_file_of_many_messages_is_one_transaction_and_complete(database: Database, tmp_path: Path) -> None:
    lines = ["CREATE TABLE many (id int PRIMARY KEY);", *(f"INSERT INTO many VALUES ({n});" for n in range(20_000))]
    done = apply_all(database, write_files(tmp_path, {"001_many.sql": "BEGIN;\n" + "\n".join(lines) + "\nCOMMIT;\n"}))
    assert done.results[0].statements == 20_001
    assert database.psql("SELECT count(*), count(DISTINCT xmin::text) FROM many") == "20000|1"
    assert [at.bytes_done for at in done.progress] == sorted(at.bytes_done for at in done.progress)


def test_values_are_kept_out_of_errors(database: Database, tmp_path: Path) -> None:
    secret = "tok3n-of-a-customer"
    texts = {
        "a row in DETAIL": f"CREATE TABLE t (a text UNIQUE);\nINSERT INTO t VALUES ('{secret}');\nINSERT INTO t VALUES ('{secret}');\n",
        "a value in the message": f"SELECT '{secret}'::int;\n",
        "a value of a failing row": f"CREATE TABLE t (a text CHECK (a = ''));\nINSERT INTO t VALUES ('{secret}');\n",
        "a stray literal": f"SELECT 1 '{secret}';\n",
        "raised": f"DO $$ BEGIN RAISE EXCEPTION 'bad key \"%\"', '{secret}'; END $$;\n",
        "copied": f"CREATE TABLE t (a int);\nCOPY t FROM STDIN;\n{secret}\n\\.\n",
    }
    for text in texts.values():
        with pytest.raises(DbmigrationError) as caught, database.connect() as session:
            apply_pending(session, write_files(tmp_path, {"001_one.sql": text}))
        error = caught.value
        assert error.place.line is not None
        assert secret not in f"{error} {error!r} {error.args} {error.place!r}"
        assert secret in (error.values or "") + text


def test_values_of_an_error_are_there_for_who_asks(database: Database, tmp_path: Path) -> None:
    error = refused(database, tmp_path, {"001_a.sql": "CREATE TABLE t (a text UNIQUE);\nINSERT INTO t VALUES ('seen'), ('seen');\n"})
    assert "(a)=(seen)" in (error.values or "")
    assert "t_a_key" in error.message


def test_an_edited_file_is_refused_before_any_sql_and_its_crlf_copy_is_no_change(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, {"001_one.sql": GOOD}))
    crlf = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert apply_all(database, write_files(tmp_path, {"001_one.sql": crlf})).files == []
    before = dump_schema(database, without=())
    error = refused(database, tmp_path, {"001_one.sql": GOOD.replace("int", "bigint"), "002_two.sql": "CREATE TABLE two (id int);\n"})
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert dump_schema(database, without=()) == before


def test_meta_commands_are_refused_with_their_line_and_nothing_is_run(database: Database, tmp_path: Path) -> None:
    error = refused(database, tmp_path, {"001_one.sql": "CREATE TABLE one (id int);\n\\i other.sql\n"})
    assert (error.reason, error.place.file, error.place.line) == (Reason.META_COMMAND, "001_one.sql", 2)
    assert database.psql("SELECT to_regclass('one') IS NULL") == "t"


def test_copy_data_arrive_as_through_psql(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE TABLE t (id int, note text);\nCOPY t (id, note) FROM STDIN;\n1\ta\\tb\n2\t\\N\n3\tsemi;colon -- $$ 'quote\n\\.\n"
        "COPY t FROM STDIN WITH (FORMAT csv);\n4,\"two\nlines\"\n\\.\nUPDATE t SET note = 'five' WHERE id = 4 AND note = E'two\\nlines';\n"
    )
    path = tmp_path / "001_copy.sql"
    apply_all(database, write_files(tmp_path, {path.name: text}))
    ours = database.psql("SELECT id, replace(note, chr(9), '<tab>') FROM t ORDER BY id")
    assert ours == "1|a<tab>b\n2|\n3|semi;colon -- $$ 'quote\n4|five"
    database.psql("DROP TABLE t")
    database.run_file(path)
    assert database.psql("SELECT id, replace(note, chr(9), '<tab>') FROM t ORDER BY id") == ours


def test_a_large_copy_is_streamed_whole(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"{n}\t{'x' * 90}\n" for n in range(50_000))
    apply_all(database, write_files(tmp_path, {"001_copy.sql": f"CREATE TABLE t (id int, note text);\nCOPY t FROM STDIN;\n{rows}\\.\n"}))
    assert database.psql("SELECT count(*), sum(id), min(length(note)) FROM t") == "50000|1249975000|90"


def test_nothing_of_a_file_leaks_into_the_next_or_into_the_session(database: Database, tmp_path: Path) -> None:
    database.psql("CREATE ROLE leaky; GRANT leaky TO platform_owner; GRANT CREATE ON SCHEMA public TO leaky, platform_owner")
    files = write_files(
        tmp_path,
        {
            "001_dump.sql": "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
            "SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\nCREATE TABLE public.one (id int);\n",
            "002_more.sql": "SET lock_timeout = '7s';\nSET ROLE leaky;\nCREATE TABLE two (id int);\nCREATE TEMP TABLE scratch (id int);\n"
            "PREPARE q AS SELECT 1;\nDECLARE c CURSOR WITH HOLD FOR SELECT 1;\nLISTEN news;\n",
            "003_last.sql": "CREATE TABLE three (id int);\nCREATE TEMP TABLE scratch (id int);\nPREPARE q AS SELECT 1;\n",
        },
    )
    settings = "SELECT name, setting FROM pg_settings WHERE source IN ('session', 'client') AND name <> 'transaction_read_only' ORDER BY 1"
    with database.connect() as session:
        before = session.query(settings)
        assert apply_pending(session, files).files == [file.name for file in files.files]
        assert session.query(settings) == before
        assert session.query("SELECT current_user::text, to_regclass('pg_temp.scratch')::text") == [("platform_owner", None)]
        assert session.query("SELECT name FROM pg_prepared_statements UNION ALL SELECT name FROM pg_cursors") == []
        assert session.query("SELECT pg_listening_channels()") == []
    assert database.psql("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").split("\n") == [
        "one|platform_owner",
        "three|platform_owner",
        "two|leaky",
    ]
    database.psql("DROP OWNED BY leaky; DROP ROLE leaky")


def test_deferred_work_runs_with_the_settings_of_its_file(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE SCHEMA app;\nSET search_path = app;\nCREATE TABLE seen (id int);\nCREATE TABLE t (id int);\n"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (new.id); RETURN NULL; END $$;\n"
        "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();\n"
        "INSERT INTO t VALUES (42);\n"
    )
    apply_all(database, write_files(tmp_path, {"001_deferred.sql": text}))
    assert database.psql("SELECT id FROM app.seen") == "42"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (id int)",
        "CREATE TABLE t (id int); -- and that was all",
        "CREATE TABLE t (id int) -- no semicolon; but a comment",
        "\ufeffCREATE TABLE t (id int);",
        "CREATE TABLE t (id int);\n/* the end",
        "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE t (id int);\nEND;\n-- bye",
        "CREATE TABLE IF NOT EXISTS public.t (id int);\nCREATE SCHEMA IF NOT EXISTS dbmigration;",
    ],
)
def test_files_as_people_write_them(database: Database, tmp_path: Path, text: str) -> None:
    if text.endswith("the end"):
        text += " */"
    apply_all(database, write_files(tmp_path, {"001_t.sql": text}))
    assert database.psql("SELECT to_regclass('public.t') IS NOT NULL") == "t"
    assert applied_names(database) == ["001_t.sql"]


def test_a_file_without_any_statement_is_applied(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, {"001_nothing.sql": "-- only words\n", "002_empty.sql": ""}))
    assert applied_names(database) == ["001_nothing.sql", "002_empty.sql"]


def test_line_ends_inside_a_function_body_reach_the_server_as_they_are(database: Database, tmp_path: Path) -> None:
    text = b"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\r\nSELECT 'x'\r\n$$;\r\n"
    apply_all(database, write_files(tmp_path, {"001_f.sql": text}))
    assert database.psql("SELECT encode(prosrc::bytea, 'hex') FROM pg_proc WHERE proname = 'f'") == b"\r\nSELECT 'x'\r\n".hex()


def test_a_file_that_writes_its_own_history_row_is_recorded_once(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE TABLE IF NOT EXISTS dbmigration.schema_migrations (id SERIAL PRIMARY KEY, migration_name TEXT NOT NULL UNIQUE,"
        " applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW());\n"
        "INSERT INTO dbmigration.schema_migrations (migration_name) VALUES ('001_self.sql') ON CONFLICT (migration_name) DO NOTHING;\n"
    )
    files = write_files(
        tmp_path, {"001_self.sql": f"CREATE SCHEMA IF NOT EXISTS dbmigration;\n{text}", "002_self.sql": text.replace("001", "002")}
    )
    apply_all(database, files)
    assert applied_names(database) == ["001_self.sql", "002_self.sql"]
    assert [row.checksum for row in history_of(database).applied] == [file.checksum for file in files.files]


def test_a_message_after_the_first_that_fails_rolls_all_of_it_back(database: Database, tmp_path: Path) -> None:
    text = "CREATE TABLE wide (a text);\n" + f"INSERT INTO wide VALUES ('{'x' * 1000}');\n" * 300 + "SELECT 1/0;\n"
    error = refused(database, tmp_path, {"001_wide.sql": text})
    assert (error.place.line, error.place.sqlstate) == (302, "22012")
    assert database.psql("SELECT to_regclass('wide') IS NULL") == "t"


def test_warnings_of_the_server_are_told(database: Database, tmp_path: Path) -> None:
    text = "DO $$ BEGIN RAISE WARNING 'look at \"%\"', 'secret'; RAISE NOTICE 'not this'; END $$;\n"
    done = apply_all(database, write_files(tmp_path, {"001_w.sql": text}))
    said = [at.message for at in done.progress if at.message]
    assert len(said) == 1
    assert "look at" in said[0]
    assert "secret" not in said[0]


def test_rows_of_queries_and_copy_to_stdout_do_not_disturb(database: Database, tmp_path: Path) -> None:
    text = "SELECT * FROM generate_series(1, 5000);\nCOPY (SELECT 1) TO STDOUT;\nCREATE TABLE t (id int);\nSELECT 1/0;\n"
    error = refused(database, tmp_path, {"001_rows.sql": text})
    assert error.place.line == 4
    apply_all(database, write_files(tmp_path, {"001_rows.sql": text.replace("SELECT 1/0;\n", "")}))
    assert database.psql("SELECT to_regclass('t') IS NOT NULL") == "t"


def test_an_error_after_a_statement_whose_rule_answers_twice_has_its_own_line(database: Database, tmp_path: Path) -> None:
    text = (
        "CREATE TABLE t (a int);\nCREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);\n"
        "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\nSELECT 1/0;\nSELECT 3;\n"
    )
    assert refused(database, tmp_path, {"001_rule.sql": text}).place.line == 5


def test_each_applied_file_has_one_event_with_who_and_which_run(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, {"001_one.sql": GOOD}))
    assert database.psql("SELECT actor, run_id, kind, migration_name, detail->>'checksum' = c.checksum"
                         " FROM dbmigration.event JOIN dbmigration.checksum AS c USING (migration_name)") == (
        "platform_owner|test-run|applied|001_one.sql|t"
    )  # fmt: skip
    assert history_table_in_meta(database) == OUR_TABLE


def history_table_in_meta(database: Database) -> object:
    rows = dict(row.split("|") for row in database.psql("SELECT key, value FROM dbmigration.meta").split("\n"))
    return type(OUR_TABLE)(rows["history_schema"], rows["history_table"])


def test_what_the_history_table_itself_refuses_is_said_of_the_file_and_nothing_took_effect(database: Database, tmp_path: Path) -> None:
    apply_all(database, write_files(tmp_path, {"001_one.sql": GOOD}))
    database.psql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'frozen'; END$$")
    database.psql("CREATE TRIGGER no BEFORE INSERT ON dbmigration.schema_migrations FOR EACH ROW EXECUTE FUNCTION no()")
    error = refused(database, tmp_path, {"002_two.sql": "CREATE TABLE two (id int);\n"})
    assert (error.reason, error.place.file, error.place.sqlstate) == (Reason.SQL_FAILED, "002_two.sql", "P0001")
    assert database.psql("SELECT to_regclass('two') IS NULL") == "t"


def test_an_error_under_an_encoding_of_one_byte_for_each_character_is_still_of_its_file(database: Database, tmp_path: Path) -> None:
    text = f"SET client_encoding = 'LATIN1';\nSELECT 1;\nSELECT '{'é' * 300}', nothing;\n"
    error = refused(database, tmp_path, {"001_one.sql": text})
    assert (error.place.file, error.place.sqlstate) == ("001_one.sql", "42703")
    assert error.place.line is not None
