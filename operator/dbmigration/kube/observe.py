"""Gather everything about one resource: the resource, its files, its Jobs, their pods, the newest word of the run.

Read from the API server and not from a cache: deciding on stale Jobs would start a run twice. An idle resource costs one read of
itself, one of each ConfigMap and one list of Jobs.
"""

from dataclasses import replace
from datetime import datetime

from dbmigration.api.conditions import clip
from dbmigration.api.names import CHECK_DRIFT_ANNOTATION, RETRY_ANNOTATION, UID_LABEL
from dbmigration.api.report import Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.approval import required
from dbmigration.decide.attempts import has_result_of
from dbmigration.decide.observed import InvalidSource, JobSeen, Observed, Runner, Source
from dbmigration.kube.approvals import read_approvals
from dbmigration.kube.client import Api, JsonObject, resource_path
from dbmigration.kube.job_seen import owned_by, read_jobs, report_of, with_pods
from dbmigration.kube.promotion import read_stage
from dbmigration.kube.resources import Seen, read_spec, read_status
from dbmigration.kube.restore_seen import read_restore_jobs
from dbmigration.kube.source import read_source


def observe(api: Api, runner: Runner, namespace: str, name: str, now: datetime) -> Seen[Observed] | None:
    """Everything about the resource, None when it does not exist. Raises ApiFailure."""
    resource = api.get_or_none(resource_path(namespace, name))
    if resource is None:
        return None
    metadata = resource["metadata"]
    spec, spec_error = read_spec(Spec, resource.get("spec") or {})
    raw_status = resource.get("status") or {}
    status = read_status(Status, raw_status)
    annotations = metadata.get("annotations") or {}
    found = read_jobs(api, namespace, UID_LABEL, metadata["uid"])
    jobs = _read_runs(api, namespace, found, metadata["uid"], status, now)
    observed = Observed(
        namespace=namespace,
        name=name,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        retry=annotations.get(RETRY_ANNOTATION),
        spec=spec,
        spec_error=spec_error,
        status=status,
        source=_read_source(api, namespace, spec),
        jobs=tuple(job for job in jobs if not job.look),
        runner=runner,
        deleting="deletionTimestamp" in metadata,
        looks=tuple(job for job in jobs if job.look),
        restores=read_restore_jobs(api, namespace, found, status),
        approvals=read_approvals(api, namespace, name) if spec is not None and required(spec) else (),
        stage=read_stage(api, namespace, name, spec),
        check_drift=clip(annotations.get(CHECK_DRIFT_ANNOTATION, ""), 256) or None,
    )
    return Seen(observed, metadata["resourceVersion"], raw_status)


def _read_source(api: Api, namespace: str, spec: Spec | None) -> Source:
    if spec is None:
        return InvalidSource("")
    return read_source(api, namespace, spec.source)


def _read_runs(api: Api, namespace: str, found: list[JsonObject], uid: str, status: Status, now: datetime) -> tuple[JobSeen, ...]:
    """Its own runs and looks, of the Jobs about its database: DatabaseRestores have theirs."""

    def is_stored(job: JobSeen) -> bool:
        if job.look:
            return status.drift is not None and status.drift.job_name == job.name
        return has_result_of(status.run, job.name)

    ours = with_pods(api, namespace, (job for job in found if owned_by(job, uid)), UID_LABEL, uid, is_stored, now)
    return tuple(replace(job, report=report_of(api, namespace, pod, job.name, Report)) if pod else job for job, pod in ours)
