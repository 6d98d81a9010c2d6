"""What becomes of a hit: its severity by the size of the table, and what the set's people have decided about it."""

from collections.abc import Iterable, Sequence

from dbmigration.lint.catalog import Size
from dbmigration.lint.comments import Ignore
from dbmigration.lint.finding import Finding, Severity
from dbmigration.lint.registry import BY_NAME, INVALID_IGNORE, UNUSED_IGNORE
from dbmigration.lint.rule import Hit, Rule
from dbmigration.lint.rules import files
from dbmigration.migrations.digest import CONFIG_NAME
from dbmigration.migrations.model import LintChoice

_CATCH_ALL = files.not_runnable.name
"""Says what the runner would refuse, where no other rule has said it better."""
_UNSPOKEN = (INVALID_IGNORE.name, UNUSED_IGNORE.name)


def severity_of(rule: Rule, hit: Hit, size: Size | None) -> Severity:
    """`size` of the table that the hit names, None when it names none or there is no database.

    A table that the database does not have yet is made in the same run: nobody waits for it. For rules about the time that a table takes, a
    small one makes a note of it and a large one an error.
    """
    severity = hit.severity or rule.severity
    if size is Size.ABSENT:
        return Severity.NOTE
    by_size = rule.by_size and hit.by_size
    if by_size and size is Size.SMALL:
        return Severity.NOTE
    return Severity.ERROR if by_size and size is Size.LARGE else severity


class Policy:
    """Takes findings, leaves out what an ignore covers, moves what dbmigration.toml moves, and says which ignores were of no use.

    `linted`: the names of all scripts that are looked at.
    """

    def __init__(self, choices: Sequence[LintChoice], linted: Sequence[str]) -> None:
        self._choices = choices
        self._linted = frozenset(linted)
        self._used = set[int]()
        self._ignores = dict[str, list[Ignore]]()
        self._found = dict[tuple[str, str, int | None, str], Finding]()

    def take_ignores(self, file: str, ignores: Sequence[Ignore]) -> None:
        """A file may have two scripts in it."""
        self._ignores.setdefault(file, []).extend(ignores)

    def add(self, finding: Finding) -> None:
        if finding.rule in _UNSPOKEN:
            self._found.setdefault((finding.file, finding.rule, finding.line, finding.message), finding)
            return
        ignored = False
        for ignore in self._ignores.get(finding.file, ()):
            if not ignore.problem and ignore.rule == finding.rule and _covers(ignore, finding.line):
                ignore.used = ignored = True
        severity: Severity | None = finding.severity
        for number, choice in enumerate(self._choices):
            if choice.rule == finding.rule and (not choice.files or finding.file in choice.files):
                self._used.add(number)
                severity = None if choice.severity == "off" else Severity[choice.severity.upper()]
        if ignored or severity is None:
            return
        moved = Finding(finding.rule, severity, finding.file, finding.line, finding.message, finding.table)
        self._found.setdefault((finding.file, finding.rule, finding.line, finding.message), moved)

    def findings(self) -> tuple[Finding, ...]:
        """By file and line, worst first on the same line."""
        for finding in (*self._bad_ignores(), *self._bad_choices()):
            self.add(finding)
        clearer = {(f.file, f.line) for f in self._found.values() if f.severity is Severity.ERROR and f.rule != _CATCH_ALL}
        said = [f for f in self._found.values() if f.rule != _CATCH_ALL or (f.file, f.line) not in clearer]
        return tuple(sorted(said, key=lambda f: (_order(f.file), f.line or 0, -f.severity, f.rule)))

    def _bad_ignores(self) -> Iterable[Finding]:
        for file, ignores in self._ignores.items():
            for ignore in ignores:
                problem = ignore.problem or _unknown(ignore.rule)
                if problem:
                    yield _finding(INVALID_IGNORE, file, ignore.line, f"this ignore {problem}")
                elif not ignore.used:
                    yield _finding(
                        UNUSED_IGNORE, file, ignore.line, f"nothing here needs an ignore of {ignore.rule} any more: take it away"
                    )

    def _bad_choices(self) -> Iterable[Finding]:
        for number, choice in enumerate(self._choices):
            if problem := _unknown(choice.rule):
                yield _finding(INVALID_IGNORE, CONFIG_NAME, None, f"this choice of [[lint.rules]] {problem}")
            elif number not in self._used and choice.files and self._linted.issuperset(choice.files):
                files = ", ".join(choice.files)
                yield _finding(UNUSED_IGNORE, CONFIG_NAME, None, f"nothing in {files} needs the choice about {choice.rule}: take it away")


def _covers(ignore: Ignore, line: int | None) -> bool:
    """What is about a whole file is ignored from anywhere in it."""
    return ignore.lines is None or line is None or ignore.lines[0] <= line <= ignore.lines[1]


def _unknown(rule: str) -> str:
    if rule in _UNSPOKEN:
        return f"is about {rule}, which cannot be ignored"
    return "" if rule in BY_NAME else f"names {rule}, which is no rule: docs/lint.md lists them"


def _finding(rule: Rule, file: str, line: int | None, message: str) -> Finding:
    return Finding(rule.name, rule.severity, file, line, message)


def _order(file: str) -> tuple[int, int, str]:
    """A migration, then its rollback and verify script; what is not about a file of the set, first."""
    digits = "".join(character for character in file.removeprefix("rollback-").removeprefix("verify-").split("_")[0] if character.isdigit())
    return (int(digits) if digits else -1, 0 if file[:1].isdigit() else 1, file)
