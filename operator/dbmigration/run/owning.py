"""One writer for each database: who else's it is refuses a run before it plans, and its first change makes it the resource's own."""

from collections.abc import Callable
from typing import NamedTuple

from dbmigration.migrations.model import History, HistoryTable
from dbmigration.postgres.session import Session
from dbmigration.run.options import RunOptions
from dbmigration.run.result import RunResult


class Ownership(NamedTuple):
    """What a run under the lock found. `missing`: the run's resource has yet to write its claim."""

    session: Session
    table: HistoryTable
    options: RunOptions
    missing: bool

    def take(self, result: RunResult, say: Callable[[str], None]) -> None:
        """Write the claim if it is not there. Called where the run is about to change something; raises as `claim.write` does."""
        if not self.missing or self.options.owner is None:
            return
        from dbmigration.postgres import claim

        before = result.owner
        result.owner = str(claim.write(self.session, self.table, self.options.owner, run_id=self.options.run_id).owner)
        if before != result.owner:
            say(f"this database is {result.owner}'s from now on" + (f", and was {before}'s" if before else ""))

    def take_if_known(self, result: RunResult, say: Callable[[str], None]) -> None:
        """The same for a run that changes nothing: a database in which nothing of ours is, is left as it is."""
        if self.missing and self.session.query("SELECT pg_catalog.to_regclass('dbmigration.meta') IS NOT NULL")[0][0]:
            self.take(result, say)


def name_owner(session: Session, history: History, result: RunResult) -> None:
    """Who migrates this database goes into the result, and nobody is refused for it."""
    if history.claim is not None:
        from dbmigration.postgres import claim

        found = claim.read(history.claim, session.server.identity)
        result.owner = str(found.owner) if found else None


def look_for_owner(session: Session, table: HistoryTable, options: RunOptions, history: History, result: RunResult) -> Ownership:
    """Who migrates this database goes into the result. Raises Permanent DATABASE_CLAIMED when that is somebody else."""
    if history.claim is None:
        return Ownership(session, table, options, missing=options.owner is not None)
    from dbmigration.postgres import claim

    found = claim.read(history.claim, session.server.identity)
    result.owner = str(found.owner) if found else None
    claim.refuse_other(found, options.owner, options.claimed_by)
    return Ownership(session, table, options, missing=options.owner is not None and (found is None or found.owner != options.owner))
