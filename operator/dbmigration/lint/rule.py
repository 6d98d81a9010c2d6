"""A rule: one function, one name, one page of docs/rules.

Three kinds, by what they are asked about: an operation of a statement, with the set as it is just before; a script as a whole; or the set
as it is after its last file. Each yields hits and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from dbmigration.lint.context import Context
from dbmigration.lint.finding import Severity
from dbmigration.lint.model import Model
from dbmigration.lint.names import Relation
from dbmigration.lint.operations import Operation
from dbmigration.lint.script import Role, Script
from dbmigration.migrations.model import MigrationFile


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule found. `at`: the offset in bytes in the statement (None: the operation's own); `line`: for rules about scripts, None: the
    whole file. `severity` None: the rule's own. `table`: by whose size the severity moves, if the rule is about that;
    `by_size` False: not even then. A table that the same run makes is a note in any case. `once`: of several hits of a script with
    the same words here, the first is enough.
    """

    message: str
    at: int | None = None
    line: int | None = None
    severity: Severity | None = None
    table: Relation | None = None
    once: str = ""
    by_size: bool = True


@dataclass(frozen=True, slots=True)
class ScriptView:
    """What a rule about a script looks at. `files`: the whole set, by name. `needs`: the earlier files whose objects it uses, with (line,
    object) of the first use.
    """

    script: Script
    file: MigrationFile
    files: Mapping[str, MigrationFile]
    needs: dict[str, tuple[int, str]] = field(default_factory=dict)


class Kind(Enum):
    OPERATION = "operation"
    SCRIPT = "script"
    SET = "set"
    SOURCE = "source"
    """Found where files and comments are read, not by a function of its own."""


ALL_ROLES: Final = (Role.MIGRATION, Role.ROLLBACK, Role.VERIFY, Role.SEED)
NO_VERIFY: Final = (Role.MIGRATION, Role.ROLLBACK)


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is also its page's: docs/rules/<name>.md. `by_size`: a small table makes it a note, a large one an error."""

    name: str
    severity: Severity
    summary: str
    kind: Kind
    check: Callable[..., Iterable[Any]]
    on: tuple[type[Operation], ...] = ()
    roles: tuple[Role, ...] = (Role.MIGRATION,)
    by_size: bool = False


OperationCheck = Callable[[Any, Context], Iterable[Hit]]


def operation_rule(
    severity: Severity,
    summary: str,
    *on: type[Operation],
    roles: tuple[Role, ...] = (Role.MIGRATION,),
    by_size: bool = False,
) -> Callable[[OperationCheck], Rule]:
    """A rule about operations of the types `on`: `check(operation, context)`."""
    return lambda check: Rule(_name(check), severity, summary, Kind.OPERATION, check, on, roles, by_size)


def script_rule(
    severity: Severity, summary: str, *, roles: tuple[Role, ...] = (Role.MIGRATION,)
) -> Callable[[Callable[[ScriptView], Iterable[Hit]]], Rule]:
    """A rule about a script as a whole: `check(view)`."""
    return lambda check: Rule(_name(check), severity, summary, Kind.SCRIPT, check, roles=roles)


def set_rule(severity: Severity, summary: str) -> Callable[[Callable[[Model], Iterable[tuple[str, Hit]]]], Rule]:
    """A rule about what the set leaves behind: `check(model after the last file)` yields (file, hit)."""
    return lambda check: Rule(_name(check), severity, summary, Kind.SET, check)


def source_rule(name: str, severity: Severity, summary: str) -> Rule:
    """A rule that is checked where files, settings and comments are read."""
    return Rule(name, severity, summary, Kind.SOURCE, lambda: ())


def _name(check: Callable[..., object]) -> str:
    return check.__name__.replace("_", "-")
