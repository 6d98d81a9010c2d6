"""What a person can do next about a DatabaseRestore, with commands as they are typed.

One that is done has steps, too: it is half of the way."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dbmigration.api.conditions import ConditionType, clip, find
from dbmigration.api.reasons import Reason
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.status import NEXT_STEP_LIMIT
from dbmigration.decide.advice import PAGES
from dbmigration.decide.restoring.observed import RestoreObserved

_RETRY: Final = '`kubectl annotate -n {namespace} dbr {name} dbmigration.dev/retry="$(date +%s)" --overwrite`'
_LOGS: Final = "`kubectl logs -n {namespace} job/{job}`"
_EVENTS: Final = "`kubectl describe pod -n {namespace} -l job-name={job}`"
_SECRET: Final = "`kubectl describe secret -n {namespace} {secret}`"  # noqa: S105 - a command
_SUSPEND: Final = '`kubectl patch -n {namespace} dbm {migration} --type=merge -p \'{{"spec":{{"suspend":true}}}}\'`'
_GO_ON: Final = '`kubectl patch -n {namespace} dbm {migration} --type=merge -p \'{{"spec":{{"suspend":false}}}}\'`'
_SWAP: Final = '`kubectl patch -n {namespace} dbr {name} --type=merge -p \'{{"spec":{{"swap":true}}}}\'`'
_BACKUPS: Final = "`kubectl get -n {namespace} dbm {migration} -o jsonpath='{{.status.runs}}'`"
_AT_ONCE: Final = f"it is tried again by itself; at once: {_RETRY}"
_WHEN_MENDED: Final = f"when that is mended: {_RETRY}"
_READ: Final = f"read what was said: {_LOGS}"
_ANOTHER: Final = f"make a DatabaseRestore with another backup.uri: {_BACKUPS}"

_STEPS: Final[Mapping[Reason, tuple[str, ...]]] = MappingProxyType(
    {
        Reason.RESTORED: (
            "look at database {into}, which nobody uses yet; if rows are missing only, copy them from there (docs/disaster.md)",
            f"or put it in the place of {{live}}: {_SUSPEND} and {_SWAP}",
        ),
        Reason.SWAPPED: (
            f"mend the files that lost data, then let it migrate again: {_GO_ON}",
            "when nobody misses anything any more, drop {old}",
        ),
        Reason.MIGRATION_NOT_SUSPENDED: (f"suspend it (with GitOps, in the repository): {_SUSPEND}",),
        Reason.MIGRATION_RUNNING: ("wait for it to end; this goes on by itself",),
        Reason.MIGRATION_MISSING: ("make the DatabaseMigration: `kubectl get dbm -n {namespace}`",),
        Reason.BACKUP_MISSING: (_ANOTHER,),
        Reason.RESTORE_FAILED: (f"mend what the message names, then: {_RETRY}", _ANOTHER),
        Reason.SWAP_FAILED: (f"stop or drop what the message names; nothing was swapped: {_LOGS}", _WHEN_MENDED),
        Reason.SECRET_MISSING: (f"make the Secret: {_SECRET}", _AT_ONCE),
        Reason.SECRET_INVALID: (f"compare the Secret's keys with those that the message asks for: {_SECRET}", _AT_ONCE),
        Reason.AUTHENTICATION_FAILED: (f"correct user and password in the Secret: {_SECRET}", _AT_ONCE),
        Reason.PERMISSION_DENIED: ("give the role the right that the message names", _WHEN_MENDED),
        Reason.DATABASE_UNAVAILABLE: (f"make sure that the server runs and can be reached from the pod: {_LOGS}", _AT_ONCE),
        Reason.DATABASE_READ_ONLY: (f"give the primary's address in the Secret: {_SECRET}", _AT_ONCE),
        Reason.POOLER_DETECTED: (f"give the server's own address in the Secret, not the pooler's: {_SECRET}", _AT_ONCE),
        Reason.DATABASE_CLAIMED: ("name the DatabaseMigration that the message says: `kubectl get dbm -n {namespace}`",),
        Reason.LOCK_HELD: ("wait for the run that the message names to end; this is tried again by itself",),
        Reason.BACKUP_FAILED: (f"mend what the message names: {_LOGS}", _AT_ONCE),
        Reason.RESTORE_SPACE_LOW: (
            "have the pod run where there is room for the dump, with ephemeral-storage in spec.job.resources.requests of the "
            "DatabaseMigration: `kubectl edit -n {namespace} dbm {migration}`",
            _AT_ONCE,
        ),
        Reason.CLIENT_VERSION_MISMATCH: ("use an image that has the clients of the server's major version",),
        Reason.POD_NOT_STARTED: (f"see what holds the pod up: {_EVENTS}",),
        Reason.IMAGE_PULL_FAILED: (f"correct the image, or job.imagePullSecrets of the DatabaseMigration: {_EVENTS}",),
        Reason.UNSCHEDULABLE: (f"make room on a node, or correct the volume's name in backup.uri: {_EVENTS}",),
        Reason.ADMISSION_DENIED: ("change what the message names, or have the quota or policy changed", _AT_ONCE),
        Reason.JOB_CONFLICT: ("remove the Job that stands in the way: `kubectl delete job -n {namespace} {job}`",),
        Reason.RUNNER_LOST: (_READ, _AT_ONCE),
        Reason.RETRY_LIMIT_REACHED: (_READ, _WHEN_MENDED),
        Reason.NOT_ALLOWED: ("name what the operator allows, or have its setting changed that the message names",),
        Reason.SPEC_INVALID: ("correct what the message names; what a DatabaseRestore restores is not changed, but made anew",),
        Reason.INTERNAL_ERROR: (f"report it with the log: {_LOGS}", f"try again: {_RETRY}"),
    }
)
"""The last step, the reason's page, is added to each."""


def next_steps(o: RestoreObserved, status: RestoreStatus) -> tuple[str, ...]:
    """About `status`, which is to be stored. None while it is on its way with nothing wrong."""
    ready = find(status.conditions, ConditionType.READY)
    if ready is None or ready.reason not in _STEPS:
        return ()
    reason = Reason(ready.reason)
    words = _words(o, status)
    steps = [clip(step.format_map(words), NEXT_STEP_LIMIT) for step in _STEPS[reason]]
    return (*steps, f"read {PAGES}/{reason}.md")


def suspend_command(namespace: str, migration: str) -> str:
    return _SUSPEND.strip("`").format_map({"namespace": namespace, "migration": migration})


def _words(o: RestoreObserved, status: RestoreStatus) -> dict[str, str]:
    of = o.migration.spec if o.migration else None
    return {
        "namespace": o.namespace,
        "name": o.name,
        "migration": o.spec.migration_ref.name if o.spec else "NAME",
        "job": status.run.job_name if status.run else "NAME",
        "into": o.spec.into if o.spec else "NAME",
        "live": status.database.name if status.database else "the one in use",
        "old": (status.swapped.old_database if status.swapped else None) or "the old database",
        "secret": of.database.secret_ref.name if of else "NAME",
    }
