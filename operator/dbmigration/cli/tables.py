"""The migrations of a set as a person likes them on a terminal, and as one line each in a pipe."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dbmigration.api.states import State
from dbmigration.migrations.model import PlannedMigration

_STYLES = {
    State.APPLIED: "green",
    State.APPLIED_UNVERIFIED: "yellow",
    State.PENDING: "cyan",
    State.SKIPPED: "dim",
    State.FAILED: "red",
    State.ROLLED_BACK: "magenta",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of one migration; "" where there is nothing to say."""

    number: str
    name: str
    state: State
    applied_at: str
    duration: str
    note: str

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.number, self.name, str(self.state), self.applied_at, self.duration, self.note)


def rows_of(migrations: Sequence[PlannedMigration], notes: Mapping[str, str] | None = None) -> list[Row]:
    """`notes` are put beside those of the plan, by the file's name."""
    more = notes or {}
    return [
        Row(
            number=line.version,
            name=line.name,
            state=line.state,
            applied_at=_time(line.applied_at),
            duration="" if line.duration_ms is None else show_ms(line.duration_ms),
            note="; ".join(filter(None, (line.note, more.get(line.name)))),
        )
        for line in migrations
    ]


def print_rows(rows: Sequence[Row]) -> None:
    """A table on a terminal. In a pipe one line a migration, columns aligned with spaces, - for an empty one, the note last; no header."""
    if not rows:
        return
    if sys.stdout.isatty():
        _print_table(rows)
        return
    shown = [[cell or "-" for cell in row.cells] for row in rows]
    widths = [max(len(cells[column]) for cells in shown) for column in range(len(shown[0]) - 1)]
    for cells in shown:
        aligned = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        sys.stdout.write("  ".join([*aligned, cells[-1]]) + "\n")


def show_ms(milliseconds: int) -> str:
    """ "34ms", "2.1s", "3m05s"."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f}s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}m{seconds:02}s"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _print_table(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for header in ("Number", "Name", "State", "Applied at", "Duration", "Note"):
        table.add_column(
            header, justify="right" if header == "Duration" else "left", overflow="fold", no_wrap=header in ("Number", "State")
        )
    for row in rows:
        cells = [Text(cell) for cell in row.cells]
        cells[2].stylize(_STYLES[row.state])
        table.add_row(*cells)
    Console(highlight=False).print(table)
