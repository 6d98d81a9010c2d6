"""Our splitter against PostgreSQL's own scanner and parser, and against itself with blocks of every size."""

import io

import postgast
import pytest
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.lexer import Splitter
from dbmigration.migrations.script import read_statements_from
from dbmigration.migrations.statements import Statement

COMMENTS = {postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT}
TEXT = st.text(alphabet="ab;'\"$\\-/*()é \n", max_size=8)


def doubled(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


def plain_string(text: str) -> str:
    return doubled(text, "'")


def escape_string(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def dollar_quoted(text: str, tag: str) -> str:
    return f"${tag}$" + text.replace("$", "") + f"${tag}$"


def nested_comment(text: str) -> str:
    return "/* a /* " + text.replace("*", "").replace("/", "") + " */ ; ' */"


LITERALS = st.one_of(
    TEXT.map(plain_string),
    TEXT.map(escape_string),
    TEXT.map(lambda text: "e" + plain_string(text.replace("\\", ""))),
    TEXT.map(lambda text: "U&" + plain_string(text.replace("\\", ""))),
    st.builds(dollar_quoted, TEXT, st.sampled_from(["", "tag", "t1", "_é"])),
    st.sampled_from(
        ["1", "1.5e-3", "-2", "- -2", "NULL", "b'01'", "x'ff'", "date '2025-01-01'", "'a'\n'b;'", "E'a'\n 'b\\';'", "4/2", "2*3"]
    ),
    TEXT.map(nested_comment).map(lambda comment: f"{comment} 1"),
    st.just("-- ; '\n 1"),
    TEXT.filter(lambda text: text.strip() != "").map(lambda text: "1 AS " + doubled(text, '"')),
    st.sampled_from(["1 AS a$b$c", "1 AS é$x$", "(((((1)))))", "((((((';')))))))"[:-1], "CASE WHEN true THEN 1 END", "ARRAY[1, 2]"]),
)
SELECTS = st.lists(LITERALS, min_size=1, max_size=4).map(lambda values: "SELECT " + ", ".join(values))
BODIES = st.sampled_from(
    [
        "SELECT CASE WHEN 1 = 1 THEN 2 END;",
        "SELECT 1; SELECT CASE 1 WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END;",
        "SELECT (CASE WHEN true THEN ';' END);",
        "SELECT ';', $$end;$$, 1 AS \"end\"; INSERT INTO t VALUES (1);",
        "/* END; */ SELECT 1 -- END;\n;",
        "SELECT t.end FROM t; SELECT 1 AS end; SELECT 2;",
        "",
    ]
)
ROUTINES = st.builds(
    "CREATE {}{} f(a int DEFAULT 1){} {} BEGIN {}ATOMIC {} END".format,
    st.sampled_from(["", "OR REPLACE ", "or /* x */ replace "]),
    st.just("FUNCTION"),
    st.just(" RETURNS int"),
    st.sampled_from(["LANGUAGE sql", "IMMUTABLE LANGUAGE SQL SET search_path = ''"]),
    st.sampled_from(["", "/* ; */ ", "-- ;\n "]),
    BODIES,
)
OTHERS = st.sampled_from(
    [
        "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v; )",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN $q$;$q$; END; $f$",
        "DO $$ BEGIN PERFORM 'it''s; '; END $$",
        "PREPARE p AS SELECT $1, a$1 FROM t",
        "CREATE TABLE t (a int, \"b;\" text DEFAULT ';')",
        "COMMENT ON TABLE t IS 'atomic; begin atomic'",
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, E'y\\'; z')",
        "SELECT 2-1, 3 --;\n, 4/*;*/",
        "CREATE PROCEDURE p(x int) BEGIN ATOMIC INSERT INTO t VALUES (x); END",
    ]
)
STATEMENTS = st.one_of(SELECTS, SELECTS, ROUTINES, OTHERS)
GAPS = st.sampled_from([";", "; ", ";\n", " ;\r\n", ";; ;", "; -- a ; comment\n", ";/* a ; /* b */ */", "; --\r\n", " -- before\n;"])
SCRIPTS = st.lists(st.tuples(STATEMENTS, GAPS), max_size=5).map(lambda parts: "".join(text + gap for text, gap in parts))
UNFINISHED = st.sampled_from(
    ["", "SELECT 1", "SELECT 1 -- last", "-- only a comment", "/* only */", "SELECT '--' /* x */ -- y\n", "  \n\t"]
)
QUOTES = ["'", "''", '"', "$$", "$a$", "E'", "U&'", "N'", "\\'", "--", "/*", "*/"]
SPACES = ["\n", "\r", "\r\n", " "]
WORDS = ["e", "x", "b", "é", "a$b$", "_$$"]
ROUTINE_WORDS = ["begin", " atomic ", "create ", "function ", "case ", "end"]
SOUP = st.lists(
    st.sampled_from(
        [
            *QUOTES,
            *SPACES,
            *WORDS,
            *ROUTINE_WORDS,
            ";",
            "(",
            ")",
            "1",
            "$1",
            "-",
            "/",
            "*",
            "copy t from stdin;\n",
            "\\.\n",
            "\\restrict x\n",
        ]
    ),
    max_size=25,
).map("".join)
SCANNED = st.lists(
    st.sampled_from([*QUOTES, *SPACES, *WORDS, "; select ", ";select ", "(1; select ';select ')", " 1 ", " $1 ", "-", "/", "*", "\\\\"]),
    max_size=14,
).map(lambda pieces: "select " + "".join(pieces).replace("$E'", "$ E'").replace("$e'", "$ e'"))
"""What the scanner takes for statements: it counts only what holds a keyword, and a stray parenthesis confuses it.
An E'' that follows a dollar quote without a space is no SQL in any place, and left out."""


def ours(script: str, block: int = 1 << 18) -> list[str]:
    return [part.sql.decode() for part in read_statements_from(script.encode(), block=block) if isinstance(part, Statement)]


def without_comments(statement: str) -> str:
    """The tokens of a statement, as PostgreSQL's scanner finds them."""
    raw = statement.encode()
    tokens = [raw[token.start : token.end].decode() for token in postgast.scan(statement).tokens if token.token not in COMMENTS]
    return " ".join(tokens[:-1] if tokens and tokens[-1] == ";" else tokens)


def outcome(script: str, block: int) -> object:
    """All that a reader of the script sees, or the error it gets. Where COPY data are cut into chunks depends on the blocks."""
    seen = list[Statement | bytes]()
    try:
        for part in read_statements_from(script.encode(), block=block):
            if isinstance(part, Statement):
                seen.append(part)
            elif isinstance(seen[-1], bytes):
                seen[-1] += part.data
            else:
                seen.append(part.data)
        return seen
    except Permanent as error:
        return (error.reason, error.place.line, error.message)


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, UNFINISHED)
def test_statements_are_cut_where_the_parser_cuts_them(script: str, rest: str) -> None:
    text = script + rest
    assert [without_comments(one) for one in ours(text)] == [without_comments(one) for one in postgast.split(text)]


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, UNFINISHED)
def test_statements_hold_no_space_or_comment_at_their_ends(script: str, rest: str) -> None:
    for statement in ours(script + rest):
        tokens = postgast.scan(statement).tokens
        assert (tokens[0].start, tokens[-1].end) == (0, len(statement.encode()))
        assert not {tokens[0].token, tokens[-1].token} & COMMENTS


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(SCANNED)
@example("select $$$$_$$; select 1")
@example("select a$$; select 1")
def test_tokens_in_any_order_are_cut_where_the_scanner_cuts_them(script: str) -> None:
    try:
        theirs = postgast.split(script, method="scanner")
    except postgast.PgQueryError:
        reject()
    if isinstance(seen := outcome(script, 1 << 18), tuple):
        assert seen[0] is Reason.META_COMMAND
        assert "\\" in script
        return
    mine = ours(script)
    assert [without_comments(one) for one in mine] == [tokens for one in theirs if (tokens := without_comments(one))]


