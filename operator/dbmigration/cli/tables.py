"""The migrations of a set as a person likes them on a terminal, and as one line each in a pipe."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from dbmigration.api.states import State
from dbmigration.cli.failure import wants_colour
from dbmigration.migrations.model import PlannedMigration

# Sign and colour (ANSI) of each state. The word stands beside them: neither is needed to understand a line.
_LOOKS: Final = {
    State.APPLIED: ("✓", "32"),
    State.APPLIED_UNVERIFIED: ("✓", "33"),
    State.PENDING: ("•", "36"),
    State.SKIPPED: ("-", "2"),
    State.FAILED: ("✗", "31"),
    State.ROLLED_BACK: ("↶", "35"),
}
_LEAST_DETAIL: Final = 27
"""Columns: a time and a duration. Where there is less room, details get lines of their own."""
_MANY: Final = 20
_KEPT: Final = 5


class Row(NamedTuple):
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

    @property
    def detail(self) -> str:
        """Time, duration and note as a person reads them: "2026-02-03 04:05 UTC, 27ms; a note"."""
        time = f"{self.applied_at[:10]} {self.applied_at[11:16]} UTC" if self.applied_at else ""
        return "; ".join(filter(None, (", ".join(filter(None, (time, self.duration))), self.note)))


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
        signs = (sys.stdout.encoding or "").lower().startswith("utf")
        for line in table_lines(rows, shutil.get_terminal_size().columns, colour=wants_colour(sys.stdout), signs=signs):
            sys.stdout.write(f"{line}\n")
        sys.stdout.write("\n")
        return
    shown = [[cell or "-" for cell in row.cells] for row in rows]
    widths = [max(len(cells[column]) for cells in shown) for column in range(len(shown[0]) - 1)]
    for cells in shown:
        aligned = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        sys.stdout.write("  ".join([*aligned, cells[-1]]) + "\n")


def table_lines(rows: Sequence[Row], columns: int, *, colour: bool, signs: bool) -> Iterator[str]:
    """For a terminal of so many columns: name, state, and what there is to say, wrapped where it would not fit.

    Of a long past only the newest rows are shown, with a line that says so. `signs`: ✓ and others before the names.
    """
    hidden = _hidden(rows)
    shown = rows[hidden:]
    name_width = max(len(row.name) for row in shown)
    state_width = max(len(row.state) for row in shown)
    indent = 2 if signs else 0
    before = indent + name_width + 2 + state_width + 2
    beside = columns - before >= _LEAST_DETAIL
    at, room = (before, columns - before) if beside else (indent + 2, max(columns - indent - 2, _LEAST_DETAIL))
    if hidden:
        yield _painted(
            f"{' ' * indent}… {hidden} applied before these, {rows[0].number} to {rows[hidden - 1].number} (a pipe gets all)", "2", colour
        )
    for row in shown:
        sign, paint = _LOOKS[row.state]
        state = _painted(row.state.ljust(state_width if beside else 0), paint, colour)
        head = f"{_painted(sign, paint, colour)} " if signs else ""
        head += (
            f"{_painted(row.name, paint, colour) if row.state is State.SKIPPED else row.name}{' ' * (name_width - len(row.name))}  {state}"
        )
        detail = textwrap.wrap(row.detail, room, break_on_hyphens=False)
        if beside and detail:
            head = f"{head}  {detail.pop(0)}"
        yield head.rstrip()
        yield from (" " * at + line for line in detail)


def _hidden(rows: Sequence[Row]) -> int:
    """How many of the first rows say nothing but that they are applied, and are too many to be read."""
    if len(rows) <= _MANY:
        return 0
    quiet = next((at for at, row in enumerate(rows) if row.state is not State.APPLIED or row.note), len(rows))
    return quiet - _KEPT if quiet - _KEPT > 1 else 0


def _painted(text: str, paint: str, colour: bool) -> str:
    return f"\x1b[{paint}m{text}\x1b[0m" if colour else text


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
