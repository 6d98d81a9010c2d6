"""Gather everything about one DatabaseRestore, and do what was decided about it."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from dbmigration.api.conditions import clip
from dbmigration.api.names import PURPOSE_ANNOTATION, RESTORE_ANNOTATION, RESTORE_KIND, RESTORE_UID_LABEL, RETRY_ANNOTATION
from dbmigration.api.report import REPORT_KEY
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.decide.observed import PodState, Runner
from dbmigration.decide.restoring.observed import MigrationSeen, RestoreDecision, RestoreObserved, StepJob
from dbmigration.decide.restoring.rules import start_refused
from dbmigration.kube.act import make_job, write_status
from dbmigration.kube.client import Api, JsonObject, namespaced, resource_path
from dbmigration.kube.events import post_event
from dbmigration.kube.observe import job_seen, log_of, owned_by, read_jobs, read_spec, told_why, with_pod
from dbmigration.kube.pods import termination_message
from dbmigration.kube.reports import objects_newest_first
from dbmigration.kube.restore_jobs import build_restore_job
from dbmigration.kube.restore_seen import is_of_restore, is_over, restore_path
from dbmigration.kube.statuses import read_status


@dataclass(frozen=True, slots=True)
class RestoreSeen:
    """The DatabaseRestore as it was read: what `decide` may look at, and what writing back needs."""

    observed: RestoreObserved
    resource_version: str
    raw_status: JsonObject


def observe_restore(api: Api, runner: Runner, namespace: str, name: str, now: datetime) -> RestoreSeen | None:
    """Everything about it, None when it does not exist. Raises ApiFailure."""
    resource = api.get_or_none(restore_path(namespace, name))
    if resource is None:
        return None
    metadata, raw_status = resource["metadata"], resource.get("status") or {}
    spec, spec_error = _read_spec(resource.get("spec") or {})
    status = _read_status(raw_status)
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
    return RestoreSeen(observed, metadata["resourceVersion"], raw_status)


def act_on_restore(api: Api, seen: RestoreSeen, decision: RestoreDecision, now: datetime) -> timedelta | None:
    """As `act.act`."""
    observed = seen.observed
    if decision.start is not None:
        refused = make_job(api, build_restore_job(decision.start, observed.runner), observed.uid)
        if refused is not None:
            decision = start_refused(observed, refused, now)
    if decision.status != observed.status:
        path = restore_path(observed.namespace, observed.name, "status")
        if not write_status(api, path, RESTORE_KIND, seen.resource_version, seen.raw_status, json.loads(decision.status.to_json())):
            return None
    for announcement in decision.announcements:
        post_event(api, observed, announcement, now)
    for name in decision.remove_jobs:
        api.delete(namespaced("batch/v1", observed.namespace, "jobs", name))
    return decision.again_after


def read_restore_report(text: str, log: str, job_name: str) -> RestoreReport | None:
    """The report in a termination message, else the newest one in the log; None for anything that is not one of this very Job."""
    try:
        report = RestoreReport.model_validate_json(text)
    except (ValidationError, ValueError):
        report = None
    if report is not None and report.run_id == job_name:
        return report
    for line in objects_newest_first(log):
        if REPORT_KEY in line:
            try:
                report = RestoreReport.model_validate(line[REPORT_KEY])
            except ValidationError:
                continue
            if report.run_id == job_name:
                return report
    return None


def _read_spec(raw: JsonObject) -> tuple[RestoreSpec | None, str | None]:
    try:
        return RestoreSpec.model_validate(raw), None
    except ValidationError as error:
        return None, told_why(error)


def _read_status(raw: JsonObject) -> RestoreStatus:
    """As `observe.read_status`."""
    try:
        return RestoreStatus.model_validate(raw)
    except ValidationError as error:
        unreadable = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
        return RestoreStatus.model_validate({key: value for key, value in raw.items() if key not in unreadable})


def _read_migration(api: Api, namespace: str, name: str, restore_uid: str) -> MigrationSeen | None:
    resource = api.get_or_none(resource_path(namespace, name))
    if resource is None:
        return None
    uid = resource["metadata"]["uid"]
    spec, _ = read_spec(resource.get("spec") or {})
    status = read_status(resource.get("status") or {})
    ended = status.run.job_name if status.run is not None and status.run.finished_at is not None else None
    jobs = [job for job in read_jobs(api, namespace, uid) if not is_over(job) and job["metadata"]["name"] != ended]
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
    found = api.items(namespaced("batch/v1", namespace, "jobs"), labelSelector=f"{RESTORE_UID_LABEL}={uid}")
    ours = sorted(
        (job for job in found if owned_by(job, uid)), key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"])
    )
    steps = [StepJob(_step_of(job), job_seen(job)) for job in ours]
    if all(step.job.over for step in steps) and (not steps or _is_stored(status, steps[-1])):
        return tuple(steps)
    pods = api.items(namespaced("v1", namespace, "pods"), labelSelector=f"{RESTORE_UID_LABEL}={uid}")
    return tuple(
        _with_report(api, namespace, step, raw["metadata"]["uid"], pods, status, now) for step, raw in zip(steps, ours, strict=True)
    )


def _with_report(
    api: Api, namespace: str, step: StepJob, job_uid: str, pods: list[JsonObject], status: RestoreStatus, now: datetime
) -> StepJob:
    job, pod = with_pod(api, namespace, step.job, job_uid, pods, now)
    if pod is None or job.pod.state is not PodState.TERMINATED or _is_stored(status, step):
        return replace(step, job=job)
    message = termination_message(pod)
    report = read_restore_report(message, "", job.name) or read_restore_report("", log_of(api, namespace, pod), job.name)
    return replace(step, job=job, report=report)


def _step_of(job: JsonObject) -> RestoreStep:
    purpose = (job["metadata"].get("annotations") or {}).get(PURPOSE_ANNOTATION)
    return RestoreStep.SWAP if purpose == RestoreStep.SWAP else RestoreStep.RESTORE


def _is_stored(status: RestoreStatus, step: StepJob) -> bool:
    return status.run is not None and status.run.job_name == step.job.name and status.run.finished_at is not None
