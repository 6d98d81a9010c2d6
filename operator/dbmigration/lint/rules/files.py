"""What the house rules ask of a file beside its SQL."""

import re
from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.finding import Severity
from dbmigration.lint.rule import ALL_ROLES, NO_VERIFY, Hit, ScriptView, operation_rule, script_rule
from dbmigration.migrations.layout import Layout
from dbmigration.migrations.mask import mask_literals

_SNAKE = re.compile(r"\d{3,}_[a-z0-9]+(?:_[a-z0-9]+)*\.sql")
_FIELDS = ("Migration", "Purpose", "Dependencies", "Rollback")
_LONG_NAME = re.compile(rb"[A-Za-z_\x80-\xff][\w$\x80-\xff]{63,}")
_QUOTED_OR_PLAIN = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')
_NAME_BYTES = 63


@script_rule(Severity.WARNING, "A migration without its rollback script")
def missing_rollback(view: ScriptView) -> Iterator[Hit]:
    if view.file.rollback is None:
        yield Hit(f"there is no {view.file.rollback_name}: a failed release can only go back by restoring the backup")


@script_rule(Severity.WARNING, "A header without one of its parts")
def missing_header(view: ScriptView) -> Iterator[Hit]:
    if view.file.layout is not Layout.NUMBERED:
        return  # another tool's files have no header of ours
    missing = [field for field in _FIELDS if not view.script.has_field(field)]
    if missing:
        yield Hit(f"the header does not say {', '.join(missing)}: `dbmigration new` writes the template")


@script_rule(Severity.NOTE, "A file name that is not NNN_descriptive_name_in_snake_case.sql")
def file_name_style(view: ScriptView) -> Iterator[Hit]:
    if view.file.layout is Layout.NUMBERED and not _SNAKE.fullmatch(view.file.name):
        yield Hit("the name is not in lower-case snake_case: NNN_descriptive_name_in_snake_case.sql")


@script_rule(Severity.WARNING, "A script without a statement", roles=ALL_ROLES)
def empty_migration(view: ScriptView) -> Iterator[Hit]:
    if view.script.count == 0 and view.script.refused is None:
        yield Hit("there is no statement in it")


@script_rule(Severity.ERROR, "What PostgreSQL's parser does not understand", roles=ALL_ROLES)
def syntax_error(view: ScriptView) -> Iterator[Hit]:
    for statement in view.script.statements:
        if statement.problem is not None:
            message, at = statement.problem
            yield Hit(f"{_without_values(message)} (by the grammar of PostgreSQL 18){_placeholder(message)}", line=statement.line_at(at))


@script_rule(Severity.ERROR, "What cannot be run in any way", roles=ALL_ROLES)
def not_runnable(view: ScriptView) -> Iterator[Hit]:
    if view.script.refused is not None:
        yield Hit(view.script.refused.message, line=view.script.refused.place.line)


@script_rule(Severity.WARNING, "A name of more than 63 bytes", roles=NO_VERIFY)
def identifier_too_long(view: ScriptView) -> Iterator[Hit]:
    for statement in view.script.statements:
        if not statement.operations or statement.word == b"INSERT" or not _LONG_NAME.search(statement.sql):
            continue
        for match in _QUOTED_OR_PLAIN.finditer(mask_literals(statement.sql.decode("utf-8", "replace"), limit=None)):
            name = match[1] or match[2]
            if len(name.encode()) > _NAME_BYTES:
                at = statement.sql.find(name.encode())
                yield Hit(f"PostgreSQL cuts {name} to its first {_NAME_BYTES} bytes without an error", line=statement.line_at(max(at, 0)))


@operation_rule(Severity.ERROR, "A password stands in the file", op.Password, roles=ALL_ROLES)
def password_in_file(password: op.Password, _: Context) -> Iterator[Hit]:
    yield Hit(f"{password.what} is in the repository, in its backups and in the server's log from now on: set it outside of the migrations")


_SHOWN = re.compile(r"""at or near "(?:[^\W\d][\w$]*|[^\w\s'"$]+)"$""")
_PLACEHOLDER = re.compile(r"""at or near "(?:[:{}%<@?]|\$\{)""")


def _without_values(message: str) -> str:
    """The parser quotes what it stumbled over, which may be a literal with a value in it. A word or a sign is none."""
    return message if _SHOWN.search(message) else re.sub(r'(at or near )"[^\n]*', r"\1a value", message)


def _placeholder(message: str) -> str:
    """What templates and psql's variables begin with is in hardly any other place a syntax error."""
    return ". A placeholder? Nothing is replaced in a file: write out what it stands for" if _PLACEHOLDER.search(message) else ""
