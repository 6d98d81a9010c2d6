"""What lint says: a finding, and how bad it is."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Ordered: a higher one is worse. `off` exists in dbmigration.toml only, where it takes a rule away."""

    NOTE = 1
    """Worth knowing; nothing has to change."""
    WARNING = 2
    """May block or break something, depending on what lint cannot see: sizes, traffic, old code that still runs."""
    ERROR = 3
    """Loses data, certainly fails, or blocks readers and writers for as long as a table takes to be read or written."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where one rule has something to say.

    `file` is a name in the folder of migrations, `line` counts from 1 and is None when the whole file or folder is meant. `message` names
    objects and remedies, never a value. `table` is the table it is about, as written in SQL, when it is about one.
    """

    rule: str
    severity: Severity
    file: str
    line: int | None
    message: str
    table: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.severity}: {self.message} [{self.rule}]"


def worst(findings: "tuple[Finding, ...] | list[Finding]") -> Severity | None:
    """The highest severity, None without findings."""
    return max((finding.severity for finding in findings), default=None)
