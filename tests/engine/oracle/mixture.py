"""Scripts made of everything that is hard about finding where a statement ends, in any order."""

from hypothesis import strategies as st

_WORDS = st.sampled_from(
    [
        ";",
        "'",
        '"',
        "--",
        "/*",
        "*/",
        "$$",
        "$x$",
        "\\",
        "\\.",
        "BEGIN",
        "END",
        "ATOMIC",
        "é",
        "表",
        " ",
        "\n",
        "\r\n",
        "\t",
        "(",
        ")",
        "E",
        "U&",
        "$1",
    ]
)
_TEXTS = st.lists(_WORDS, max_size=6).map("".join)
_NAMES = st.sampled_from(["a", "b$1", "größe", '"x;y"', '"q""q"', "begin_", '"END"', "e"])


def _escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _tagged(text: str) -> str:
    tag = next(tag for tag in ("$$", "$t$", "$tt$", "$é_1$", "$zz9$") if tag not in text + "$" and not text.endswith(tag[:-1]))
    return f"{tag}{text}{tag}"


_LITERALS = st.one_of(
    _TEXTS.map(lambda text: "'" + text.replace("'", "''") + "'"),
    _TEXTS.map(_escaped),
    _TEXTS.map(lambda text: _tagged(text.replace("$", "S"))),
    _TEXTS.map(lambda text: "U&'" + text.replace("\\", "\\\\").replace("'", "''") + "'"),
    st.sampled_from(
        ["1", "- -1", "2-1", "4/2", "NULL", "'a'\n'b'", "(1)", "(SELECT ';')", "CASE WHEN true THEN ';' END", "ARRAY[1]::text"]
    ),
)
_COMMENTS = st.one_of(
    _TEXTS.map(lambda text: "--" + text.replace("\n", "").replace("\r", "") + "\n"),
    _TEXTS.map(lambda text: "/*" + text.replace("*/", "").replace("/*", "").replace("*", "").replace("/", "") + "*/"),
    st.just("/* a /* ; */ ' */"),
)
_SPACE = st.one_of(st.sampled_from([" ", "\n", "\r\n", "\t", "  "]), _COMMENTS.map(lambda comment: f" {comment} "))

_SELECT = st.builds(lambda a, s, n, t: f"SELECT{s}{a}{t}AS {n}", _LITERALS, _SPACE, _NAMES, _SPACE)
_INSERT = st.builds(lambda a, s, b: f"INSERT INTO public.sink{s}VALUES (({a})::text, ({b})::text)", _LITERALS, _SPACE, _LITERALS)
_DO = _TEXTS.map(lambda text: "DO $do$ BEGIN PERFORM " + "'" + text.replace("'", "''") + "'; END $do$")
_FUNCTION = st.builds(
    lambda a, s: (
        f"CREATE OR REPLACE FUNCTION public.f() RETURNS text LANGUAGE sql{s}BEGIN ATOMIC SELECT ({a})::text;"
        " SELECT CASE 1 WHEN 1 THEN 'x' END; END"
    ),
    _LITERALS,
    _SPACE,
)
_EMPTY = st.sampled_from(["", " ", "/* ; */"])
_TRANSACTION = st.builds(
    lambda body, end: "BEGIN;\n" + "".join(f"{statement};\n" for statement in body) + end,
    st.lists(st.one_of(_SELECT, _INSERT), max_size=3),
    st.sampled_from(["COMMIT", "ROLLBACK", "END"]),
)
_VACUUM = st.just("VACUUM public.sink")

_CELLS = st.lists(st.sampled_from([";", "'", "$$", "--", "/*", "é", "x", "\\\\", "\\N", "\\t", "\\\\."]), min_size=1, max_size=4).map(
    "".join
)
_ROWS = st.lists(st.tuples(_CELLS, _CELLS).map("\t".join).filter(lambda row: "\\N" not in row or row == "\\N\t\\N"), max_size=4)
_COPY = st.builds(
    lambda rows, newline: "COPY public.sink FROM STDIN;" + newline + "".join(row + newline for row in rows) + "\\." + newline,
    _ROWS,
    st.sampled_from(["\n", "\r\n"]),
)


@st.composite
def scripts(draw: st.DrawFn) -> bytes:
    """A whole file, as bytes: with or without a BOM, with or without its last semicolon."""
    text = draw(st.sampled_from(["", "\ufeff"]))
    pieces = st.one_of(_SELECT, _INSERT, _DO, _FUNCTION, _EMPTY, _TRANSACTION, _VACUUM, _COPY)
    for piece in draw(st.lists(pieces, max_size=8)):
        text += draw(st.sampled_from(["", "\n", "-- note;\n", "/* ' */"])) if text else ""
        text += piece if piece.startswith("COPY") else f"{piece};" + draw(st.sampled_from(["", "\n", " -- after;\n", "\r\n"]))
    if draw(st.booleans()) and text.endswith(";"):
        text = text[:-1]
    return text.encode()
