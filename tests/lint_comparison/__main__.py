"""`python -m tests.lint_comparison SQUAWK`: both linters on the same snippets; writes the table into docs/lint.md.

SQUAWK is the path of its program: `python3 -m venv squawk && squawk/bin/pip install squawk-cli` makes squawk/bin/squawk.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dbmigration.lint import check_folder
from tests.lint_comparison.snippets import SNIPPETS, Snippet

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "lint.md"
BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"

HOUSE = frozenset({"missing-header", "missing-rollback", "missing-transaction", "not-idempotent", "constraint-never-validated"})
"""Ours about the form of a file, and what says how to go on: not what the snippets are about."""
TASTE = frozenset(
    {
        "prefer-bigint-over-int",
        "prefer-bigint-over-smallint",
        "prefer-identity",
        "prefer-robust-stmts",
        "require-lock-timeout",
        "require-statement-timeout",
    }
)
"""Squawk's that fire whatever the statement is, or are about taste: `dbmigration` sets the timeouts itself. prefer-text-field and
prefer-timestamp-tz count, as ours for the same do."""


@dataclass(frozen=True)
class Answer:
    """What each of them says of one snippet, by rule."""

    snippet: Snippet
    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    def row(self) -> str:
        cells = (self.snippet.name, self.snippet.danger or "none", _said(self.ours, self.snippet), _said(self.theirs, self.snippet))
        return f"| {' | '.join(cells)} |"


def ask(squawk: str, folder: Path, snippet: Snippet) -> Answer:
    (folder / "001_before.sql").write_text(snippet.before)
    file = folder / "002_it.sql"
    file.write_text(f"-- Dependencies: 001\n{snippet.sql}\n")
    ours = sorted({finding.rule for finding in check_folder(folder, [file.name])} - HOUSE)
    done = subprocess.run([squawk, "--reporter", "json", str(file)], capture_output=True, text=True, check=False, cwd=folder)
    theirs = sorted({finding["rule_name"] for finding in json.loads(done.stdout)} - TASTE)
    return Answer(snippet, tuple(ours), tuple(theirs))


def table(answers: Sequence[Answer], version: str) -> str:
    dangerous = [answer for answer in answers if answer.snippet.danger]
    harmless = [answer for answer in answers if not answer.snippet.danger]
    lines = [
        f"{len(dangerous)} snippets are dangerous, {len(harmless)} only look so. Squawk is {version}, without the rules that fire on every "
        f"statement or are a matter of taste ({', '.join(sorted(TASTE))}); ours are without {', '.join(sorted(HOUSE))}.",
        "",
        "| | dbmigration lint | squawk |",
        "|---|---|---|",
        f"| dangerous, missed | {_count(dangerous, ours=True, said=False)} | {_count(dangerous, ours=False, said=False)} |",
        f"| harmless, flagged | {_count(harmless, ours=True, said=True)} | {_count(harmless, ours=False, said=True)} |",
        "",
        "| snippet | danger | dbmigration lint | squawk |",
        "|---|---|---|---|",
        *(answer.row() for answer in answers),
    ]
    return "\n".join(lines)


def _count(answers: Sequence[Answer], *, ours: bool, said: bool) -> int:
    return sum(bool(answer.ours if ours else answer.theirs) is said for answer in answers)


def _said(rules: tuple[str, ...], snippet: Snippet) -> str:
    if not rules:
        return "**misses it**" if snippet.danger else "quiet"
    return ("" if snippet.danger else "**false alarm:** ") + ", ".join(rules)


def main(words: list[str]) -> int:
    if len(words) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    squawk = words[0]
    version = subprocess.run([squawk, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    with tempfile.TemporaryDirectory() as folder:
        answers = [ask(squawk, Path(folder), snippet) for snippet in SNIPPETS]
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(answers, version)}\n{END}{after}", encoding="utf-8")
    sys.stdout.write("\n".join(table(answers, version).splitlines()[2:6]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
