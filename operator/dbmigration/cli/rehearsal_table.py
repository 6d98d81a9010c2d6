"""A rehearsal as tables for a person: the files, the slowest statements, the strongest locks, the rewrites."""

from collections.abc import Iterator, Sequence

from dbmigration.api.report import RehearsalReport
from dbmigration.cli.tables import show_ms

_STATEMENT_SHOWN = 80


def rehearsal_lines(found: RehearsalReport) -> Iterator[str]:
    """What there is none of is left out. Text that comes out of a database is printed as it is."""
    files = [(file.name, str(file.statements), show_ms(file.duration_ms)) for file in found.files]
    if found.failed_at is not None and found.failed_at.partition(":")[0] not in {file.name for file in found.files}:
        files.append((found.failed_at, "", "failed"))
    yield from _table(("FILE", "STATEMENTS", "TIME"), files)
    yield from _table(
        ("SLOWEST STATEMENTS", "TIME", ""),
        [(f"{each.file}:{each.line}", show_ms(each.duration_ms), each.statement[:_STATEMENT_SHOWN]) for each in found.slowest],
    )
    yield from _table(
        ("LOCKED TABLE", "STRONGEST LOCK", "HELD", "BY"),
        [
            (lock.table, lock.mode, show_ms(lock.held_ms), lock.file if lock.line is None else f"{lock.file}:{lock.line}")
            for lock in found.locks
        ],
    )
    yield from _table(
        ("REWRITTEN TABLE", "SIZE", "BY"),
        [(each.table, f"{each.bytes / 1e6:.1f} MB", f"{each.file}:{each.line}") for each in found.rewrites],
    )
    yield from _table(("LOST IN THE COPY",), [(line,) for line in found.lost])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
