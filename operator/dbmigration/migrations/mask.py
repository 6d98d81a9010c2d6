"""A statement as it may be shown: without its values.

Works on text, not on a parse tree: what failed may not be SQL at all.
"""

import re
from typing import Final

LIMIT: Final = 200
"""Characters of a statement that a report, a status or a log holds."""

_TOKEN: Final = re.compile(
    r"""
      (?P<space>  (?: \s | --[^\n\r]* | /\*(?:[^*]|\*(?!/))*(?:\*/|\Z) )+ )
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
                | (?:[nNbBxX]|[uU]&)?'(?:[^']|'')*(?:'|\Z)
                | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<number> (?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?(?:[xob][0-9A-Fa-f_]+)? )
    | (?P<kept>   "(?:[^"]|"")*(?:"|\Z) | \$\d+ | [^\W\d][\w$]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)


def mask_literals(sql: str, *, limit: int | None = LIMIT) -> str:
    """The statement on one line with '***' for each string and 0 for each number, comments left out, cut to `limit` characters.

    Quoted names are kept: they are no values. An unfinished string, as in a statement that was cut, is masked to its end.
    """
    parts = list[str]()
    length = 0
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup
        if kind == "space":
            part = " " if parts and parts[-1] != " " else ""
        elif kind == "number":
            part = "0"
        elif kind == "kept":
            part = re.sub(r"\s+", " ", token[0])
        else:
            part = "'***'"
        if part:
            parts.append(part)
            length += len(part)
        if limit is not None and length > limit:
            break
    text = "".join(parts).strip()
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"
