"""What DatabaseRestores do with the database of a DatabaseMigration, as the list of its Jobs shows it."""

from datetime import datetime

from dbmigration.api.names import API_VERSION, BACKUP_ANNOTATION, PURPOSE_ANNOTATION, RESTORE_ANNOTATION, RESTORE_KIND, RESTORE_PLURAL
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.status import Status
from dbmigration.decide.observed import RestoreJob, RestoreTest
from dbmigration.kube.client import Api, JsonObject, namespaced
from dbmigration.kube.resources import read_status

_STEPS = frozenset(step.value for step in RestoreStep)


def restore_path(namespace: str, name: str, subresource: str | None = None) -> str:
    return namespaced(API_VERSION, namespace, RESTORE_PLURAL, name, subresource)


def read_restore_jobs(api: Api, namespace: str, found: list[JsonObject], status: Status) -> tuple[RestoreJob, ...]:
    """Those of the Jobs that are DatabaseRestores', in order. `status`: of the DatabaseMigration. Raises ApiFailure.

    What came of one stands on its DatabaseRestore, which is read only for a Job at work, for a swap that status does not know of, and for
    a restore of its backup while that is not known to have been restored.
    """
    return tuple(_restore_job(api, namespace, job, status) for job in found if is_of_restore(job))


def is_of_restore(job: JsonObject) -> bool:
    """A Job of a DatabaseRestore, not on its way out."""
    metadata = job["metadata"]
    owners = metadata.get("ownerReferences") or ()
    owned = any(owner.get("controller") and owner.get("kind") == RESTORE_KIND for owner in owners)
    return owned and "deletionTimestamp" not in metadata and (metadata.get("annotations") or {}).get(PURPOSE_ANNOTATION) in _STEPS


def is_over(job: JsonObject) -> bool:
    """The Job itself is finished."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)


def _restore_job(api: Api, namespace: str, job: JsonObject, known: Status) -> RestoreJob:
    metadata = job["metadata"]
    annotations = metadata["annotations"]
    step, restore = annotations[PURPOSE_ANNOTATION], str(annotations.get(RESTORE_ANNOTATION, ""))
    created_at, over = datetime.fromisoformat(metadata["creationTimestamp"]), is_over(job)
    swapped, tested = False, None
    unknown_swap = step == RestoreStep.SWAP and (known.replaced is None or created_at > known.replaced.at)
    untested = known.backup is not None and known.backup.restored_at is None and annotations.get(BACKUP_ANNOTATION) == known.backup.uri
    if (unknown_swap or untested or not over) and restore:
        status = (api.get_or_none(restore_path(namespace, restore)) or {}).get("status") or {}
        run = status.get("run") or {}
        stored = run.get("jobName") == metadata["name"] and run.get("finishedAt") is not None
        over = over or stored
        swapped = stored and run.get("step") == RestoreStep.SWAP and run.get("outcome") == "Succeeded"
        tested = _tested(read_status(RestoreStatus, status))
    return RestoreJob(metadata["name"], restore, step, created_at, over, swapped, tested)


def _tested(status: RestoreStatus) -> RestoreTest | None:
    if status.restored is None or status.backup is None:
        return None
    return RestoreTest(status.backup.uri, status.backup.sha256, status.restored.completed_at)
