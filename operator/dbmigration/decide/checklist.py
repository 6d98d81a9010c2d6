"""`status.checklist`: the boxes of the list before a migration, and what is known of each.

About the newest plan with anything to do. What only a run sees (files, backup, verification) is said when its report comes and stays until
the next plan; what gates and people say is looked at each time. Proved is what was seen; what the spec does not ask for is NotRequired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from dbmigration.api.backup import BackupPolicy
from dbmigration.api.backup_record import BackupRecord
from dbmigration.api.checked import Checked
from dbmigration.api.checklist import EVIDENCE_LIMIT, Check, CheckState, Declaration, Item
from dbmigration.api.conditions import ConditionType, clip, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome, Report
from dbmigration.api.spec import OnFailure, Spec
from dbmigration.api.status import Status
from dbmigration.decide.approval import agreed, required
from dbmigration.decide.observed import Observed
from dbmigration.decide.window import closes_at

_DEVELOPMENT: Final = "development"
_SYNTAX_ERROR: Final = "42601"
_NOT_IN_ORDER: Final = frozenset(
    {Reason.DEPENDENCY_MISSING, Reason.OUT_OF_ORDER, Reason.MISSING_FILES, Reason.DUPLICATE_NUMBER, Reason.CHECKSUM_MISMATCH}
)
_ONLY_UP_TO: Final = "declared only up to"
_Found = tuple[CheckState, str]


@dataclass(frozen=True, slots=True)
class _Case:
    """`o.status` is what status is to be; `before` what the boxes said. `report`: of the run that has just ended, None at other times."""

    o: Observed
    spec: Spec
    before: Mapping[Item, Check]
    report: Report | None

    @property
    def status(self) -> Status:
        return self.o.status

    @property
    def waiting(self) -> bool:
        """Files are pending, as far as a run has seen."""
        return bool(self.status.pending)

    @property
    def checked(self) -> Checked | None:
        return self.report.checked if self.report else None

    @property
    def prepared(self) -> bool:
        return self.report is not None and self.report.reason is Reason.PREPARED


def checklist(o: Observed, status: Status, report: Report | None) -> tuple[Check, ...]:
    """The boxes that go with `status`, which is to be stored. `report`: of the run whose result is in it for the first time."""
    before = o.status
    settled = before.run is not None and before.run.final and before.run == status.run
    if o.spec is None or o.deleting or (settled and not before.checklist):  # one that an older operator has finished is left as it is
        return before.checklist
    case = _Case(replace(o, status=status), o.spec, {check.item: check for check in before.checklist}, report)
    return tuple(_check(case, item) for item in Item)


def _check(case: _Case, item: Item) -> Check:
    state, evidence = _BOXES[item](case, item)
    declared = next((each for each in case.spec.declared if each.item.value == item.value), None)
    if declared is not None and state is CheckState.NOT_REQUIRED:
        state, evidence = _declared(case, declared)
    return Check(item=item, state=state, evidence=clip(evidence, EVIDENCE_LIMIT))


def _declared(case: _Case, declared: Declaration) -> _Found:
    """A declaration of files up to a number says nothing of later ones."""
    plan = case.status.plan
    newest = (plan.to if plan else None) or case.status.version
    if declared.up_to is not None and newest is not None and not _covers(declared.up_to, newest):
        return CheckState.WAITING, f"{_ONLY_UP_TO} {declared.up_to}, and this is {newest}: {declared.where}"
    return CheckState.DECLARED, declared.where + (f" (up to {declared.up_to})" if declared.up_to else "")


def _covers(up_to: str, newest: str) -> bool:
    return int(newest) <= int(up_to) if up_to.isdecimal() and newest.isdecimal() else up_to == newest


def _tested(case: _Case, item: Item) -> _Found:
    """In the database that goes first, if it is of this environment; else in a restored copy of this one."""
    found = _promoted(case, item)
    if found[0] is not CheckState.NOT_REQUIRED or not case.spec.rehearses:
        return found
    known, report = case.status.rehearsal, case.report
    if case.checked is None or report is None:
        return _as_before(case, item)
    if known is None or known.plan_hash != report.plan_hash:
        return CheckState.WAITING, "the pending files run in a restored copy of the backup first"
    if not known.passed:
        return CheckState.FAILED, f"rehearsed in a restored copy: {known.message or 'it failed'}"
    how = f"{case.checked.files} files ran there in {known.duration_ms / 1000:.1f} s, at {known.completed_at:%Y-%m-%dT%H:%M:%SZ}"
    return CheckState.PROVED, f"rehearsed in a restored copy of {known.backup_uri or 'the database'}: {how}"


def _promoted(case: _Case, item: Item) -> _Found:
    stage, seen = case.o.stage, case.status.promotion
    environment = (seen.environment if seen else None) or (stage.environment if stage else None)
    if case.spec.promotion is None or (environment is None and item is Item.TESTED_IN_DEVELOPMENT):
        return CheckState.NOT_REQUIRED, "spec.promotion names no such database"
    if (environment == _DEVELOPMENT) != (item is Item.TESTED_IN_DEVELOPMENT):
        return CheckState.NOT_REQUIRED, f"spec.promotion is about {environment}"
    source = case.status.source
    if seen is not None and source is not None and seen.digest == source.digest:
        return CheckState.PROVED, f"the same files are applied there: {seen.by}, {environment or 'environment unknown'}"
    if case.waiting:
        return CheckState.WAITING, "spec.promotion: the files are not yet applied there"
    return CheckState.NOT_REQUIRED, "nothing was pending since spec.promotion asks for it"


def _reviewed(case: _Case, _: Item) -> _Found:
    if not required(case.spec):
        return CheckState.NOT_REQUIRED, "spec.approval asks for nobody's word"
    plan, approval = case.status.plan, case.status.approval
    if case.waiting:
        found = agreed(case.o)
        if found is not None:
            return CheckState.PROVED, _approval(found.name, found.plan_hash, found.approved_by)
        hashes = (plan.hash, plan.approved_hash) if plan else ()
        if approval is None or approval.spent_until is not None or approval.plan_hash not in hashes:
            return CheckState.WAITING, f"plan {(plan.hash if plan else None) or 'unknown'} waits for a MigrationApproval"
    if approval is None:
        return CheckState.NOT_REQUIRED, "nothing was pending since spec.approval asks for somebody's word"
    return CheckState.PROVED, _approval(approval.name, approval.plan_hash, approval.approved_by)


def _approval(name: str, plan_hash: str, by: str | None) -> str:
    return f"MigrationApproval {name} of plan {plan_hash[:12]}" + (f", by {by} as they say" if by else "")


def _backed_up(case: _Case, item: Item) -> _Found:
    report = case.report
    if case.prepared:
        return _backup_to_come(case.spec)
    if report is None or (case.checked is None and not report.rolled_back_now):
        return _restored_since(case, _as_before(case, item))
    if report.backup is not None and report.backup.verified:
        return CheckState.PROVED, _evidence(report.backup)
    if report.backup_reason is Reason.BACKUP_DECLARED:
        return CheckState.DECLARED, str(report.declared_backup or "spec.backup.policy is External")
    if report.backup_reason is Reason.BACKUP_SKIPPED:
        return CheckState.NOT_REQUIRED, "spec.backup.policy is Skip: none was taken"
    if report.backup_reason is None:
        return CheckState.WAITING, f"the newest run ended before it: {report.reason}"
    return CheckState.FAILED, f"{report.backup_reason}: {report.message}"


def _evidence(record: BackupRecord) -> str:
    restored = " and restored, row by row" if record.restored_at is not None else ""
    return f"{record.uri}, {record.bytes} bytes, sha256 {record.sha256}, read to its end{restored}"


def _restored_since(case: _Case, found: _Found) -> _Found:
    """A DatabaseRestore may show later that the backup of the box can be restored."""
    record = case.status.backup
    if record is None or found[1] != clip(_evidence(record.model_copy(update={"restored_at": None})), EVIDENCE_LIMIT):
        return found
    return found[0], _evidence(record)


def _backup_to_come(spec: Spec) -> _Found:
    if spec.backup.policy is BackupPolicy.SKIP:
        return CheckState.NOT_REQUIRED, "spec.backup.policy is Skip: none will be taken"
    if spec.backup.external is not None:
        return CheckState.DECLARED, f"spec.backup.external: {spec.backup.external.provider}"
    return CheckState.WAITING, "the run that applies takes it first"


def _rollback_prepared(case: _Case, item: Item) -> _Found:
    checked = case.checked
    if checked is None:
        return _as_before(case, item)
    if not checked.no_rollback_count:
        return CheckState.PROVED, f"all migrations of the {checked.files} files have their rollback script"
    more = " and more" if checked.no_rollback_count > len(checked.no_rollback) else ""
    missing = f"{checked.no_rollback_count} of {checked.files} have no rollback script: {', '.join(checked.no_rollback)}{more}"
    if case.spec.on_failure is OnFailure.ROLLBACK:
        return CheckState.FAILED, f"spec.onFailure is Rollback, and {missing}"
    return CheckState.NOT_REQUIRED, missing


def _in_order(case: _Case, item: Item) -> _Found:
    checked, report = case.checked, case.report
    if report is not None and report.reason in _NOT_IN_ORDER:
        return CheckState.FAILED, f"{report.reason}: {report.message}"
    if checked is None:
        return _as_before(case, item)
    return CheckState.PROVED, f"{checked.files} files in order; {checked.dependencies} dependencies of their headers are there"


def _no_syntax_errors(case: _Case, item: Item) -> _Found:
    checked, report = case.checked, case.report
    failure = report.failure if report else None
    if report is not None and (report.reason is Reason.META_COMMAND or (failure is not None and failure.sqlstate == _SYNTAX_ERROR)):
        return CheckState.FAILED, f"{report.reason}: {report.message}"
    if checked is None or report is None:
        return _as_before(case, item)
    if report.outcome is Outcome.SUCCEEDED and not case.prepared:
        return CheckState.PROVED, f"PostgreSQL executed all {checked.files} files"
    if report.rehearsal is not None and report.rehearsal.passed:
        return CheckState.PROVED, f"PostgreSQL executed all {checked.files} files in a restored copy"
    if checked.syntax is not None:
        return CheckState.FAILED, checked.syntax
    if checked.parsed:
        return CheckState.PROVED, f"PostgreSQL's own grammar reads all {checked.files} files"
    return CheckState.WAITING, "lint did not ask PostgreSQL's grammar (it is off, or there is no table yet): each file is read when it runs"


def _window(case: _Case, item: Item) -> _Found:
    window, run = case.spec.window, case.status.run
    if window is None:
        return CheckState.NOT_REQUIRED, "spec.window is not set: files run as soon as they are there"
    if case.waiting:
        opens = case.status.window.next_opening if case.status.window else None
        return (
            CheckState.WAITING,
            f"it opens at {opens:%Y-%m-%dT%H:%M:%SZ}" if opens else "the run that applies looks at it before each file",
        )
    if case.checked is not None and run is not None and closes_at(window, run.started_at) is not None:
        when = f"{run.job_name} started at {run.started_at:%Y-%m-%dT%H:%M:%SZ}"
        return CheckState.PROVED, f"{when}, in the window {window.schedule} of {window.duration}"
    return _as_before(case, item)


def _monitoring(case: _Case, _: Item) -> _Found:
    del case
    return CheckState.NOT_REQUIRED, "alerts cannot be seen from here: say in spec.declared where they are"


def _verified(case: _Case, item: Item) -> _Found:
    report = case.report
    if report is None or case.checked is None:
        return _as_before(case, item)
    if report.verify_reason is Reason.VERIFY_FAILED:
        return CheckState.FAILED, f"{report.reason}: {report.message}"
    if report.outcome is not Outcome.SUCCEEDED or case.prepared:
        return CheckState.WAITING, "each file's verify script runs with it"
    said = find(case.status.conditions, ConditionType.VERIFIED)
    if report.verify_reason is Reason.VERIFY_PASSED:
        return CheckState.PROVED, said.message if said else ""
    return CheckState.NOT_REQUIRED, said.message if said else "no migration was applied"


def _as_before(case: _Case, item: Item) -> _Found:
    """What a run said of the last plan stands until another plan is made; where one could not be made, nothing is known of it."""
    known, report = case.before.get(item), case.report
    if report is not None and report.outcome is not Outcome.SUCCEEDED and case.checked is None and not report.rolled_back_now:
        return CheckState.WAITING, f"the newest run made no plan: {report.reason}"
    if known is not None and _by_a_person(known):
        return CheckState.NOT_REQUIRED, "it is not declared any more"
    if known is not None and (report is None or known.state is not CheckState.WAITING):
        return known.state, known.evidence
    if report is not None:
        return CheckState.NOT_REQUIRED, "nothing was pending"
    return CheckState.WAITING, "no run has planned yet"


def _by_a_person(known: Check) -> bool:
    """What spec.declared made of the box, rather than a run."""
    declared = known.state is CheckState.DECLARED or known.evidence.startswith(_ONLY_UP_TO)
    return declared and known.item is not Item.BACKUP_CREATED


_BOXES: Final[Mapping[Item, Callable[[_Case, Item], _Found]]] = MappingProxyType(
    {
        Item.TESTED_IN_DEVELOPMENT: _tested,
        Item.TESTED_IN_STAGING: _tested,
        Item.REVIEWED: _reviewed,
        Item.BACKUP_CREATED: _backed_up,
        Item.ROLLBACK_PREPARED: _rollback_prepared,
        Item.DEPENDENCIES_VERIFIED: _in_order,
        Item.NO_SYNTAX_ERRORS: _no_syntax_errors,
        Item.MAINTENANCE_WINDOW: _window,
        Item.MONITORING_ALERTS: _monitoring,
        Item.VERIFIED_AFTERWARDS: _verified,
    }
)
