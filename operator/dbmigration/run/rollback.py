"""Which files a rollback undoes: pure, and refused as a whole before anything is touched."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.layout import read_version
from dbmigration.migrations.model import History, MigrationFile, MigrationSet

if TYPE_CHECKING:
    from dbmigration.run.losses import Loss

LastRun = Callable[[], tuple[str, ...]]
"""Names of the files that the last run which applied anything applied: asked only when they matter."""

Choose = Callable[[MigrationSet, History, LastRun], tuple[MigrationFile, ...]]
"""The files to undo, newest first."""


class RollbackPlan(NamedTuple):
    """What a rollback would do. `files` newest first; `to`: the digits of the version it ends at, "000" for none; `losses`: see there.

    `hash` covers environment, `to` and the rollback scripts of all that is above it, done or not: a rollback that was interrupted goes on
    under the same hash.
    """

    files: tuple[MigrationFile, ...]
    to: str
    hash: str
    losses: "tuple[Loss, ...]" = ()


Agree = Callable[[RollbackPlan], bool]
"""Asked before anything is touched; False: nothing is done. May raise instead."""


def last_run() -> Choose:
    """What the last run applied, as far as it still is applied. Nothing of what came before or after it."""

    def choose(files: MigrationSet, history: History, last: LastRun) -> tuple[MigrationFile, ...]:
        names = set(last())
        undoable = _undoable(files, history)
        chosen = tuple(file for file in undoable if file.name in names)
        _refuse_below_others(chosen, undoable)
        return _with_scripts(chosen)

    return choose


def plan_of(chosen: tuple[MigrationFile, ...], files: MigrationSet, history: History, environment: str | None) -> RollbackPlan:
    """The plan of undoing `chosen`, without its losses."""
    names = {file.name for file in chosen}
    lowest = min((file.number for file in chosen), default=0)
    left = [file for file in _applied(files, history) if file.name not in names]
    to = left[0].version if left else "000"
    total = hashlib.sha256(f"rollback\n{environment or ''}\n{left[0].number if left else 0}\n".encode())
    for file in files.files:
        before = file.number >= lowest and history.rolled_back.get(file.name) == file.checksum
        if file.name in names or (chosen and before):
            total.update(f"{file.name}\0{file.rollback.checksum if file.rollback else ''}\n".encode())
    return RollbackPlan(chosen, to, total.hexdigest())


def refuse_other_plan(plan: RollbackPlan, expected: str | None) -> None:
    """Raises Permanent PLAN_CHANGED when the plan is not the one with the hash that was agreed to; None agrees to any."""
    if expected is None or expected == plan.hash:
        return
    names = ", ".join(file.name for file in plan.files)
    lost = "; ".join(map(str, plan.losses)) or "no rows, as far as the scripts show"
    raise Permanent(
        Reason.PLAN_CHANGED,
        f"nothing was touched: the rollback to {plan.to} has the plan hash {plan.hash}, which is not the one that was given. "
        f"It undoes {names}; what will be lost: {lost}",
    )


def story_of(plan: RollbackPlan) -> str:
    """What would be undone and lost, in lines for a person."""
    number = f"{len(plan.files)} migration{'' if len(plan.files) == 1 else 's'}"
    lines = [f"to roll back {number}, down to {plan.to}, in this order:"]
    lines += [f"  {file.name} with {file.rollback.name if file.rollback else 'nothing'}" for file in plan.files]
    lines.append("what will be lost:" if plan.losses else "what will be lost: no rows, as far as the scripts show")
    lines += [f"  {loss}" for loss in plan.losses]
    lines.append(f"plan hash: {plan.hash}")
    return "\n".join(lines)


def down_to(version: str) -> Choose:
    """Every applied or unfinished file with a higher number than `version`, which must be applied itself; "000" undoes all."""

    def choose(files: MigrationSet, history: History, _: LastRun) -> tuple[MigrationFile, ...]:
        wanted = _number(version, files)
        applied = _applied(files, history)
        if wanted and all(file.number != wanted for file in applied):
            raise Permanent(Reason.TARGET_UNKNOWN, f"{version} is not applied here, so there is no way back to it")
        return _with_scripts(tuple(file for file in _undoable(files, history) if file.number > wanted))

    return choose


def only(version: str) -> Choose:
    """One file, which has to be the newest applied or unfinished one: others were built on it."""

    def choose(files: MigrationSet, history: History, _: LastRun) -> tuple[MigrationFile, ...]:
        wanted = _number(version, files)
        undoable = _undoable(files, history)
        chosen = tuple(file for file in undoable if file.number == wanted)
        if not chosen:
            raise Permanent(Reason.TARGET_UNKNOWN, f"{version} is not applied here, so there is nothing to roll back")
        _refuse_below_others(chosen, undoable)
        return _with_scripts(chosen)

    return choose


def _refuse_below_others(chosen: tuple[MigrationFile, ...], applied: tuple[MigrationFile, ...]) -> None:
    """Later files were built on earlier ones: only the newest can go."""
    if not chosen:
        return
    oldest = chosen[-1]
    later = [file.name for file in applied if file.number > oldest.number and file not in chosen]
    if later:
        before = next((file.version for file in applied if file.number < oldest.number), "000")  # newest first
        raise Permanent(
            Reason.OUT_OF_ORDER,
            f"{', '.join(reversed(later))} came after {oldest.name}: roll all of them back with `rollback --to {before}`",
            place=Place(oldest.name),
        )


def _undoable(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
    """Newest first: what is applied, and what was begun without a transaction and failed half-way."""
    names = {row.name for row in history.applied} | set(history.partial)
    return tuple(sorted((file for file in files.files if file.name in names), key=lambda file: file.number, reverse=True))


def _applied(files: MigrationSet, history: History) -> tuple[MigrationFile, ...]:
    names = {row.name for row in history.applied}
    return tuple(sorted((file for file in files.files if file.name in names), key=lambda file: file.number, reverse=True))


def _with_scripts(chosen: tuple[MigrationFile, ...]) -> tuple[MigrationFile, ...]:
    missing = [file for file in chosen if file.rollback is None]
    if missing:
        names = ", ".join(file.rollback_name for file in missing)
        raise Permanent(
            Reason.ROLLBACK_MISSING,
            f"nothing was touched: {names} is not in the folder; write it, or restore a backup, or go forward with a new migration",
            place=Place(missing[0].name),
        )
    return chosen


def _number(version: str, files: MigrationSet) -> int:
    number = read_version(version, files.config.layout)
    if number is None:
        raise Permanent(Reason.TARGET_UNKNOWN, f"{version!r} is not a version: give the digits of a file's name, like 003")
    return number
