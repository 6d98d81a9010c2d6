"""What of a database that was migrated by other means counts as applied: chosen here, recorded by the engine, and nothing is run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent
from dbmigration.migrations.layout import read_version
from dbmigration.migrations.model import History, MigrationSet, Plan
from dbmigration.migrations.plan import survey
from dbmigration.postgres.adopt import Adopted
from dbmigration.postgres.session import Session

if TYPE_CHECKING:
    from dbmigration.adopt.matching import Matching

_NO_OBSTACLE = (Reason.OUT_OF_ORDER, Reason.ROLLED_BACK, Reason.PARTIAL_FILE_EDITED)
"""Findings of a plan that say how files may be run: none is."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What would be recorded, in this order, with events of this `kind`. `plan`: what is applied and pending before.

    `matching`: another tool's rows beside our files, None for a baseline. `refusals`: what forbids it, gravest first.
    """

    kind: str
    adopted: tuple[Adopted, ...]
    plan: Plan
    matching: "Matching | None" = None
    refusals: tuple[Permanent, ...] = ()


Adopt = Callable[[Session, MigrationSet, History, str | None], Adoption]
"""Chooses, given the session, the set, what is recorded, and the environment."""

Agree = Callable[[Adoption], bool]
"""Asked before anything is written; False: nothing is."""


def baseline(version: str) -> Adopt:
    """Every file of this environment up to `version` that is not recorded yet. Once all are, there is nothing to do.

    Raises Permanent TARGET_UNKNOWN, OUT_OF_ORDER, and what forbids a plan: UNKNOWN_ENVIRONMENT, ENVIRONMENT_REQUIRED,
    MISSING_FILES, CHECKSUM_MISMATCH.
    """

    def choose(session: Session, files: MigrationSet, history: History, environment: str | None) -> Adoption:
        del session
        plan, refusals = _look(files, history, environment)
        limit = read_version(version, files.config.layout)
        if limit is None or all(file.number != limit for file in files.files):
            newest = f"the newest is {files.files[-1].version}" if files.files else "the folder holds none"
            raise Permanent(Reason.TARGET_UNKNOWN, f"{version!r} is no migration of this set: {newest}")
        waiting = [
            line.file
            for line in plan.migrations
            if line.file is not None and line.number <= limit and line.state in (State.PENDING, State.ROLLED_BACK)
        ]
        newest_applied = plan.newest
        if waiting and newest_applied is not None and newest_applied.number > waiting[0].number:
            names = ", ".join(file.name for file in waiting[:10])
            message = (
                f"{names} would be recorded below {newest_applied.version}, which is applied: a baseline is for a database that was made "
                "before its history. Apply what is missing (--out-of-order), or give it a higher number"
            )
            refusals = (*refusals, Permanent(Reason.OUT_OF_ORDER, message))
        detail = {"version": version}
        return Adoption("baselined", tuple(Adopted(file, None, detail) for file in waiting), plan, refusals=refusals)

    return choose


def import_history(
    tool: str | None = None, table: tuple[str, str] | None = None, *, skip_unmatched: bool = False, accept_changed: bool = False
) -> Adopt:
    """What another tool recorded in this database: the one that is found, that of `tool`, or that in `table` (schema, name).

    `skip_unmatched`: its rows that are no file of the folder stay where they are; `accept_changed`: a file that is not what the tool's
    checksum was made of is taken all the same. Raises as `recognise.read_foreign_history` does.
    """

    def choose(session: Session, files: MigrationSet, history: History, environment: str | None) -> Adoption:
        from dbmigration.adopt.matching import match_files
        from dbmigration.adopt.recognise import read_foreign_history

        plan, refusals = _look(files, history, environment)
        foreign = read_foreign_history(session, tool, table)
        matching = match_files(foreign, files, environment)
        refusals += matching.refusals(skip_unmatched=skip_unmatched, accept_changed=accept_changed)
        recorded = {row.name for row in history.applied}
        source = {"tool": foreign.tool.name, "table": str(foreign.table)}
        chosen = [Adopted(file, None, source) for file in matching.implied if file.name not in recorded]
        for match in matching.matches:
            if match.file is not None and match.file.name not in recorded:
                recorded.add(match.file.name)
                detail = source | {"row": match.row.label, "checksum_agrees": match.intact}
                chosen.append(Adopted(match.file, match.row.applied_at, detail))
        return Adoption("imported", tuple(chosen), plan, matching, refusals)

    return choose


def _look(files: MigrationSet, history: History, environment: str | None) -> tuple[Plan, tuple[Permanent, ...]]:
    found = survey(files, history, environment=environment, target=None, out_of_order=True, reapply_rolled_back=True)
    return found.plan, tuple(finding for finding in found.findings if finding.reason not in _NO_OBSTACLE)
