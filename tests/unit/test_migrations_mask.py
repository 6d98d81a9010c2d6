"""What of a statement may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.migrations.mask import LIMIT, mask_literals


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("INSERT INTO t VALUES (1, 'tok''en', NULL);", "INSERT INTO t VALUES (0, '***', NULL);"),
        ("SELECT  1.5e-3,\n\t-2 , .5, 0xFF, 1_000", "SELECT 0, -0 , 0, 0, 0"),
        ("SELECT E'a\\'b', e'x', U&'y', b'01', X'ff', N'n'", "SELECT '***', '***', '***', '***', '***', '***'"),
        ("DO $x$ secret $y$ $x$ LANGUAGE sql", "DO '***' LANGUAGE sql"),
        ('SELECT $$a$$, $1, col1, t2."Col 3", a$b$c', "SELECT '***', $1, col1, t2.\"Col 3\", a$b$c"),
        ("SELECT 1 -- secret\n, /* secret /* x */ 2", "SELECT 0 , 0"),
        ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD '***'"),
        ("  SELECT 'a' ;  ", "SELECT '***' ;"),
        ("SELEC 'a", "SELEC '***'"),
        ("SELECT $tag$ never ended", "SELECT '***'"),
        ("SELECT 'C:\\', 'secret'", "SELECT '***', '***'"),
        ("INSERT INTO é VALUES ('ü')", "INSERT INTO é VALUES ('***')"),
        ("", ""),
    ],
)
def test_literals_are_replaced_and_names_kept(sql: str, shown: str) -> None:
    assert mask_literals(sql) == shown


def test_a_long_statement_is_cut_to_the_limit() -> None:
    masked = mask_literals("INSERT INTO t VALUES " + ", ".join(f"({number}, 'x')" for number in range(100_000)))
    assert len(masked) == LIMIT
    assert masked.startswith("INSERT INTO t VALUES (0, '***'), (0, '***')")


@given(st.lists(st.sampled_from(["'", "''", "\\", "$$", "$a$", "E'", '"', "(", "--", "/*", "*/", "\n", " ", "x", "1", "$1"])))
def test_no_text_takes_long_or_breaks_the_limit(pieces: list[str]) -> None:
    masked = mask_literals("".join(pieces) * 50)
    assert len(masked) <= LIMIT
    assert "\n" not in masked


@given(st.text(max_size=20), st.sampled_from(["'{}'", "E'{}'", "$q${}$q$", "U&'{}'", "'{}"]))
def test_the_content_of_a_string_never_shows(content: str, form: str) -> None:
    escaped = content.replace("\\", "").replace("'", "").replace("$", "")
    assert mask_literals(f"SELECT {form.format(escaped)}") == "SELECT '***'"
