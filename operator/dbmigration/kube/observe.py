"""Gather everything about one resource: the resource, its files, its Jobs, their pods, the newest word of the run.

Read from the API server and not from a cache: deciding on stale Jobs would start a run twice. An idle resource costs one read of
itself, one of each ConfigMap and one list of Jobs.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from dbmigration.api.conditions import clip
from dbmigration.api.names import (
    ATTEMPT_ANNOTATION,
    CHECK_DRIFT_ANNOTATION,
    LOOK,
    POD_HASH_ANNOTATION,
    PURPOSE_ANNOTATION,
    RETRY_ANNOTATION,
    RETRY_VALUE_ANNOTATION,
    RUN_KEY_ANNOTATION,
    SPEC_HASH_ANNOTATION,
    UID_LABEL,
)
from dbmigration.api.report import Report
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.approval import required
from dbmigration.decide.observed import Blocked, InvalidSource, JobSeen, Observed, PodSeen, PodState, Runner, Source
from dbmigration.kube.approvals import read_approvals
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced, resource_path
from dbmigration.kube.pods import blocked_by_events, newest_telling, pod_seen, running_since, termination_message
from dbmigration.kube.promotion import read_stage
from dbmigration.kube.reports import progress_in_log, read_report, report_in_log
from dbmigration.kube.restore_seen import read_restore_jobs
from dbmigration.kube.source import read_source
from dbmigration.kube.statuses import read_status

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"

QUIET_START = timedelta(seconds=5)
"""Until then a pod that has not started is on its way: the scheduler's first word is often a claim that is just being bound. Only after it
is the reason said, and are the events asked."""
_FIRST_PROGRESS = timedelta(seconds=5)
"""A shorter run is not worth reading its log for progress."""
_LOG_LINES = "50"


@dataclass(frozen=True, slots=True)
class Seen:
    """The resource as it was read: what `decide` may look at, and what writing back needs."""

    observed: Observed
    resource_version: str
    raw_status: JsonObject


def observe(api: Api, runner: Runner, namespace: str, name: str, now: datetime) -> Seen | None:
    """Everything about the resource, None when it does not exist. Raises ApiFailure."""
    resource = api.get_or_none(resource_path(namespace, name))
    if resource is None:
        return None
    metadata = resource["metadata"]
    spec, spec_error = read_spec(resource.get("spec") or {})
    raw_status = resource.get("status") or {}
    status = read_status(raw_status)
    annotations = metadata.get("annotations") or {}
    found = read_jobs(api, namespace, metadata["uid"])
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
        restores=read_restore_jobs(api, namespace, found, status.replaced.at if status.replaced else None),
        approvals=read_approvals(api, namespace, name) if spec is not None and required(spec) else (),
        stage=read_stage(api, namespace, name, spec),
        check_drift=clip(annotations.get(CHECK_DRIFT_ANNOTATION, ""), 256) or None,
    )
    return Seen(observed, metadata["resourceVersion"], raw_status)


def read_job_or_none(api: Api, namespace: str, name: str) -> JsonObject | None:
    return api.get_or_none(namespaced("batch/v1", namespace, "jobs", name))


def owned_by(item: JsonObject, uid: str) -> bool:
    """Whether the object's controller is the one with `uid`: a label alone could be anybody's."""
    owners = item["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def job_seen(job: JsonObject) -> JobSeen:
    """The Job without its pod."""
    metadata, status = job["metadata"], job.get("status") or {}
    annotations = metadata.get("annotations") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failed = conditions.get("Failed") or {}
    return JobSeen(
        name=metadata["name"],
        run_key=annotations.get(RUN_KEY_ANNOTATION, ""),
        spec_hash=annotations.get(SPEC_HASH_ANNOTATION, ""),
        pod_hash=annotations.get(POD_HASH_ANNOTATION, ""),
        attempt=_attempt(annotations.get(ATTEMPT_ANNOTATION, "")),
        retry_value=annotations.get(RETRY_VALUE_ANNOTATION),
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        complete="Complete" in conditions,
        failed=str(failed.get("reason") or "Failed") if failed else None,
        failed_message=clip(str(failed["message"]), 300) if failed.get("message") else None,
        deleting="deletionTimestamp" in metadata,
        look=annotations.get(PURPOSE_ANNOTATION) == LOOK,
    )


def _attempt(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 1


def read_spec(raw: JsonObject) -> tuple[Spec | None, str | None]:
    """The spec, or why it cannot be read."""
    try:
        return Spec.model_validate(raw), None
    except ValidationError as error:
        return None, told_why(error)


def told_why(error: ValidationError) -> str:
    """The first fields of a spec that are wrong, without what was written in them."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return clip("; ".join(f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in found[:5]))


