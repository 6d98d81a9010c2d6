"""What a person can do next about a resource that is not Ready: three steps, with commands as they are typed, and the reason's page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dbmigration.api.conditions import ConditionType, clip, find
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import Spec
from dbmigration.api.status import NEXT_STEP_LIMIT, Status
from dbmigration.decide.observed import Observed
from dbmigration.errors import lacks_right

PAGES: Final = "docs/runbook"

_RETRY: Final = '`kubectl annotate -n {namespace} dbm {name} dbmigration.dev/retry="$(date +%s)" --overwrite`'
_LOGS: Final = "`kubectl logs -n {namespace} job/{job}`"
_EVENTS: Final = "`kubectl describe pod -n {namespace} -l job-name={job}`"
_APPROVE: Final = "see the plan and approve it: `kubectl dbmigration approve {name} --namespace {namespace}`"
_EDIT: Final = "`kubectl edit -n {namespace} dbm {name}`"
_STAGE: Final = "`kubectl describe -n {stage}`"
_SPEC: Final = "`kubectl get dbm -n {namespace} {name} -o jsonpath='{{.spec}}'`"
_FILES: Final = "`{files}`"
_SECRET: Final = "`kubectl describe secret -n {namespace} {secret}`"  # noqa: S105 - a command
_AT_ONCE: Final = f"it is tried again by itself; at once: {_RETRY}"
_WHEN_MENDED: Final = f"when that is mended: {_RETRY}"
_READ: Final = f"read what the run said: {_LOGS}"
_BACK_AND_NEW: Final = "put the old text of {where} back, and write the change as a new file"
_PICTURE: Final = "see every file and what holds it up: `kubectl dbmigration status {name} -n {namespace}`"
_PLAN: Final = "see what would run: `kubectl dbmigration plan {name} -n {namespace}`"
_JOB: Final = "see what its Job says: `kubectl describe job -n {namespace} {job}`"
_WHICH: Final = f"see what spec.database names: {_SPEC}"
_TARGET: Final = f"or leave it out for now, with a lower spec.target: {_EDIT}"
_MAPS: Final = f"see what the files are made from: {_FILES}"

_GRANTED: Final = ("have the right granted that the message names, or mend {where}", f"once it is granted: {_RETRY}", "{undo}")
"""Of a file that lacks a right: its text may be right as it is, and then nothing else starts a new run."""

_STEPS: Final[Mapping[Reason, tuple[str, ...]]] = MappingProxyType(
    {
        Reason.RESTORE_RUNNING: (
            "wait for it to end; the run starts by itself: `kubectl get dbr -n {namespace}`",
            "see how far it is: `kubectl describe dbr -n {namespace}`",
            _PLAN,
        ),
        Reason.BACKUP_DATABASE_MISMATCH: (
            "give the same database's own address in the Secret of spec.backup.secretRef: `kubectl describe secret -n {namespace} {dumps}`",
            _READ,
            _AT_ONCE,
        ),
        Reason.SUSPENDED: (
            'let it run: `kubectl patch -n {namespace} dbm {name} --type=merge -p \'{{"spec":{{"suspend":false}}}}\'`',
            _PLAN,
            _PICTURE,
        ),
        Reason.PROMOTION_PENDING: (
            f"see how far the files are there: {_STAGE}",
            _PLAN,
            f"to go without it, take spec.promotion out: {_EDIT}",
        ),
        Reason.APPROVAL_PENDING: (_APPROVE, _PLAN, _TARGET),
        Reason.APPROVAL_STALE: (
            f"the plan changed since: {_APPROVE}",
            _PLAN,
            "see who approved what: `kubectl get migrationapprovals -n {namespace} -o wide`",
        ),
        Reason.WINDOW_CLOSED: (
            f"wait for the opening; to go now, take spec.window out or widen it: {_EDIT}",
            _PLAN,
            'to keep it from running then: `kubectl patch -n {namespace} dbm {name} --type=merge -p \'{{"spec":{{"suspend":true}}}}\'`',
        ),
        Reason.SOURCE_MISSING: (f"make what the message names, or correct spec.source: {_FILES}", f"correct the name: {_EDIT}", _PICTURE),
        Reason.SOURCE_MOVED: (f"name the source by digest or commit: {_EDIT}", f"to take the files as they are now: {_RETRY}", _READ),
        Reason.SOURCE_TOO_LARGE: (f"name a folder in spec.source that has the migrations and nothing else: {_EDIT}", _READ, _PICTURE),
        Reason.SOURCE_UNAVAILABLE: (
            f"make sure that the source can be reached from the pod, or is ready: {_FILES}",
            _READ,
            _AT_ONCE,
        ),
        Reason.SOURCE_DENIED: (f"correct the Secret or the authority that spec.source.git names: {_FILES}", _READ, _AT_ONCE),
        Reason.SOURCE_CHANGING: ("wait until the ConfigMaps stand still; each run takes one state of them", _MAPS, _AT_ONCE),
        Reason.SECRET_MISSING: (f"make the Secret, or correct spec.database.secretRef: {_SECRET}", _WHICH, _AT_ONCE),
        Reason.SECRET_INVALID: (f"compare the Secret's keys with those that the message asks for: {_SECRET}", _WHICH, _AT_ONCE),
        Reason.AUTHENTICATION_FAILED: (f"correct user and password in the Secret: {_SECRET}", _READ, _AT_ONCE),
        Reason.PERMISSION_DENIED: ("give the role the right that the message names, or another role to the Secret", _READ, _AT_ONCE),
        Reason.DATABASE_UNAVAILABLE: (
            f"make sure that the server runs and can be reached from the pod: {_LOGS}",
            f"make sure that the Secret has the right host and port: {_SECRET}",
            _AT_ONCE,
        ),
        Reason.DATABASE_READ_ONLY: (f"give the primary's address in the Secret: {_SECRET}", _READ, _AT_ONCE),
        Reason.POOLER_DETECTED: (f"give the server's own address in the Secret, not the pooler's: {_SECRET}", _READ, _AT_ONCE),
        Reason.LOCK_HELD: (
            "wait for the run that the message names to end; it is tried again by itself",
            "see what runs in this namespace: `kubectl get jobs -n {namespace}`",
            _AT_ONCE,
        ),
        Reason.LOCK_TIMEOUT: (
            "end the session that the message names, or wait for its end (docs/locks.md)",
            f"or try longer, with spec.execution.lockTimeout and lockRetries: {_EDIT}",
            _AT_ONCE,
        ),
        Reason.BACKUP_FAILED: (
            f"mend what the message names; nothing was migrated: {_LOGS}",
            "see the newest backup that is whole: `kubectl get dbm -n {namespace} {name} -o jsonpath='{{.status.backup}}'`",
            _AT_ONCE,
        ),
        Reason.BACKUP_SPACE_LOW: (
            "make room: delete old backups, or enlarge the volume: `kubectl get pvc -n {namespace} {claim}`",
            f"keep fewer, with spec.backup.retention: {_EDIT}",
            _AT_ONCE,
        ),
        Reason.RESTORE_SPACE_LOW: (
            f"have the pod run where there is room for the dump, with ephemeral-storage in spec.job.resources.requests: {_EDIT}",
            f"or back up to a volume, from which nothing is fetched, with spec.backup.destination: {_EDIT}",
            _AT_ONCE,
        ),
        Reason.CLIENT_VERSION_MISMATCH: ("use an image that has pg_dump of the server's major version", _READ, _AT_ONCE),
        Reason.POD_NOT_STARTED: (f"see what holds the pod up: {_EVENTS}", _JOB, f"or change spec.job; the Job is made anew: {_EDIT}"),
        Reason.IMAGE_PULL_FAILED: (f"correct the image, or spec.job.imagePullSecrets: {_EVENTS}", _JOB, f"change spec.job: {_EDIT}"),
        Reason.UNSCHEDULABLE: (
            f"make room on a node, or change spec.job.nodeSelector, tolerations or resources: {_EVENTS}",
            _JOB,
            f"change spec.job: {_EDIT}",
        ),
        Reason.ADMISSION_DENIED: (
            "change what the message names, or have the quota or policy changed",
            "see the quotas: `kubectl describe resourcequota -n {namespace}`",
            _AT_ONCE,
        ),
        Reason.JOB_CONFLICT: (
            "see whose Job it is: `kubectl describe job -n {namespace} {job}`",
            "remove the Job that stands in the way: `kubectl delete job -n {namespace} {job}`",
            _AT_ONCE,
        ),
        Reason.RUNNER_LOST: (_READ, f"see what became of the pod: {_EVENTS}", _AT_ONCE),
        Reason.DEADLINE_EXCEEDED: (f"raise spec.job.activeDeadlineSeconds, or leave it out: {_EDIT}", _READ, _AT_ONCE),
        Reason.RETRY_LIMIT_REACHED: (_READ, _PICTURE, _WHEN_MENDED),
        Reason.SPEC_INVALID: (
            "correct the field that the message names: `kubectl edit -n {namespace} dbm {name}`",
            "see what the fields mean: `kubectl explain dbm.spec --recursive`",
            f"see what is there: {_SPEC}",
        ),
        Reason.NOT_ALLOWED: (
            f"name something that the message says is allowed: {_EDIT}",
            "or have those who run the operator lengthen the list (docs/security.md)",
            f"see what is there: {_SPEC}",
        ),
        Reason.SOURCE_INVALID: ("mend {where} and apply the files again; `dbmigration lint` finds it before", _MAPS, _PICTURE),
        Reason.DUPLICATE_NUMBER: ("give the newer of the two files another number", _MAPS, _PICTURE),
        Reason.META_COMMAND: ("write SQL in {where} in the place of the psql command", "find the others: `dbmigration lint`", _MAPS),
        Reason.DEPENDENCY_MISSING: (
            "add the file that {where} depends on, or mend its header",
            "see who needs whom: `dbmigration graph`",
            _MAPS,
        ),
        Reason.UNKNOWN_ENVIRONMENT: (f"correct spec.environment or the header of {{where}}: {_SPEC}", f"change it: {_EDIT}", _PICTURE),
        Reason.CHECKSUM_MISMATCH: (_BACK_AND_NEW, _MAPS, _PICTURE),
        Reason.PARTIAL_FILE_EDITED: (
            "put the old text back of the part of {where} that is done; what comes after it may change",
            _READ,
            _PICTURE,
        ),
        Reason.OUT_OF_ORDER: ("give {where} a higher number, or set spec.execution.outOfOrder: true", f"change it: {_EDIT}", _PICTURE),
        Reason.MISSING_FILES: (
            f"bring the files back that the message names: {_FILES}",
            "to go down instead, bring them back and use spec.rollback (docs/rollback.md)",
            _PICTURE,
        ),
        Reason.TARGET_UNKNOWN: ("correct spec.target: `kubectl edit -n {namespace} dbm {name}`", _MAPS, _PICTURE),
        Reason.TARGET_BELOW_APPLIED: (
            "raise spec.target; to go down, use spec.rollback (docs/rollback.md)",
            f"change it: {_EDIT}",
            _PICTURE,
        ),
        Reason.ROLLED_BACK: ("change the text of {where} or remove it", f"to apply it again as it is: {_RETRY}", _TARGET),
        Reason.ROLLBACK_MISSING: (
            "write the rollback script that the message names, or go forward with a new migration",
            f"to stay where it is, take spec.rollback out: {_EDIT}",
            _PICTURE,
        ),
        Reason.PLAN_CHANGED: (
            "read the new plan in the message; if you agree, write its hash to spec.rollback.planHash",
            f"change it: {_EDIT}",
            _PICTURE,
        ),
        Reason.HISTORY_MOVED: ("name the table of the message in spec.history: `kubectl edit -n {namespace} dbm {name}`", _WHICH, _READ),
        Reason.HISTORY_FOREIGN: (
            "name another table in spec.history; to take another tool's history over: docs/adopt.md",
            f"change it: {_EDIT}",
            _READ,
        ),
        Reason.DATABASE_CLAIMED: (
            f"correct spec.database, if it names the wrong one: {_SPEC}",
            "or take the database over from the owner that the message names: spec.database.takeOver",
            "see whose it is and since when, and what its claim says: `dbmigration claim`",
        ),
        Reason.SCHEMA_DRIFTED: (
            "undo the change that the message names, or accept it: `dbmigration drift --accept`",
            "see the first differences: `kubectl get dbm -n {namespace} {name} -o jsonpath='{{.status.drift}}'`",
            _WHEN_MENDED,
        ),
        Reason.LINT_FAILED: (
            "change {where} as the rule's page says, or write above it why it is safe (docs/lint.md)",
            _READ,
            f"or leave the rule out for this database, with spec.lint.ignore: {_EDIT}",
        ),
        Reason.REHEARSAL_FAILED: (
            "mend {where} and apply the files again; the database was not touched",
            _READ,
            "see times, locks and rewrites: `kubectl get dbm -n {namespace} {name} -o jsonpath='{{.status.rehearsal}}'`",
        ),
        Reason.REHEARSAL_UNSAFE: (
            f"do what {{where}} does to the whole server by hand, or set spec.rehearsal.mode to Off for this time: {_EDIT}",
            f"or rehearse on a server of its own (spec.rehearsal.where: Pod): {_EDIT}",
            _READ,
        ),
        Reason.REHEARSAL_SERVER_FAILED: (
            f"give the server what the message names, in spec.rehearsal.server: {_EDIT}",
            f"or rehearse on another server (spec.rehearsal.where), or not at all (mode: Off): {_EDIT}",
            _READ,
        ),
        Reason.RESTORE_FAILED: (
            "find out why the backup cannot be restored before you rely on it: docs/rehearsal.md",
            f"or rehearse on another server, or not at all: {_EDIT}",
            _READ,
        ),
        Reason.SQL_FAILED: ("mend {where} and apply the files again: new text starts a new run", _READ, "{undo}"),
        Reason.VERIFY_FAILED: ("mend {where}, or the migration that it verifies, and apply the files again", _READ, "{undo}"),
        Reason.SEED_FAILED: ("mend {where} and apply the files again; the migrations are applied", _READ, "{undo}"),
        Reason.OUTCOME_UNKNOWN: (
            "look in the database whether the statement at {where} took effect; the message says how to record it",
            _READ,
            f"once that is recorded: {_RETRY}",
        ),
        Reason.INTERNAL_ERROR: (f"report it with the run's log: {_LOGS}", f"try again: {_RETRY}", _PICTURE),
    }
)
"""Only reasons that can make a resource not Ready and leave a person anything to do. The last step, the reason's page, is added to each."""


