"""Whether a plan is one that somebody agreed to. Only what stands in files counts: names, checksums, order, environment.

A run that was interrupted half way leaves a shorter plan with another hash. It is covered by the approval of the whole: put the files that
were applied last back in front of what is pending, one more at a time, and see whether that is the plan that was approved.
"""

from collections.abc import Collection

from dbmigration.api.states import State
from dbmigration.migrations.model import Plan, PlannedMigration
from dbmigration.migrations.plan import hash_of

_LONGEST = 1000
"""Files that an interrupted run may have applied and be recognised by."""


def approved_hash(plan: Plan, approved: Collection[str]) -> str | None:
    """The approved hash that `plan` has, or of whose plan it is the rest; None where nobody agreed to it."""
    if plan.hash in approved:
        return plan.hash
    if not approved:
        return None
    lines = (*plan.migrations, *plan.seeds)
    chosen = {file.name for file in (*plan.pending, *plan.pending_seeds)}
    for line in _newest_first(lines)[:_LONGEST]:
        chosen.add(line.name)
        found = hash_of(plan.environment, (each.file for each in lines if each.file is not None and each.name in chosen))
        if found in approved:
            return found
    return None


def _newest_first(lines: tuple[PlannedMigration, ...]) -> list[PlannedMigration]:
    applied = [(line.applied_at, at, line) for at, line in enumerate(lines) if line.state is State.APPLIED and line.applied_at]
    return [line for _, _, line in sorted(applied, key=lambda each: each[:2], reverse=True)]
