"""How a DatabaseRestore stands, as lines for a person: what it says of itself, what to do, then the facts."""

from collections.abc import Iterator
from datetime import datetime

from dbmigration.api.restore_status import RestoreStatus
from dbmigration.cli.plugin.picture import Paper, attempt_facts, conditions_and_steps, fact_lines, head_lines
from dbmigration.cli.plugin.resource import Restore
from dbmigration.cli.plugin.text import ago, size, span


def restore_lines(restore: Restore, now: datetime, paper: Paper) -> Iterator[str]:
    """All of it."""
    steps, conditions = conditions_and_steps(restore, now, paper)
    yield from head_lines(restore, now, paper)
    yield from steps
    yield ""
    run = restore.status.run
    work = attempt_facts(run.step.value if run else "", run, restore.status.progress, now)
    yield from fact_lines((*_asked(restore), *work, *_done(restore.status, now)), paper)
    yield from conditions


def _asked(restore: Restore) -> Iterator[tuple[str, str]]:
    spec, status = restore.raw.get("spec") or {}, restore.status
    yield "migration", f"dbm/{(spec.get('migrationRef') or {}).get('name', '')}"
    record = status.backup
    told = f", {size(record.bytes)}, taken {record.started_at:%Y-%m-%d %H:%M:%S} UTC" if record is not None else ""
    yield "backup", f"{status.backup_uri or 'not chosen yet'}{told}"
    yield "into", f"{spec.get('into', '')}{', and then in the place of the database in use' if spec.get('swap') else ''}"
    if status.database is not None:
        yield "in use", f"{status.database.name}, PostgreSQL {status.database.server_version.partition(' ')[0]}, {status.database.identity}"


def _done(status: RestoreStatus, now: datetime) -> Iterator[tuple[str, str]]:
    restored, swapped = status.restored, status.swapped
    if restored is not None:
        took = f"restored in {span(restored.restore_seconds)}, compared in {span(restored.compare_seconds)}"
        yield "restored", f"{restored.rows:,} rows and {restored.objects:,} objects, every one as in the backup; {took}"
        yield "not valid", ", ".join(restored.not_valid)
    if swapped is not None:
        old = f"; the old one stays as {swapped.old_database}" if swapped.old_database else ""
        yield "swapped", f"{swapped.name} is the restored one, {ago(swapped.completed_at, now)}{old}"
        yield "set aside", ", ".join(swapped.set_aside)
