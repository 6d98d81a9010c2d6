"""What belongs to every decision, whichever rule made it: next steps, checklist, and the event that `kubectl describe` ends with."""

from dataclasses import replace
from datetime import datetime

from dbmigration.api.report import Report
from dbmigration.decide.advice import next_steps
from dbmigration.decide.announce import with_steps
from dbmigration.decide.checklist import checklist
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Observed


def completed(o: Observed, decision: Decision, now: datetime, *, report: Report | None = None, job: str | None = None) -> Decision:
    """`report`: of the run whose result the decision stores. `job`: the Job that a person has to look at, None: the newest run's."""
    steps = next_steps(o, decision.status, job=job)
    boxes = checklist(o, decision.status, report)
    status = decision.status.model_copy(update={"next_steps": steps, "checklist": boxes}).fit()
    return replace(decision, status=status, announcements=with_steps(decision.announcements, status, now))
