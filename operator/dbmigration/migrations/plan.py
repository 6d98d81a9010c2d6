"""What is applied, what a run would do, and what forbids it. Pure but for one rare look into an edited unfinished file."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.layout import Layout, read_version, version_of
from dbmigration.migrations.model import AppliedMigration, History, MigrationFile, MigrationSet, Plan, PlannedMigration

BEYOND_TARGET = "beyond target"

_TIMESTAMP_DIGITS = 8
"""From this many digits on a number is a date or a timestamp, where gaps mean nothing."""


class Survey(NamedTuple):
    """A plan with everything that forbids a run, gravest first. `status` shows both; a run raises the first finding."""

    plan: Plan
    findings: tuple[Permanent, ...]


def make_plan(
    files: MigrationSet,
    history: History,
    *,
    environment: str | None,
    target: str | None,
    out_of_order: bool,
    reapply_rolled_back: bool,
    finished_unchanged: Callable[[MigrationFile, tuple[str, ...]], bool] | None = None,
) -> Plan:
    """What a run would do. The parameters are those of `survey`.

    Raises Permanent, each naming all the files it is about: UNKNOWN_ENVIRONMENT, ENVIRONMENT_REQUIRED, TARGET_UNKNOWN, MISSING_FILES,
    CHECKSUM_MISMATCH, PARTIAL_FILE_EDITED, TARGET_BELOW_APPLIED, OUT_OF_ORDER, ROLLED_BACK.
    """
    found = survey(
        files,
        history,
        environment=environment,
        target=target,
        out_of_order=out_of_order,
        reapply_rolled_back=reapply_rolled_back,
        finished_unchanged=finished_unchanged,
    )
    if found.findings:
        raise found.findings[0]
    return found.plan


def survey(
    files: MigrationSet,
    history: History,
    *,
    environment: str | None,
    target: str | None,
    out_of_order: bool,
    reapply_rolled_back: bool,
    finished_unchanged: Callable[[MigrationFile, tuple[str, ...]], bool] | None = None,
) -> Survey:
    """The same without raising.

    `target`: the newest number to apply ("004", "4" or the file's name), None for all. `out_of_order`: a file may be applied although a
    higher one is. `reapply_rolled_back`: files that a person rolled back are pending again. `finished_unchanged(file, hashes)` says whether
    an edited unfinished file still begins with the statements that are done; None reads the file.
    """
    rows = {row.name: row for row in history.applied}
    limit = _target_number(files, target)
    planned = [
        _place(file, rows.get(file.name), history, environment=environment, limit=limit, reapply_rolled_back=reapply_rolled_back)
        for file in files.files
    ]
    known = {file.name for file in files.files}
    missing = [row for row in history.applied if row.name not in known]
    planned += [_missing(row, files.config.layout) for row in missing]
    planned.sort(key=lambda migration: migration.number)
    seeds: tuple[PlannedMigration, ...] = ()
    if files.seeds:
        from dbmigration.migrations.seeds import plan_seeds

        seeds = plan_seeds(files, history, planned, environment)
    plan = Plan(tuple(planned), environment, "", (), seeds)
    plan = Plan(plan.migrations, environment, _plan_hash(plan), _notes(files, plan, history), seeds)

    compare = finished_unchanged or _read_and_compare
    findings = (
        _unknown_environment(files, environment),
        _environment_required(files, environment),
        _target_unknown(files, target, limit),
        _missing_files(files, history, missing),
        _edited(files, rows),
        _partial_edited(files, history, rows, compare),
        _target_below(plan, target, limit),
        None if out_of_order else _out_of_order(plan),
        _rolled_back(plan),
    )
    return Survey(plan, tuple(finding for finding in findings if finding is not None))


def _place(
    file: MigrationFile,
    row: AppliedMigration | None,
    history: History,
    *,
    environment: str | None,
    limit: int | None,
    reapply_rolled_back: bool,
) -> PlannedMigration:
    if row is not None:
        state = State.APPLIED_UNVERIFIED if row.checksum is None else State.APPLIED
        return PlannedMigration(file.name, file.version, state, file, row.applied_at, row.duration_ms)
    if not file.runs_in(environment):
        return PlannedMigration(file.name, file.version, State.SKIPPED, file, note=f"only in {', '.join(file.header.environments)}")
    beyond = limit is not None and file.number > limit
    if history.rolled_back.get(file.name) == file.checksum and not reapply_rolled_back:
        return PlannedMigration(
            file.name, file.version, State.ROLLED_BACK, file, beyond_target=beyond, note=BEYOND_TARGET if beyond else None
        )
    done, checksum = history.partial.get(file.name, (0, file.checksum))
    notes = []
    if done:
        notes.append(f"unfinished: resumes after statement {done}{'' if checksum == file.checksum else ', edited since'}")
    if beyond:
        notes.append(BEYOND_TARGET)
    return PlannedMigration(
        file.name, file.version, State.PENDING, file, statements_done=done, note="; ".join(notes) or None, beyond_target=beyond
    )


def _missing(row: AppliedMigration, layout: Layout) -> PlannedMigration:
    number, version = version_of(row.name, layout)
    state = State.APPLIED_UNVERIFIED if row.checksum is None else State.APPLIED
    return PlannedMigration(
        row.name, version, state, None, row.applied_at, row.duration_ms, note="applied, but not in the folder", row_number=number
    )


def _target_number(files: MigrationSet, target: str | None) -> int | None:
    if target is None:
        return None
    number = read_version(target, files.config.layout)
    return number if number is not None else next((file.number for file in files.files if file.name == target), None)


def _plan_hash(plan: Plan) -> str:
    return hash_of(plan.environment, (*plan.pending, *plan.pending_seeds))


def hash_of(environment: str | None, files: Iterable[MigrationFile]) -> str:
    """SHA-256, hex, over the environment and the files' names and checksums, in their order."""
    total = hashlib.sha256(f"{environment or ''}\n".encode())
    for file in files:
        total.update(f"{file.name}\0{file.checksum}\n".encode())
    return total.hexdigest()


def _notes(files: MigrationSet, plan: Plan, history: History) -> tuple[str, ...]:
    notes = []
    gaps = []
    for before, after in zip(files.files, files.files[1:], strict=False):
        if after.number - before.number > 1 and len(after.version) < _TIMESTAMP_DIGITS and after.layout is not Layout.FLYWAY:
            gaps.append(f"{before.version} and {after.version}")
    if gaps:
        notes.append(f"no file between {', '.join(gaps[:5])}{' …' if len(gaps) > 5 else ''}: fine if that is meant")
    unverified = plan.count(State.APPLIED_UNVERIFIED)
    if unverified:
        notes.append(f"{unverified} applied without a recorded checksum: later edits of them cannot be seen")
    notes += [f"{name}: unfinished, {done} statements done" for name, (done, _) in sorted(history.partial.items())]
    return tuple(notes)


def _unknown_environment(files: MigrationSet, environment: str | None) -> Permanent | None:
    known = files.config.environments
    if environment is None or environment in known:
        return None
    return Permanent(
        Reason.UNKNOWN_ENVIRONMENT, f"{environment!r} is no environment of this set: use {', '.join(known)}, or add it to dbmigration.toml"
    )


def _environment_required(files: MigrationSet, environment: str | None) -> Permanent | None:
    if environment is not None:
        return None
    bound = [file for file in (*files.files, *files.seeds) if file.header.environments]
    if not bound:
        return None
    known = ", ".join(files.config.environments)
    message = f"{listed(file.name for file in bound)} run only in some environments: say which one this is ({known})"
    return Permanent(Reason.ENVIRONMENT_REQUIRED, message, place=Place(bound[0].name, bound[0].header.environment_line))


def _target_unknown(files: MigrationSet, target: str | None, limit: int | None) -> Permanent | None:
    if target is None or (limit is not None and any(file.number == limit for file in files.files)):
        return None
    newest = f"the newest is {files.files[-1].version}" if files.files else "the folder holds none"
    return Permanent(Reason.TARGET_UNKNOWN, f"target {target!r} is no migration of this set: {newest}")


def _missing_files(files: MigrationSet, history: History, missing: Sequence[AppliedMigration]) -> Permanent | None:
    known = {file.name for file in files.files}
    names = [row.name for row in missing] + sorted(name for name in history.partial if name not in known)
    if not names:
        return None
    by_number = {file.number: file.name for file in files.files}
    renamed = [
        f"{name} (renamed to {by_number[number]}?)" for name in names if (number := version_of(name, files.config.layout)[0]) in by_number
    ]
    hint = f"; {listed(renamed)}" if renamed else ""
    message = f"applied, but not in the folder: {listed(names)}{hint}. Bring them back: going down is `rollback`"
    return Permanent(Reason.MISSING_FILES, message, place=Place(names[0]))


def _edited(files: MigrationSet, rows: dict[str, AppliedMigration]) -> Permanent | None:
    edited = [
        file.name
        for file in files.files
        if (row := rows.get(file.name)) is not None and row.checksum is not None and row.checksum != file.checksum
    ]
    if not edited:
        return None
    message = f"edited after it was applied: {listed(edited)}. Bring the applied text back and put the change into a new migration"
    return Permanent(Reason.CHECKSUM_MISMATCH, message, place=Place(edited[0]))


def _partial_edited(
    files: MigrationSet,
    history: History,
    rows: dict[str, AppliedMigration],
    compare: Callable[[MigrationFile, tuple[str, ...]], bool],
) -> Permanent | None:
    """What failed may be mended, what is done may not: only a change of the finished statements forbids the run."""
    edited = []
    for file in files.files:
        done, checksum = history.partial.get(file.name, (0, ""))
        if not done or file.name in rows or checksum == file.checksum:
            continue
        hashes = history.finished.get(file.name, ())
        if len(hashes) < done or not compare(file, hashes[:done]):
            edited.append(f"{file.name} (the first {done} statements)")
    if not edited:
        return None
    message = f"edited where it is already done: {listed(edited)}. Bring the finished statements back; only those after them may change"
    return Permanent(Reason.PARTIAL_FILE_EDITED, message, place=Place(edited[0].partition(" ")[0]))


def _target_below(plan: Plan, target: str | None, limit: int | None) -> Permanent | None:
    newest = plan.newest
    if limit is None or newest is None or newest.number <= limit:
        return None
    message = f"target {target} is below the applied version {newest.version}: going down is `rollback` (spec.rollback.to), never a target"
    return Permanent(Reason.TARGET_BELOW_APPLIED, message)


def _out_of_order(plan: Plan) -> Permanent | None:
    newest = plan.newest
    if newest is None:
        return None
    late = [
        migration.name
        for migration in plan.migrations
        if migration.state is State.PENDING and not migration.statements_done and migration.number < newest.number
    ]
    if not late:
        return None
    above = newest.version
    message = f"{listed(late)} would come after {above}, which is applied: give a number above {above}, or allow it (outOfOrder)"
    return Permanent(Reason.OUT_OF_ORDER, message, place=Place(late[0]))


def _rolled_back(plan: Plan) -> Permanent | None:
    back = [m.name for m in plan.migrations if m.state is State.ROLLED_BACK and not m.beyond_target]
    if not back:
        return None
    message = f"rolled back by a person and unchanged since: {listed(back)}. Edit the file, set a lower target, or ask for it again"
    return Permanent(Reason.ROLLED_BACK, message, place=Place(back[0]))


def _read_and_compare(file: MigrationFile, hashes: tuple[str, ...]) -> bool:
    from dbmigration.migrations.progress import finished_unchanged  # brings the lexer, which a run with nothing to do does not need

    return finished_unchanged(file.path, hashes, file.part)
