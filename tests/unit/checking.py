"""Short ways to ask for the boxes of a checklist."""

from typing import Any

from dbmigration.api.checked import Checked
from dbmigration.api.checklist import CheckState, Item
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import SourceStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.observed import Observed
from dbmigration.decide.rules import decide
from tests.unit.observing import DIGEST, NOW, ended, report, run, seen, spec

CHECKED = Checked(files=4, to="004", dependencies=3, parsed=True)
APPLIED = report(checked=CHECKED)
PLAN = "a" * 64
PREPARED = report(
    reason=Reason.PREPARED,
    plan_hash=PLAN,
    executed_sql=False,
    applied_now=(),
    pending=4,
    pending_names=("004_d.sql",),
    applied=0,
    version=None,
    backup=None,
    backup_reason=None,
    verify_reason=Reason.NOTHING_PENDING,
    checked=CHECKED,
)
APPROVAL = {"required": True}
PROVED, WAITING, FAILED, NOT_REQUIRED = CheckState.PROVED, CheckState.WAITING, CheckState.FAILED, CheckState.NOT_REQUIRED

Boxes = dict[Item, tuple[CheckState, str]]


def boxes(observed: Observed) -> Boxes:
    return {check.item: (check.state, check.evidence) for check in decide(observed, NOW).status.checklist}


def after(given: Report, asked: Spec | None = None, *, settle: bool = True, **changes: Any) -> Boxes:
    """What the list says once a run has ended so, and once that was looked at again."""
    asked = asked or spec()
    status = Status(run=run(key=keys.run_key(asked, DIGEST, None), spec_hash=keys.spec_hash(asked)), source=SourceStatus(digest=DIGEST))
    job = ended(given, run_key=keys.run_key(asked, DIGEST, None))
    first = decide(seen(spec=asked, status=changes.pop("status", status), jobs=(job,), **changes), NOW)
    if not settle:
        return {check.item: (check.state, check.evidence) for check in first.status.checklist}
    found = decide(seen(spec=asked, status=first.status, **changes), NOW)
    again = decide(seen(spec=asked, status=found.status, **changes), NOW)
    if found.start is None:
        assert again.status == found.status, "an idle operator writes nothing"
    return {check.item: (check.state, check.evidence) for check in found.status.checklist}
