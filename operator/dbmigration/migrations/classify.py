"""What a single statement means to whoever runs it: can it share a transaction, does it change the session, do data follow.

The parse tree decides, never a word: CONCURRENTLY in a comment, in a body or after REFRESH MATERIALIZED VIEW is no reason. Parsing is
kept for the few statements whose words make it worth it. What the parser (PostgreSQL 18's grammar) does not know, a newer server may:
then the words outside of literals and comments decide, and the server is the judge of the rest.

Where the rules come from: the callers of PreventInTransactionBlock in PostgreSQL's source, which the manual repeats on each command's page.
"""

import re
from typing import Final, NamedTuple

from dbmigration.migrations import tree
from dbmigration.migrations.mask import mask_literals
from dbmigration.migrations.statements import Kind


class Verdict(NamedTuple):
    """`what`: the command in words, where `kind` needs a reason. `certain` False: a reasoned guess, which the header overrules."""

    kind: Kind
    what: str = ""
    certain: bool = True


_PLAIN: Final = Verdict(Kind.PLAIN)
_COPY_IN: Final = Verdict(Kind.COPY_IN)
_SESSION: Final = Verdict(Kind.SESSION)
_TEMPORARY: Final = Verdict(Kind.TEMPORARY)

_ALWAYS_PLAIN: Final = (
    b"INSERT UPDATE DELETE MERGE COMMENT GRANT REVOKE ANALYZE ANALYSE TRUNCATE SAVEPOINT RELEASE NOTIFY SECURITY CHECKPOINT EXECUTE"
    b" EXPLAIN FETCH MOVE CLOSE REASSIGN IMPORT TABLE CALL REFRESH SHOW"
).split()
PLAIN_WORDS: Final = frozenset([*_ALWAYS_PLAIN, *(word.lower() for word in _ALWAYS_PLAIN)])
"""First words, in the two usual spellings, that need no further look."""

_WORTH_PARSING: Final = {
    b"CREATE": re.compile(rb"\b(?:concurrently|temp|temporary|pg_temp|database|tablespace|subscription)\b", re.IGNORECASE),
    b"DROP": re.compile(rb"\b(?:concurrently|database|tablespace|subscription)\b", re.IGNORECASE),
    b"ALTER": re.compile(rb"\b(?:concurrently|system|database|subscription)\b", re.IGNORECASE),
    b"SELECT": re.compile(rb"\bset_config\b|\binto\b[^;]*\btemp", re.IGNORECASE),
    b"DO": re.compile(rb"\b(?:commit|rollback)\b", re.IGNORECASE),
    b"REINDEX": re.compile(rb""),
    b"CLUSTER": re.compile(rb""),
    b"VACUUM": re.compile(rb""),
    b"COPY": re.compile(rb"\bstdin\b", re.IGNORECASE),
}
for _word in (b"WITH", b"VALUES", b""):
    _WORTH_PARSING[_word] = _WORTH_PARSING[b"SELECT"]

_SIMPLE_COPY_IN: Final = re.compile(
    rb"copy\s++[\w.\x80-\xff]++\s*+(?:\([\w\s,\x80-\xff]*+\)\s*+)?from\s++stdin\b\s*+(?:(?:with\s*+)?(?:csv\b|\([\w\s,]*+\))\s*+)?;?",
    re.IGNORECASE,
)
"""What pg_dump and most people write. No other statement of SQL looks like it, so nothing has to be parsed, nor the parser loaded."""

_TRANSACTION_ENDS_IN_BODY: Final = re.compile(r"(?:^|;|\b(?:begin|then|else|loop)\b)\s*(commit|rollback)\b(?!\s+to\b)", re.IGNORECASE)

_BY_WORDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), verdict)
    for pattern, verdict in (
        (r"copy\b.*\bfrom stdin\b", _COPY_IN),
        (r"create (?:unique )?index concurrently\b", Verdict(Kind.NO_TRANSACTION, "CREATE INDEX CONCURRENTLY")),
        (r"drop index concurrently\b", Verdict(Kind.NO_TRANSACTION, "DROP INDEX CONCURRENTLY")),
        (r"alter table\b.*\bdetach partition\b.*\bconcurrently\b", Verdict(Kind.NO_TRANSACTION, "DETACH PARTITION CONCURRENTLY")),
        (r"reindex\b.*\b(?:concurrently|schema|database|system)\b", Verdict(Kind.NO_TRANSACTION, "REINDEX")),
        (r"(?:create|drop) (?:database|tablespace)\b", Verdict(Kind.NO_TRANSACTION, "CREATE or DROP DATABASE or TABLESPACE")),
        (r"alter system\b", Verdict(Kind.NO_TRANSACTION, "ALTER SYSTEM")),
        (r"vacuum\b", Verdict(Kind.NO_TRANSACTION, "VACUUM")),
        (r"create (?:or replace )?(?:local |global )?temp(?:orary)?\b", _TEMPORARY),
    )
)