@settings(max_examples=150, deadline=None)
@given(st.one_of(SOUP, st.builds(str.__add__, SCRIPTS, SOUP)), st.integers(1, 40))
@example("SELECT E'a'\n'b\\';c'; SELECT 1", 1)
@example("SELECT 1 -", 1)
@example("SELECT '';E'\\''''\"", 1)
@example("\ufeffSELECT 1", 1)
@example("copy t from stdin;\na\n\\.", 1)
@example("copy t from stdin;\na\n\\.x\n\\.\r\nselect 1", 2)
def test_blocks_of_any_size_give_the_same(script: str, block: int) -> None:
    assert outcome(script, block) == outcome(script, 1 << 18)


@settings(max_examples=100, deadline=None)
@given(SCRIPTS)
def test_lines_are_those_of_the_first_words(script: str) -> None:
    lines = script.split("\n")
    for line, word, sql in Splitter(io.BytesIO(script.encode()).read, "x").statements():
        first = sql.split(b"\n")[0].rstrip(b"\r").decode()
        assert first in "\n".join(lines[line - 1 :]).split("\n")[0]
        assert sql.startswith(word)


@pytest.mark.parametrize("script", ["", ";", ";;\n;", "-- nothing\n", "/* nothing */", "\ufeff", "\ufeff-- x"])
def test_scripts_without_a_statement_give_none(script: str) -> None:
    assert ours(script) == []
