"""The Job of a step of a DatabaseRestore. Pure. It is about a DatabaseMigration's database and owned by the DatabaseRestore."""

from dbmigration.api.names import (
    ATTEMPT_ANNOTATION,
    BACKUP_ANNOTATION,
    POD_HASH_ANNOTATION,
    PURPOSE_ANNOTATION,
    RESOURCE_ANNOTATION,
    RESTORE_ANNOTATION,
    RESTORE_KIND,
    RESTORE_UID_LABEL,
    RETRY_VALUE_ANNOTATION,
    RUN_KEY_ANNOTATION,
    UID_LABEL,
)
from dbmigration.api.restore_request import RESTORE_REQUEST_VARIABLE, RestoreStep
from dbmigration.decide.observed import Runner
from dbmigration.decide.restoring.observed import StartStep
from dbmigration.decide.restoring.start import claim_of
from dbmigration.kube.jobs import Owned, bucket_mounts, database_mounts, job_of, pod_of, volume_mount
from dbmigration.kube.mounts import Manifest, Mount


def build_restore_job(start: StartStep, runner: Runner) -> Manifest:
    """The manifest of the Job `start` names. No deadline: a restore takes as long as it takes."""
    request, spec = start.request, start.migration
    owned = Owned(
        RESTORE_KIND,
        request.resource,
        {UID_LABEL: request.migration.uid, RESTORE_UID_LABEL: request.resource.uid},
        {RESOURCE_ANNOTATION: request.migration.name, RESTORE_ANNOTATION: request.resource.name},
    )
    annotations = {
        RUN_KEY_ANNOTATION: start.key,
        POD_HASH_ANNOTATION: start.pod_hash,
        ATTEMPT_ANNOTATION: str(start.attempt),
        PURPOSE_ANNOTATION: request.step.value,
        **({BACKUP_ANNOTATION: request.uri} if request.step is RestoreStep.RESTORE else {}),
        **({RETRY_VALUE_ANNOTATION: start.retry_value} if start.retry_value is not None else {}),
    }
    pod = pod_of("run-restore", (RESTORE_REQUEST_VARIABLE, request), _mounts(start), spec, runner)
    return job_of(start.job_name, owned, annotations, pod, spec)


def _mounts(start: StartStep) -> list[Mount]:
    """A swap needs no backup, and a restore only reads it."""
    mounts = database_mounts(start.migration)
    if start.request.step is RestoreStep.SWAP:
        return mounts
    claim = claim_of(start.request.uri)
    if claim is not None:
        return [*mounts, volume_mount(claim, read_only=True)]
    destination = start.migration.backup.destination
    return [*mounts, *(bucket_mounts(destination.s3) if destination is not None and destination.s3 is not None else ())]
