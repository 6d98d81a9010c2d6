"""Short ways to say that a resource rehearses, and what a rehearsal found."""

from datetime import timedelta
from typing import Any

from dbmigration.api.reasons import Reason
from dbmigration.api.report import RehearsalReport, RehearsedFile, Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide import keys
from dbmigration.decide.decision import Decision
from dbmigration.decide.rules import decide
from tests.unit.observing import BACKUP, NOW, ended, key_of, report, run, seen, spec

MINUTE = 60_000
HOUR = 60 * MINUTE
ON = spec(rehearsal={})
OPEN = {"schedule": "0 11 * * *", "duration": "2h"}
"""From an hour before NOW to an hour after it; the next is tomorrow at eleven."""


def rehearsal(*minutes: float, passed: bool = True, plan_hash: str = "sha256:plan", **changes: Any) -> RehearsalReport:
    """Files 005_x.sql and on that took so many minutes, rehearsed in the last ten."""
    files = tuple(
        RehearsedFile(name=f"{number:03d}_x.sql", statements=1, duration_ms=int(each * MINUTE)) for number, each in enumerate(minutes, 5)
    )
    base = RehearsalReport(
        passed=passed,
        plan_hash=plan_hash,
        backup_uri=BACKUP.uri,
        started_at=NOW - timedelta(minutes=10),
        completed_at=NOW,
        duration_ms=sum(file.duration_ms for file in files),
        files=files,
    )
    return base.model_copy(update=changes)


def prepared(found: RehearsalReport, **changes: Any) -> Report:
    names = tuple(file.name for file in found.files)
    given = {"reason": Reason.PREPARED, "executed_sql": False, "applied_now": (), "pending": len(names), "pending_names": names}
    return report(**(given | {"rehearsal": found} | changes))


def after(given: Spec, said: Report) -> Decision:
    """What is decided after a run of this spec has said this."""
    of = run().model_copy(update={"key": key_of(given), "spec_hash": keys.spec_hash(given)})
    job = ended(said, run_key=key_of(given), spec_hash=keys.spec_hash(given), complete=True)
    first = decide(seen(spec=given, status=Status(run=of), jobs=(job,)), NOW)
    assert first.rule == "run_finished"
    return decide(seen(spec=given, status=first.status, jobs=(job,)), NOW)
