"""A look at whose a database is, and the release of a claim whose owner is gone. Neither needs the files."""

from typing import NamedTuple

from dbmigration.errors import DbmigrationError
from dbmigration.postgres import claim
from dbmigration.run.result import RunResult, now
from dbmigration.run.steps import Steps


class Claimed(NamedTuple):
    """`owner` None: nobody's. `taken`: when that came to be."""

    owner: str | None
    taken: claim.Taken = claim.Taken()


def look_at_claim(steps: Steps) -> tuple[RunResult, Claimed]:
    """Write nothing, take no lock. What stopped it is in the result."""
    result, found = RunResult(run_id=steps.options.run_id, started_at=now()), Claimed(None)
    try:
        with steps.connected(result, writable=False) as session:
            there = claim.stored(session)
            found = Claimed(str(there.owner), claim.taken(session, there)) if there else found
    except DbmigrationError as error:
        result.error = error
    result.owner = found.owner
    return result, found


def release_claim(steps: Steps, owner: str) -> RunResult:
    """Take `owner`'s claim off the database, under the lock. What refused it is in the result, see `claim.release`."""
    result = RunResult(run_id=steps.options.run_id, started_at=now())
    try:
        with steps.connected(result) as session, steps.locked(session):
            claim.release(session, owner, run_id=steps.options.run_id)
    except DbmigrationError as error:
        result.error = error
    return result
