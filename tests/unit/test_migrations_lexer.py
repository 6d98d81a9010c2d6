"""Scripts as people and pg_dump write them: where statements begin and end, what COPY's data are, what is refused."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.progress import StatementHash, finished_unchanged
from dbmigration.migrations.script import inspect, inspect_bytes, read_statements, read_statements_from
from dbmigration.migrations.statements import CopyData, Kind, Statement


def cut(script: str) -> list[str]:
    return [part.sql.decode() for part in read_statements_from(script.encode()) if isinstance(part, Statement)]


def lines(script: str) -> list[int]:
    return [part.line for part in read_statements_from(script.encode()) if isinstance(part, Statement)]


def copied(script: str) -> bytes:
    return b"".join(part.data for part in read_statements_from(script.encode()) if isinstance(part, CopyData))


def refusal(script: str) -> Permanent:
    with pytest.raises(Permanent) as caught:
        list(read_statements_from(script.encode(), name="005_x.sql"))
    assert caught.value.place.file == "005_x.sql"
    with pytest.raises(Permanent) as inspected:
        inspect_bytes(script.encode(), None, name="005_x.sql")
    assert (inspected.value.reason, inspected.value.place) == (caught.value.reason, caught.value.place)
    return caught.value


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\n-- the end", ["SELECT 1;"]),
        ("SELECT 1 -- the end", ["SELECT 1"]),
        ("SELECT 1 /* the end */ ", ["SELECT 1"]),
        ("\ufeffSELECT 1;", ["SELECT 1;"]),
        (";;SELECT 1;;\n;", ["SELECT 1;"]),
        ("-- a;\n/* b; */ SELECT /* c; */ 1 -- d;\n;", ["SELECT /* c; */ 1 -- d;\n;"]),
        ("SELECT ';';SELECT \";\";SELECT $$;$$;SELECT $a$;$$;$a$;", ["SELECT ';';", 'SELECT ";";', "SELECT $$;$$;", "SELECT $a$;$$;$a$;"]),
        ("SELECT E'\\';';SELECT e'a''\\'';SELECT '\\';SELECT 1;", ["SELECT E'\\';';", "SELECT e'a''\\'';", "SELECT '\\';", "SELECT 1;"]),
        ("SELECT date'\\';SELECT U&'\\';SELECT x.e'\\;';", ["SELECT date'\\';", "SELECT U&'\\';", "SELECT x.e'\\;';"]),
        ("SELECT a$b$c;SELECT é$x$;SELECT $1;SELECT 1", ["SELECT a$b$c;", "SELECT é$x$;", "SELECT $1;", "SELECT 1"]),
        ("SELECT 1--;\n;SELECT 2", ["SELECT 1--;\n;", "SELECT 2"]),
        ("SELECT 3 *-- 4;\n5;", ["SELECT 3 *-- 4;\n5;"]),
        ("SELECT 3 */* 4; */5;", ["SELECT 3 */* 4; */5;"]),
        ("SELECT 1 /* /* ; */ ; */;SELECT 2", ["SELECT 1 /* /* ; */ ; */;", "SELECT 2"]),
        ("SELECT ((((((1;2))))));SELECT 3", ["SELECT ((((((1;2))))));", "SELECT 3"]),
        ("(SELECT 1);SELECT 2", ["(SELECT 1);", "SELECT 2"]),
        ("SELECT 1);SELECT 2", ["SELECT 1);", "SELECT 2"]),
        ("SELECT 1 - -1;SELECT 1-\n1;SELECT 1/ 2", ["SELECT 1 - -1;", "SELECT 1-\n1;", "SELECT 1/ 2"]),
        ("SELECT 1;\rSELECT 2 -- x\r;SELECT 3", ["SELECT 1;", "SELECT 2 -- x\r;", "SELECT 3"]),
        ("SELECT :name, :'name', :\"name\", a::int;SELECT 2", ["SELECT :name, :'name', :\"name\", a::int;", "SELECT 2"]),
    ],
)
def test_statements_end_where_psql_ends_them(script: str, statements: list[str]) -> None:
    assert cut(script) == statements


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
        "create or replace /* ; */ procedure p() begin -- ;\n atomic insert into t values (1); end;",
        "CREATE FUNCTION f(\"begin\" int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT t.end FROM t; SELECT 1 AS case; SELECT ';'; END;",
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD (INSERT INTO u VALUES (1); INSERT INTO v VALUES (')'););",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE plpgsql AS $begin$ BEGIN RETURN 1; END; $begin$;",
        "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT E'\\';'\n, e'a'\n'\\';b'; END;",
        "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'begin atomic select 1;';",
    ],
)
def test_bodies_stay_in_one_piece(statement: str) -> None:
    assert cut(f"SELECT 0;\n{statement}\nSELECT 1;") == ["SELECT 0;", statement, "SELECT 1;"]


def test_line_ends_inside_statements_are_kept_as_they_are() -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\r\n  SELECT 1;\r\n$$;"
    assert cut(f"-- head\r\n{body}\r\nSELECT 1;\r\n") == [body, "SELECT 1;"]


def test_lines_are_those_of_the_first_words_and_indexes_count_from_1() -> None:
    script = "-- one\n\n/* two\n */ SELECT\n1;\nSELECT 'a\nb'; SELECT\n 3;\r\n\n  INSERT INTO t VALUES (1);"
    parts = [part for part in read_statements_from(script.encode()) if isinstance(part, Statement)]
    assert [(part.index, part.line) for part in parts] == [(1, 4), (2, 6), (3, 7), (4, 10)]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("SELECT 1;\nSELECT 'a\n;\nSELECT 2;", 2),
        ("SELECT 1;\n\nSELECT 1,\n E'a\\'\n;", 4),
        ('SELECT 1;\nSELECT "a;\n', 2),
        ("SELECT $a$ ; $b$\n;", 1),
        ("SELECT 1;\n/* a\n/* b */\nSELECT 2;", 2),
        ("SELECT\n1 /* a\n;", 2),
        ("SELECT 1;\nSELECT (1,\n (2;\n\nSELECT 3;", 3),
        ("CREATE TABLE t (a int;\n);\nSELECT (", 3),
        ("SELECT 1;\nCREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;\n", 2),
        ("SELECT 1;\nCOPY t FROM STDIN; SELECT 2;\n1\n\\.\n", 2),
    ],
)
def test_what_never_ends_is_refused_with_the_line_where_it_begins(script: str, line: int) -> None:
    error = refusal(script)
    assert (error.reason, error.place.line) == (Reason.SOURCE_INVALID, line)


@pytest.mark.parametrize(
    ("script", "line", "command"),
    [
        ("\\i other.sql\n", 1, "\\i"),
        ("SELECT 1;\n\n  \\connect studio\n", 3, "\\connect"),
        ("SELECT 'SELECT 1' \\gexec\n", 1, "\\gexec"),
        ("SELECT 1\n\\gset\n", 2, "\\gset"),
        ("SELECT (1,\n\\echo x\n", 2, "\\echo"),
        ("SELECT 1\\; SELECT 2;", 1, "\\;"),
        ("SELECT 1;\n\\.\n", 2, "\\."),
        ("\\copy t from 'x'\n", 1, "\\copy"),
        ("\\d+ t", 1, "\\d+"),
        ("\\", 1, "\\"),
        ("\\restricted x\n", 1, "\\restricted"),
        ("SELECT 1 \\restrict x\n;", 1, "\\restrict"),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n\\timing\n", 2, "\\timing"),
    ],
)
def test_meta_commands_are_refused_with_line_and_name(script: str, line: int, command: str) -> None:
    error = refusal(script)
    assert (error.reason, error.place.line) == (Reason.META_COMMAND, line)
    assert error.message.startswith(f"{command} is a command of psql")


def test_a_backslash_in_quotes_comments_and_data_is_no_meta_command() -> None:
    script = "SELECT '\\i', \"\\i\", $$\\i$$; -- \\i\n/* \\i */ COPY t FROM STDIN;\n\\i\n\\N\n\\.\nSELECT 1;"
    assert len(cut(script)) == 3


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_restrict_and_unrestrict_of_pg_dump_are_skipped(newline: str) -> None:
    script = "--\n\\restrict AbC123\n\nSET x = 1;\nCOPY t FROM stdin;\n1\n\\.\n\n\\unrestrict AbC123\n".replace("\n", newline)
    assert (cut(script), lines(script)) == (["SET x = 1;", "COPY t FROM stdin;"], [4, 5])


@pytest.mark.parametrize(
    ("copy", "rest", "data"),
    [
        ("COPY t FROM STDIN;\n", "1\ta\n2\tb\n\\.\n", "1\ta\n2\tb\n"),
        ("COPY t (a, b) FROM stdin WITH (FORMAT csv);  -- rows\n", '1,"a;\nb"\n\\.\n', '1,"a;\nb"\n'),
        ("copy t from stdin;\r\n", "1\ta\r\n\\.\r\n", "1\ta\r\n"),
        ("COPY t FROM STDIN;\n", "\\.\n", ""),
        ("COPY public.t FROM STDIN;\n", "\\\\.\n\\.x\n \\.\n'\n\\.\n", "\\\\.\n\\.x\n \\.\n'\n"),
    ],
)
def test_the_data_of_copy_are_taken_as_they_are(copy: str, rest: str, data: str) -> None:
    script = f"SELECT 1;\n{copy}{rest}SELECT 2;\nCOPY t FROM 'file';\nCOPY t TO STDOUT;\n"
    parts = list(read_statements_from(script.encode()))
    kinds = [part.kind for part in parts if isinstance(part, Statement)]
    assert kinds == [Kind.PLAIN, Kind.COPY_IN, Kind.PLAIN, Kind.PLAIN, Kind.PLAIN]
    assert copied(script) == data.encode()
    assert lines(script)[2] == 3 + rest.count("\n")


@pytest.mark.parametrize("end", ["", "\n", "\n\\.", "\n\\.\n"])
def test_the_end_of_the_file_ends_the_data_of_copy_too(end: str) -> None:
    assert copied(f"COPY t FROM STDIN;\n1\ta\n2\tb{end}").rstrip(b"\n") == b"1\ta\n2\tb"


def test_copy_at_the_very_end_has_no_data() -> None:
    assert [part.sql for part in read_statements_from(b"COPY t FROM STDIN;") if isinstance(part, Statement)] == [b"COPY t FROM STDIN;"]


@pytest.mark.parametrize("block", [10_000, 1_000_000])
def test_data_come_in_chunks_of_whole_lines(block: int) -> None:
    rows = b"".join(b"%d\t%s\n" % (number, b"x" * 100) for number in range(5000)) + b"9\t" + b"y" * 100_000 + b"\n"
    script = b"COPY t FROM STDIN;\n" + rows + b"\\.\n"
    chunks = [part.data for part in read_statements_from(script, block=block) if isinstance(part, CopyData)]
    assert b"".join(chunks) == rows
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert all(len(chunk) <= 64 * 1024 or chunk.count(b"\n") == 1 for chunk in chunks)


def big_script(path: Path, size: int) -> None:
    row = "INSERT INTO bench.events (id, name, note) VALUES (1, 'it''s; a name', E'line\\n'); -- x\n" * 1000
    with path.open("w") as file:
        while file.tell() < size:
            file.write(row)
            file.write("COPY bench.events FROM STDIN;\n" + "1\tname\t\\N\n" * 2000 + "\\.\n")


@pytest.mark.parametrize("size", [1_000_000, 6_000_000])
def test_memory_stays_flat_whatever_the_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "001_big.sql"
    big_script(path, size)
    list(read_statements_from(b"COPY t FROM STDIN;\n"))  # the parser is loaded before measuring
    tracemalloc.start()
    try:
        count = sum(1 for part in read_statements(path) if isinstance(part, Statement))
        shape = inspect(path, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (shape.statements, shape.transactional) == (count, True)
    assert count > size / 200
    assert peak < 3_000_000


def test_one_huge_statement_is_read_in_time_proportional_to_it() -> None:
    reads = 0
    asked = list[int]()
    script = b"INSERT INTO t VALUES " + b", ".join([b"(1, 'x', $1)"] * 300_000) + b";SELECT 1;"

    def read(size: int) -> bytes:
        nonlocal reads
        asked.append(size)
        reads += size
        return script[reads - size : reads]

    from dbmigration.migrations.lexer import Splitter

    assert [word for _, word, _ in Splitter(read, "x", block=1024).statements()] == [b"INSERT", b"SELECT"]
    assert len(asked) < 40  # doubling, not one block after the other


def test_a_file_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        list(read_statements(tmp_path / "001_a.sql"))
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "001_a.sql")


def hashes_of(script: str) -> Iterator[str]:
    current: StatementHash | None = None
    for part in read_statements_from(script.encode()):
        if isinstance(part, Statement):
            if current:
                yield current.hexdigest()
            current = StatementHash(part.sql)
        elif current:
            current.add(part.data)
    if current:
        yield current.hexdigest()


SCRIPT = "CREATE TABLE t (a int);\nCOPY t FROM STDIN;\n1\n2\n\\.\nVACUUM t;\nSELECT 1;\n"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("script", "same_up_to"),
    [
        (SCRIPT, 4),
        (SCRIPT.replace("\n", "\r\n"), 4),
        ("-- new comment\n" + SCRIPT, 4),
        (SCRIPT.replace("SELECT 1", "SELECT 2"), 3),
        (SCRIPT.replace("\n2\n", "\n3\n"), 1),
        (SCRIPT.replace("VACUUM t;\n", ""), 2),
        ("SELECT 0;\n" + SCRIPT, 0),
        ("CREATE TABLE t (a int);", 1),
        ("", 0),
    ],
)
def test_finished_statements_are_recognised_by_their_text_and_data(tmp_path: Path, script: str, same_up_to: int, count: int) -> None:
    path = tmp_path / "005_x.sql"
    path.write_bytes(script.encode())
    hashes = tuple(hashes_of(SCRIPT))[:count]
    assert finished_unchanged(path, hashes) is (count <= same_up_to)
