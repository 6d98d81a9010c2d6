"""How a resource stands, as lines for a person: what it says of itself first, what to do second, the proofs, then the files."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from dbmigration.api.checklist import Check, CheckState
from dbmigration.api.conditions import Condition, ConditionType
from dbmigration.api.report import MigrationReport
from dbmigration.api.states import State
from dbmigration.api.status import ProgressStatus, Status
from dbmigration.cli.plugin.resource import CustomResource, Resource
from dbmigration.cli.plugin.text import ago, between, plain, size, wrapped
from dbmigration.cli.tables import Row, show_ms, table_lines

if TYPE_CHECKING:
    from dbmigration.decide.attempts import Attempt

_LOOKS: Final = {"Ready": ("✓", "32"), "Stalled": ("✗", "31"), "Reconciling": ("…", "36"), "Waiting": ("•", "33")}
_BOXES: Final = {
    CheckState.PROVED: ("✓", "32"),
    CheckState.DECLARED: ("✓", "33"),
    CheckState.WAITING: ("•", "36"),
    CheckState.FAILED: ("✗", "31"),
    CheckState.NOT_REQUIRED: ("-", "2"),
}
_LABEL: Final = 12


class Paper(NamedTuple):
    """Where it is written: so many columns, with colours or not, with ✓ and others or not."""

    columns: int
    colour: bool
    signs: bool

    def painted(self, text: str, paint: str) -> str:
        return f"\x1b[{paint}m{text}\x1b[0m" if self.colour else text


def status_lines(resource: Resource, now: datetime, paper: Paper) -> Iterator[str]:
    """All of it."""
    steps, conditions = conditions_and_steps(resource, now, paper)
    yield from head_lines(resource, now, paper)
    yield from steps
    yield ""
    yield from fact_lines((*_state(resource), *_work(resource.status, now), *_proofs(resource.status, now)), paper)
    yield from conditions
    if resource.status.checklist:
        yield ""
        yield from _check_lines(resource.status.checklist, paper)
    rows = [_row(migration) for migration in (*resource.status.migrations, *resource.status.seeds)]
    if rows:
        yield ""
        yield from table_lines(rows, paper.columns, colour=paper.colour, signs=paper.signs)


def head_lines(resource: CustomResource, now: datetime, paper: Paper) -> Iterator[str]:
    """The one line that counts, and its message."""
    ready = resource.ready
    sign, paint = _LOOKS[resource.word]
    reason = f"  {ready.reason}" if ready is not None else ""
    since = f", {ago(ready.last_transition_time, now)}" if ready is not None else ""
    mark = f"{sign} " if paper.signs else ""
    yield f"{paper.painted(f'{mark}{resource.word}', paint)}{reason}  {resource.namespace}/{resource.name}{since}"
    if ready is None:
        yield "  no operator has looked at it yet: is one running, and does it watch this namespace?"
        return
    if not resource.current:
        yield "  the newest change of the resource has not been looked at yet: what follows is about the one before"
    yield from wrapped(ready.message, paper.columns, "  ")


def conditions_and_steps(resource: CustomResource, now: datetime, paper: Paper) -> tuple[Iterator[str], Iterator[str]]:
    """What a person can do now, and the conditions but those that the head tells; each begins with an empty line, if it is there."""
    conditions = [c for c in resource.status.conditions if c.type not in (ConditionType.RECONCILING, ConditionType.STALLED)]
    return _step_lines(resource.status.next_steps, paper), _condition_lines(conditions, now, paper)


def _step_lines(steps: Sequence[str], paper: Paper) -> Iterator[str]:
    if not steps:
        return
    yield ""
    yield "What to do"
    for number, step in enumerate(steps, 1):
        yield from _hanging(f"  {number}. ", step, paper.columns)


def fact_lines(facts: Iterable[tuple[str, str]], paper: Paper) -> Iterator[str]:
    """Label and text; what has no text is left out."""
    for label, text in facts:
        if text:
            yield from _hanging(f"{label:<{_LABEL}}", text, paper.columns)


def _state(resource: Resource) -> Iterator[tuple[str, str]]:
    status = resource.status
    counted = ((status.applied, "applied"), (status.pending, "pending"), (status.skipped, "skipped"))
    counts = ", ".join(f"{number} {what}" for number, what in counted if number is not None)
    yield "version", f"{status.version or 'none'}{f': {counts}' if counts else ''}"
    yield "environment", str((resource.raw.get("spec") or {}).get("environment", ""))
    if status.database is not None:
        server = status.database.server_version.partition(" ")[0]
        yield "database", f"{status.database.name}, PostgreSQL {server}, {status.database.identity}"
    if status.source is not None:
        yield "files", f"sha256 {status.source.digest.removeprefix('sha256:')[:16]}…"


def attempt_facts(what: str, run: "Attempt | None", at: ProgressStatus | None, now: datetime) -> Iterator[tuple[str, str]]:
    """The newest attempt, of a run or of a step of a restore, and where it is."""
    if run is not None:
        told = f"running for {between(run.started_at, now)}"
        if run.finished_at is not None:
            told = f"{run.outcome}, {ago(run.finished_at, now)}, took {between(run.started_at, run.finished_at)}"
        again = f"; the next in {between(now, run.next_retry_at)}" if run.next_retry_at is not None else ""
        yield what, f"attempt {run.attempt}: {told}{again} (job/{run.job_name})"
        yield "trace", run.trace_id or ""
    if at is not None:
        yield "progress", f"{at.summary or at.step}: {at.message or ''}"
        yield "blocked by", at.blocked_by or ""


def _work(status: Status, now: datetime) -> Iterator[tuple[str, str]]:
    yield from attempt_facts("run", status.run, status.progress, now)
    if status.window is not None:
        opening = status.window.next_opening
        yield "window", f"opens {opening:%Y-%m-%d %H:%M} UTC, in {between(now, opening)}" if opening else "never opens"
    if status.plan is not None and status.plan.hash and status.plan.pending:
        yield "plan", f"{status.plan.pending} pending, hash {status.plan.hash}"


def _proofs(status: Status, now: datetime) -> Iterator[tuple[str, str]]:
    if status.backup is not None:
        record = status.backup
        restored = " and restored, row by row" if record.restored_at else ""
        yield "backup", f"{record.uri}, {size(record.bytes)}, {ago(record.completed_at, now)}, read to its end{restored}"
    if status.rehearsal is not None:
        tried = status.rehearsal
        lock = max((each for each in tried.locks if each.keeps_others_out), key=lambda each: each.held_ms, default=None)
        held = f", {lock.mode} on {lock.table} for {show_ms(lock.held_ms)}" if lock else ""
        told = f"passed in {show_ms(tried.duration_ms)}{held}" if tried.passed else f"FAILED: {tried.message}"
        yield "rehearsal", f"{told}, {ago(tried.completed_at, now)}"
    if status.drift is not None and status.drift.count:
        named = "; ".join(status.drift.differences[:3])
        yield "drift", f"{status.drift.count} differences, {ago(status.drift.checked_at, now)}: {named}"


def _condition_lines(conditions: Sequence[Condition], now: datetime, paper: Paper) -> Iterator[str]:
    if not conditions:
        return
    yield ""
    width = max(len(c.type) for c in conditions)
    reasons = max(len(c.reason) for c in conditions)
    for condition in conditions:
        paint = {"True": "32", "False": "33"}.get(condition.status, "2")
        word = paper.painted(f"{condition.status:<7}", paint)
        line = f"{condition.type:<{width}}  {word}  {condition.reason:<{reasons}}  {ago(condition.last_transition_time, now)}"
        yield line
        if condition.type != ConditionType.READY and condition.message:
            yield from wrapped(condition.message, paper.columns, "  ")


def _check_lines(checks: Sequence[Check], paper: Paper) -> Iterator[str]:
    yield "Checklist (docs/checklist.md)"
    names = max(len(check.item) for check in checks)
    states = max(len(check.state) for check in checks)
    for check in checks:
        sign, paint = _BOXES[check.state]
        head = f"  {f'{sign} ' if paper.signs else ''}{check.item:<{names}}  "
        lines = list(_hanging(f"{head}{check.state:<{states}}  ", check.evidence, paper.columns))
        yield from [lines[0].replace(check.state, paper.painted(check.state, paint), 1).rstrip(), *lines[1:]]


def _row(migration: MigrationReport) -> Row:
    notes = [f"SQLSTATE {migration.sqlstate}" if migration.sqlstate else "", f"line {migration.line}" if migration.line else ""]
    if migration.state is State.FAILED and migration.statement:
        notes.append(plain(migration.statement))
    number = migration.name.partition("_")[0]
    at = migration.applied_at
    return Row(
        number=number,
        name=plain(migration.name),
        state=migration.state,
        applied_at="" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}",
        duration="" if migration.duration_ms is None else show_ms(migration.duration_ms),
        note="; ".join(filter(None, notes)),
    )


def _hanging(label: str, text: str, columns: int) -> Iterator[str]:
    lines = textwrap.wrap(plain(" ".join(text.split())), max(columns - len(label), 30), break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines or [""]):
        yield f"{label if number == 0 else ' ' * len(label)}{line}"