def _read_source(api: Api, namespace: str, spec: Spec | None) -> Source:
    if spec is None:
        return InvalidSource("")
    return read_source(api, namespace, spec.source)


def read_jobs(api: Api, namespace: str, uid: str) -> list[JsonObject]:
    """Every Job about the DatabaseMigration with that uid, oldest first: its own runs and looks, and those of DatabaseRestores."""
    found = api.items(namespaced("batch/v1", namespace, "jobs"), labelSelector=f"{UID_LABEL}={uid}")
    return sorted(found, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))


def _read_runs(api: Api, namespace: str, found: list[JsonObject], uid: str, status: Status, now: datetime) -> tuple[JobSeen, ...]:
    ours = [job for job in found if owned_by(job, uid)]
    seen = [job_seen(job) for job in ours]
    newest = {job.look: job for job in seen}
    if all(job.over for job in seen) and all(_is_stored(status, job) for job in newest.values()):
        return tuple(seen)
    pods = api.items(namespaced("v1", namespace, "pods"), labelSelector=f"{UID_LABEL}={uid}")
    return tuple(_with_report(api, namespace, job, raw["metadata"]["uid"], pods, status, now) for job, raw in zip(seen, ours, strict=True))


def _is_stored(status: Status, job: JobSeen) -> bool:
    if job.look:
        return status.drift is not None and status.drift.job_name == job.name
    return status.run is not None and status.run.job_name == job.name and status.run.finished_at is not None


def _with_report(api: Api, namespace: str, job: JobSeen, job_uid: str, pods: list[JsonObject], status: Status, now: datetime) -> JobSeen:
    seen, pod = with_pod(api, namespace, job, job_uid, pods, now)
    if pod is None or seen.pod.state is not PodState.TERMINATED or _is_stored(status, job):
        return seen
    return replace(seen, report=_report_of(api, namespace, pod, job.name))


def with_pod(
    api: Api, namespace: str, job: JobSeen, job_uid: str, pods: list[JsonObject], now: datetime
) -> tuple[JobSeen, JsonObject | None]:
    """The Job with what its pod does, and the pod to believe. Raises ApiFailure."""
    quiet = now - job.created_at < QUIET_START
    pod = newest_telling(p for p in pods if owned_by(p, job_uid))
    if pod is None:
        blocked = None if job.over or quiet else _asked_events(api, namespace, job_uid)
        return replace(job, pod=PodSeen(PodState.ABSENT, blocked=blocked)), None
    seen = pod_seen(pod)
    if seen.state is PodState.RUNNING:
        since = running_since(pod)
        if since is not None and now - since >= _FIRST_PROGRESS:
            seen = replace(seen, progress=progress_in_log(log_of(api, namespace, pod)))
    elif seen.state is PodState.TERMINATED:
        pass
    elif quiet:
        seen = replace(seen, blocked=None)
    elif seen.blocked is None:
        seen = replace(seen, blocked=_asked_events(api, namespace, pod["metadata"]["uid"]))
    return replace(job, pod=seen), pod


def _report_of(api: Api, namespace: str, pod: JsonObject, job_name: str) -> Report | None:
    """The termination message; the log where that is only a summary, or lost."""
    report = read_report(termination_message(pod), job_name)
    if report is not None and not report.truncated:
        return report
    return report_in_log(log_of(api, namespace, pod), job_name) or report


def log_of(api: Api, namespace: str, pod: JsonObject) -> str:
    """The end of the runner's log; empty where there is none any more, or yet."""
    path = namespaced("v1", namespace, "pods", pod["metadata"]["name"], "log")
    query: dict[str, Any] = {"container": "runner", "tailLines": _LOG_LINES}
    try:
        return api.text(path, **query)
    except ApiFailure as failure:
        # Gone with its node, or not there yet: what the container said at its end is enough.
        if failure.answer in (Answer.NOT_FOUND, Answer.REFUSED) or failure.status == 500:
            return ""
        raise


def _asked_events(api: Api, namespace: str, uid: str) -> Blocked | None:
    return blocked_by_events(api.items(namespaced("v1", namespace, "events"), fieldSelector=f"involvedObject.uid={uid},type=Warning"))