def classify(word: bytes, sql: bytes) -> Verdict:
    """`word` is the statement's first, as written; b"" when it begins with something else."""
    upper = word.upper()
    worth = _WORTH_PARSING.get(upper)
    if worth is not None:
        if upper == b"COPY" and _SIMPLE_COPY_IN.fullmatch(sql):
            return _COPY_IN
        return _by_tree(sql) if worth.search(sql) else _PLAIN
    by_word = _BY_FIRST_WORD.get(upper)
    return by_word(sql) if by_word is not None else _FIXED.get(upper, _PLAIN)


def _by_tree(sql: bytes) -> Verdict:
    node = tree.parse_one(sql)
    if node is None:
        text = mask_literals(sql.decode("utf-8", "replace"), limit=None)
        return next((verdict for pattern, verdict in _BY_WORDS if pattern.match(text)), _PLAIN)
    forbidden = tree.refused_in_transaction(node)
    if forbidden:
        return Verdict(Kind.NO_TRANSACTION, forbidden)
    if tree.is_copy_from_stdin(node):
        return Verdict(Kind.COPY_IN)
    body = tree.do_body(node)
    if body is not None:
        return _of_do(body)
    if tree.makes_temporary(node):
        return _TEMPORARY
    return _SESSION if tree.calls(node, "set_config") else _PLAIN


def _of_do(body: str) -> Verdict:
    """A COMMIT in the body of DO fails in a transaction block, but whether it is reached is not known: a guess."""
    found = _TRANSACTION_ENDS_IN_BODY.search(mask_literals(body, limit=None))
    return Verdict(Kind.NO_TRANSACTION, f"DO with {found[1].upper()} in its body", certain=False) if found else _PLAIN


def _of_set(sql: bytes) -> Verdict:
    return _PLAIN if re.match(rb"set\s+(?:local|transaction|constraints)\b", sql, re.IGNORECASE) else _SESSION


def _of_rollback(sql: bytes) -> Verdict:
    if re.match(rb"\w+\s+prepared\b", sql, re.IGNORECASE):
        return Verdict(Kind.NO_TRANSACTION, "ROLLBACK PREPARED")
    savepoint = re.match(rb"\w+\s+(?:(?:work|transaction)\s+)?to\b", sql, re.IGNORECASE)
    return _PLAIN if savepoint else Verdict(Kind.ROLLBACK, "ROLLBACK")


def _of_commit(sql: bytes) -> Verdict:
    if re.match(rb"\w+\s+prepared\b", sql, re.IGNORECASE):
        return Verdict(Kind.NO_TRANSACTION, "COMMIT PREPARED")
    return Verdict(Kind.COMMIT, "COMMIT")


def _of_prepare(sql: bytes) -> Verdict:
    return Verdict(Kind.COMMIT, "PREPARE TRANSACTION") if re.match(rb"\w+\s+transaction\b", sql, re.IGNORECASE) else _TEMPORARY


def _of_discard(sql: bytes) -> Verdict:
    return Verdict(Kind.NO_TRANSACTION, "DISCARD ALL") if re.match(rb"\w+\s+all\b", sql, re.IGNORECASE) else _SESSION


_FIXED: Final = {
    b"BEGIN": Verdict(Kind.BEGIN, "BEGIN"),
    b"START": Verdict(Kind.BEGIN, "START TRANSACTION"),
    b"RESET": _SESSION,
    b"LISTEN": _SESSION,
    b"UNLISTEN": _SESSION,
    b"LOAD": _SESSION,
    b"DEALLOCATE": _TEMPORARY,
    b"DECLARE": _TEMPORARY,
}

_BY_FIRST_WORD: Final = {
    b"COMMIT": _of_commit,
    b"END": _of_commit,
    b"ROLLBACK": _of_rollback,
    b"ABORT": _of_rollback,
    b"PREPARE": _of_prepare,
    b"SET": _of_set,
    b"DISCARD": _of_discard,
}