def next_steps(observed: Observed, status: Status, *, job: str | None = None) -> tuple[str, ...]:
    """About `status`, which is to be stored. None while it is Ready, or on its way with nothing wrong. `job`: another than its run's."""
    ready = find(status.conditions, ConditionType.READY)
    if ready is None or ready.status == "True" or ready.reason not in _STEPS:
        return ()
    reason = Reason(ready.reason)
    words = _words(observed, status) | ({"job": job} if job else {})
    denied = status.run is not None and lacks_right(reason, status.run.sqlstate)
    steps = [clip(step.format_map(words), NEXT_STEP_LIMIT) for step in (_GRANTED if denied else _STEPS[reason])]
    return (*steps, f"read {PAGES}/{reason}.md")


def _words(observed: Observed, status: Status) -> dict[str, str]:
    run, spec = status.run, observed.spec
    where = "the file that the message names"
    if run is not None and run.file:
        where = run.file if run.line is None else f"{run.file}:{run.line}"
    destination = spec.backup.destination if spec else None
    claim = destination.persistent_volume_claim if destination else None
    return {
        "namespace": observed.namespace,
        "name": observed.name,
        "job": run.job_name if run else "NAME",
        "where": where,
        "dumps": (spec.backup.secret_ref or spec.database.secret_ref).name if spec else "NAME",
        "secret": spec.database.secret_ref.name if spec else "NAME",
        "stage": _stage(observed),
        "files": _looking_at_files(observed, spec),
        "undo": _undo(observed, status),
        "claim": claim.claim_name if claim else "NAME",
    }


def _undo(observed: Observed, status: Status) -> str:
    """The way back, where the newest run got further than where it began."""
    before, name = (status.runs[0].from_ if status.runs else None) or "000", observed.name
    if status.version is None or status.version == before:
        return _PICTURE.format(name=name, namespace=observed.namespace)
    return f"or undo what this run applied before it: `kubectl dbmigration rollback {name} -n {observed.namespace} --to {before}`"


def _stage(observed: Observed) -> str:
    """Namespace, kind and name of what goes first."""
    promotion = observed.spec.promotion if observed.spec else None
    if promotion is not None and promotion.evidence is not None:
        return f"{observed.namespace} configmap {promotion.evidence.config_map_ref.name}"
    after = promotion.after if promotion is not None else None
    return f"{(after and after.namespace) or observed.namespace} dbm {after.name if after else observed.name}"


def _looking_at_files(observed: Observed, spec: Spec | None) -> str:
    if spec is None or spec.source.config_maps:
        names = " ".join(each.name for each in spec.source.config_maps) if spec else "NAME"
        return f"kubectl get configmap -n {observed.namespace} {names}"
    return f"kubectl get dbm -n {observed.namespace} {observed.name} -o jsonpath='{{.spec.source}}'"
