"""What DatabaseRestores do with the database of a DatabaseMigration, as the list of its Jobs shows it."""

from datetime import datetime

from dbmigration.api.names import API_VERSION, PURPOSE_ANNOTATION, RESTORE_ANNOTATION, RESTORE_KIND, RESTORE_PLURAL
from dbmigration.api.restore_request import RestoreStep
from dbmigration.decide.observed import RestoreJob
from dbmigration.kube.client import Api, JsonObject, namespaced

_STEPS = frozenset(step.value for step in RestoreStep)


def restore_path(namespace: str, name: str, subresource: str | None = None) -> str:
    return namespaced(API_VERSION, namespace, RESTORE_PLURAL, name, subresource)


def read_restore_jobs(api: Api, namespace: str, found: list[JsonObject], known_until: datetime | None) -> tuple[RestoreJob, ...]:
    """Those of the Jobs that are DatabaseRestores', in order. Raises ApiFailure.

    What came of one stands on its DatabaseRestore, which is read only for a Job at work and for a swap that is newer than `known_until`.
    """
    return tuple(_restore_job(api, namespace, job, known_until) for job in found if is_of_restore(job))


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


def _restore_job(api: Api, namespace: str, job: JsonObject, known_until: datetime | None) -> RestoreJob:
    metadata = job["metadata"]
    annotations = metadata["annotations"]
    step, restore = annotations[PURPOSE_ANNOTATION], str(annotations.get(RESTORE_ANNOTATION, ""))
    created_at, over = datetime.fromisoformat(metadata["creationTimestamp"]), is_over(job)
    swapped = False
    unknown_swap = step == RestoreStep.SWAP and (known_until is None or created_at > known_until)
    if (unknown_swap or not over) and restore:
        status = (api.get_or_none(restore_path(namespace, restore)) or {}).get("status") or {}
        run = status.get("run") or {}
        stored = run.get("jobName") == metadata["name"] and run.get("finishedAt") is not None
        over = over or stored
        swapped = stored and run.get("step") == RestoreStep.SWAP and run.get("outcome") == "Succeeded"
    return RestoreJob(metadata["name"], restore, step, created_at, over, swapped)
