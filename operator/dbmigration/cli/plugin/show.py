"""The commands that only read the resource: status, plan, history."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import wants_colour
from dbmigration.cli.plugin.picture import Paper, head_lines, status_lines
from dbmigration.cli.plugin.resource import (
    Context,
    CustomResource,
    EitherName,
    Name,
    Namespace,
    Resource,
    Restore,
    cluster,
    read,
    read_either,
)
from dbmigration.cli.plugin.text import plain, span, wrapped

_IN_A_PIPE = 200
"""Columns where nobody's terminal says how many there are."""


def status(name: EitherName, namespace: Namespace = None, context: Context = None) -> int:
    """Show how a DatabaseMigration or a DatabaseRestore stands: why it is not Ready, what to do, the backup, each file."""
    with cluster(namespace, context) as (api, place):
        found = read_either(api, place, name)
    write(lines_of(found, datetime.now(UTC), paper()))
    return Exit.OK


def lines_of(found: CustomResource, now: datetime, page: Paper) -> Iterable[str]:
    """All about it."""
    if isinstance(found, Restore):
        from dbmigration.cli.plugin.restore_picture import restore_lines

        return restore_lines(found, now, page)
    assert isinstance(found, Resource)  # noqa: S101 - there are two kinds
    return status_lines(found, now, page)


def plan(name: Name, namespace: Namespace = None, context: Context = None) -> int:
    """Show the newest plan: the pending files, its hash, and what it waits for. Exit status 4 while files are pending."""
    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
    write(_plan_lines(found))
    return Exit.PENDING if found.status.plan is not None and found.status.plan.pending else Exit.OK


def history(name: Name, namespace: Namespace = None, context: Context = None) -> int:
    """Show the newest ten runs, newest first: when, how long, what came of them, versions, backups."""
    with cluster(namespace, context) as (api, place):
        found = read(api, place, name)
    if not found.status.runs:
        write(["no run has ended yet"])
        return Exit.OK
    heads = ["STARTED", "TOOK", "OUTCOME", "REASON", "FROM", "TO", "JOB", "BACKUP"]
    rows = [
        [
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            span((run.finished_at - run.started_at).total_seconds()),
            run.outcome,
            run.reason,
            run.from_ or "-",
            run.to or "-",
            run.id,
            run.backup_uri or "-",
        ]
        for run in found.status.runs
    ]
    if any(run.trace_id for run in found.status.runs):
        heads.append("TRACE")
        rows = [[*row, run.trace_id or "-"] for row, run in zip(rows, found.status.runs, strict=True)]
    write(columns(heads, rows))
    return Exit.OK


def write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def paper() -> Paper:
    """What stdout is."""
    terminal = sys.stdout.isatty()
    signs = (sys.stdout.encoding or "").lower().startswith("utf")
    return Paper(shutil.get_terminal_size().columns if terminal else _IN_A_PIPE, wants_colour(sys.stdout), signs)


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """As kubectl lays a table out."""
    cells = [heads, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def rehearsed_lines(found: Resource) -> Iterable[str]:
    """What the pending files did in a restored copy, if it was they that were tried there."""
    tried, newest = found.status.rehearsal, found.status.plan
    if tried is None or newest is None or tried.plan_hash != newest.hash:
        return
    from dbmigration.cli.rehearsal_table import rehearsal_lines

    yield ""
    yield plain(f"{'passed' if tried.passed else 'FAILED'} in a copy of the database, restored from {tried.backup_uri or 'no backup'}:")
    yield from (plain(line) for line in rehearsal_lines(tried))


def _plan_lines(found: Resource) -> Iterable[str]:
    page, newest = paper(), found.status.plan
    yield from head_lines(found, datetime.now(UTC), page)
    yield ""
    if newest is None:
        yield "there is no plan yet: the first run makes it"
        return
    yield f"{newest.pending} pending, from version {found.status.version or 'none'}"
    yield from (f"  {plain(name)}" for name in newest.names)
    if newest.pending > len(newest.names):
        yield f"  and {newest.pending - len(newest.names)} more: kubectl dbmigration logs {found.name} -n {found.namespace}"
    if newest.hash:
        yield f"plan hash {newest.hash}"
    yield from rehearsed_lines(found)
    ready = found.ready
    if ready is not None and ready.reason in (Reason.APPROVAL_PENDING, Reason.APPROVAL_STALE):
        yield f"approve it: kubectl dbmigration approve {found.name} -n {found.namespace}"
    for step in found.status.next_steps[:1] if newest.pending else ():
        yield from wrapped(step, page.columns)
