"""The tokens that decide where a statement ends, as patterns over bytes (PostgreSQL manual 4.1, psql's psqlscan.l).

Every repetition is possessive: what does not match at the first try is left to the slow way, and no file can make a pattern backtrack. A
pattern never takes a token whose meaning the next block could still change.

A repeated choice is an atomic group inside the possessive repetition: Python before 3.11.5 (Debian 12 has 3.11.2) goes wrong on a
possessive repetition of anything that can itself backtrack.
"""

import re
from typing import Final

_WORD_CHAR = rb"A-Za-z0-9_$\x80-\xff"
_WORD = rb"[A-Za-z_\x80-\xff][" + _WORD_CHAR + rb"]*+"
_E_BEFORE = rb"[^" + _WORD_CHAR + rb"][eE]'"
_E_BODY = rb"(?:(?>[^'\\]++|\\[\s\S]|''))*+'"
_STRING = (
    rb"'(?:(?<!" + _E_BEFORE + rb")(?<!\A[eE]')[^']*+'"
    # The end of an E'' is only sure when what follows is known: another quote after a line break would go on with it.
    rb"|(?<=" + _E_BEFORE + rb")" + _E_BODY + rb"(?=\s*+[^\s']))"
)  # fmt: skip
_LINE_COMMENT = rb"--[^\n\r]*+[\n\r]"
_BLOCK_COMMENT = rb"/\*(?:(?>[^*/]++|\*(?!/)|/(?!\*)))*+\*/"
_PLAIN_ATOM = rb"[^'\"$\\/\-();]++|" + _STRING + rb"|\"[^\"]*+\"|\$(?=[0-9])|-(?=[^-])|/(?=[^*])"
_ATOM = _PLAIN_ATOM + rb"|" + _LINE_COMMENT + rb"|" + _BLOCK_COMMENT
_PARENS = rb"\((?:(?>" + _ATOM + rb"|;))*+\)"
for _ in range(3):
    _PARENS = rb"\((?:(?>" + _ATOM + rb"|;|" + _PARENS + rb"))*+\)"

LEAD: Final = re.compile(rb"(?:(?>[\s;]++|" + _LINE_COMMENT + rb"|" + _BLOCK_COMMENT + rb"))*+")
SIMPLE: Final = re.compile(LEAD.pattern + rb"((" + _WORD + rb")(?:(?>" + _ATOM + rb"|" + _PARENS + rb"))*+;)")
RUN: Final = re.compile(rb"\s*+((?:(?>" + _PLAIN_ATOM + rb"|" + _PARENS + rb"))++)?")
WORDLESS_RUN: Final = re.compile(rb"\s*+([^'\"$\\/\-();A-Za-z_\x80-\xff\s]++)?")
FIRST_WORD: Final = re.compile(_WORD)
DOLLAR: Final = re.compile(rb"\$(?>(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?)\$")
DOLLAR_BEGUN: Final = re.compile(rb"\$(?>(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?)\Z")
PLAIN_STRING: Final = re.compile(rb"'[^']*+(?:''[^']*+)*+'")
E_STRING: Final = re.compile(rb"'" + _E_BODY + rb"(?:[ \t\f\v]*+[\n\r]\s*+'" + _E_BODY + rb")*+")
E_PREFIX: Final = re.compile(rb"(?:\A|[^" + _WORD_CHAR + rb"])[eE]\Z")
COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")
NO_SPACE: Final = re.compile(rb"\S")
LINE_END: Final = re.compile(rb"[\n\r]")
ATOMIC: Final = re.compile(rb"\batomic\b", re.IGNORECASE)
COPY_END: Final = re.compile(rb"^\\\.\r?(?:\n|\Z)", re.MULTILINE)
