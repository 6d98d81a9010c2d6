"""Gather everything about one DatabaseRestore, and do what was decided about it."""

from datetime import datetime, timedelta

from dbmigration.api.conditions import clip
from dbmigration.api.names import PURPOSE_ANNOTATION, RESTORE_ANNOTATION, RESTORE_KIND, RESTORE_UID_LABEL, RETRY_ANNOTATION, UID_LABEL
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.attempts import has_result_of
from dbmigration.decide.observed import Runner
from dbmigration.decide.restoring.observed import MigrationSeen, RestoreDecision, RestoreObserved, StepJob
from dbmigration.decide.restoring.rules import start_refused
from dbmigration.kube.act import make_job, tell
from dbmigration.kube.client import Api, JsonObject, resource_path
from dbmigration.kube.job_seen import job_seen, owned_by, read_jobs, report_of, with_pods
from dbmigration.kube.resources import Seen, read_spec, read_status
from dbmigration.kube.restore_jobs import build_restore_job
from dbmigration.kube.restore_seen import is_of_restore, is_over, restore_path


def observe_restore(api: Api, runner: Runner, namespace: str, name: str, now: datetime) -> Seen[RestoreObserved] | None:
    """Everything about it, None when it does not exist. Raises ApiFailure."""
    resource = api.get_or_none(restore_path(namespace, name))
    if resource is None:
        return None
    metadata, raw_status = resource["metadata"], resource.get("status") or {}
    spec, spec_error = read_spec(RestoreSpec, resource.get("spec") or {})
    status = read_status(RestoreStatus, raw_status)
    observed = RestoreObserved(
        namespace=namespace,
        name=name,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        retry=(metadata.get("annotations") or {}).get(RETRY_ANNOTATION),
        spec=spec,
        spec_error=spec_error,
        status=status,
        migration=_read_migration(api, namespace, spec.migration_ref.name, metadata["uid"]) if spec is not None else None,
        jobs=_read_steps(api, namespace, metadata["uid"], status, now),
        runner=runner,
        deleting="deletionTimestamp" in metadata,
    )
    return Seen(observed, metadata["resourceVersion"], raw_status)


def act_on_restore(api: Api, seen: Seen[RestoreObserved], decision: RestoreDecision, now: datetime) -> timedelta | None:
    """As `act.act`."""
    observed = seen.observed
    if decision.start is not None:
        refused = make_job(api, build_restore_job(decision.start, observed.runner), observed.uid)
        if refused is not None:
            decision = start_refused(observed, refused, now)
    return tell(api, seen, decision, restore_path(observed.namespace, observed.name, "status"), RESTORE_KIND, now).again_after


def _read_migration(api: Api, namespace: str, name: str, restore_uid: str) -> MigrationSeen | None:
    resource = api.get_or_none(resource_path(namespace, name))
    if resource is None:
        return None
    uid = resource["metadata"]["uid"]
    spec, _ = read_spec(Spec, resource.get("spec") or {})
    status = read_status(Status, resource.get("status") or {})
    ended = status.run.job_name if status.run is not None and status.run.finished_at is not None else None
    jobs = [job for job in read_jobs(api, namespace, UID_LABEL, uid) if not is_over(job) and job["metadata"]["name"] != ended]
    return MigrationSeen(name, uid, spec, status, _at_work(jobs, name, uid, restore_uid))


def _at_work(jobs: list[JsonObject], name: str, uid: str, restore_uid: str) -> str | None:
    """The newest of these Jobs that is not this DatabaseRestore's own, in words. A look at the schema harms nothing."""
    for job in reversed(jobs):
        job_name = job["metadata"]["name"]
        if owned_by(job, restore_uid):
            continue
        if owned_by(job, uid) and not job_seen(job).look:
            return clip(f"DatabaseMigration {name} (job/{job_name})")
        if is_of_restore(job):
            return clip(f"DatabaseRestore {job['metadata']['annotations'].get(RESTORE_ANNOTATION)} (job/{job_name})")
    return None


def _read_steps(api: Api, namespace: str, uid: str, status: RestoreStatus, now: datetime) -> tuple[StepJob, ...]:
    found = [job for job in read_jobs(api, namespace, RESTORE_UID_LABEL, uid) if owned_by(job, uid)]
    seen = with_pods(api, namespace, found, RESTORE_UID_LABEL, uid, lambda job: has_result_of(status.run, job.name), now)
    return tuple(
        StepJob(_step_of(raw), job, report_of(api, namespace, pod, job.name, RestoreReport) if pod else None)
        for raw, (job, pod) in zip(found, seen, strict=True)
    )


def _step_of(job: JsonObject) -> RestoreStep:
    purpose = (job["metadata"].get("annotations") or {}).get(PURPOSE_ANNOTATION)
    return RestoreStep.SWAP if purpose == RestoreStep.SWAP else RestoreStep.RESTORE
