"""docs/benchmarks.md: one table, each row with the command that made it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
HEAD = "| what | ours | figure | peer, in the same run | ratio | bound | measured | command |"
RULE = "|---|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One line. `what` is its key: a new figure replaces the old line of the same name."""

    what: str
    ours: str
    figure: str
    peer: str
    ratio: str
    bound: str
    command: str

    def line(self, day: str) -> str:
        return f"| {self.what} | {self.ours} | {self.figure} | {self.peer} | {self.ratio} | {self.bound} | {day} | `{self.command}` |"


def write_rows(rows: Sequence[Row], document: Path = DOCUMENT) -> None:
    """Put the rows into the document's table; rows that were not measured now stay as they are."""
    text = document.read_text(encoding="utf-8")
    before, _, after = text.partition(RULE + "\n")
    lines = {line.split("|")[1].strip(): line for line in after.splitlines() if line.startswith("|")}
    rest = "\n".join(line for line in after.splitlines() if not line.startswith("|"))
    day = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}{_beside()}"
    lines |= {row.what: row.line(day) for row in rows}
    table = "\n".join(lines.values())
    document.write_text(f"{before}{RULE}\n{table}\n{rest}\n".rstrip("\n") + "\n", encoding="utf-8")


def _beside() -> str:
    """One process of ours and one of the server keep two processors busy: a longer queue is somebody else's."""
    return ", beside other work" if os.getloadavg()[1] > max(2.0, os.cpu_count() or 1) * 0.75 else ""
