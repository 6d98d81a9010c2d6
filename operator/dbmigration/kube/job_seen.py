"""The Jobs of a resource, what their pods do, and what they left: the same for a run and for a step of a restore.

Read from the API server and not from a cache: deciding on stale Jobs would start a run twice.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dbmigration.api.conditions import clip
from dbmigration.api.names import (
    ATTEMPT_ANNOTATION,
    LOOK,
    POD_HASH_ANNOTATION,
    PURPOSE_ANNOTATION,
    RETRY_VALUE_ANNOTATION,
    RUN_KEY_ANNOTATION,
    SPEC_HASH_ANNOTATION,
)
from dbmigration.decide.observed import Blocked, JobSeen, PodSeen, PodState
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced
from dbmigration.kube.pods import blocked_by_events, newest_telling, pod_seen, running_since, termination_message
from dbmigration.kube.reports import AnyReport, progress_in_log, read_report, report_in_log

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"

QUIET_START = timedelta(seconds=5)
"""Until then a pod that has not started is on its way: the scheduler's first word is often a claim that is just being bound. Only after it
is the reason said, and are the events asked."""
_FIRST_PROGRESS = timedelta(seconds=5)
"""A shorter run is not worth reading its log for progress."""
_LOG_LINES = "50"


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


def read_jobs(api: Api, namespace: str, label: str, uid: str) -> list[JsonObject]:
    """Every Job that has the uid as `label`, oldest first. Raises ApiFailure."""
    found = api.items(namespaced("batch/v1", namespace, "jobs"), labelSelector=f"{label}={uid}")
    return sorted(found, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))


def with_pods(
    api: Api, namespace: str, jobs: Iterable[JsonObject], label: str, uid: str, is_stored: Callable[[JobSeen], bool], now: datetime
) -> list[tuple[JobSeen, JsonObject | None]]:
    """The Jobs with what their pods do, found by the same label; beside each the pod whose report is still to be read, where there is one.

    Where all are over and the results of the newest are stored, no pod is asked for. Raises ApiFailure.
    """
    listed = list(jobs)
    seen = [job_seen(job) for job in listed]
    newest = {job.look: job for job in seen}
    if all(job.over for job in seen) and all(is_stored(job) for job in newest.values()):
        return [(job, None) for job in seen]
    pods = api.items(namespaced("v1", namespace, "pods"), labelSelector=f"{label}={uid}")
    found = []
    for job, raw in zip(seen, listed, strict=True):
        told, pod = _with_pod(api, namespace, job, raw["metadata"]["uid"], pods, now)
        unread = pod is not None and told.pod.state is PodState.TERMINATED and not is_stored(job)
        found.append((told, pod if unread else None))
    return found


def report_of(api: Api, namespace: str, pod: JsonObject, job_name: str, kind: type[AnyReport]) -> AnyReport | None:
    """The termination message; the log where that is only a summary, or lost. Raises ApiFailure."""
    report = read_report(termination_message(pod), job_name, kind)
    if report is not None and report.whole:
        return report
    return report_in_log(_log_of(api, namespace, pod), job_name, kind) or report


def _attempt(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 1


def _with_pod(
    api: Api, namespace: str, job: JobSeen, job_uid: str, pods: list[JsonObject], now: datetime
) -> tuple[JobSeen, JsonObject | None]:
    """The Job with what its pod does, and the pod to believe."""
    quiet = now - job.created_at < QUIET_START
    pod = newest_telling(p for p in pods if owned_by(p, job_uid))
    if pod is None:
        blocked = None if job.over or quiet else _asked_events(api, namespace, job_uid)
        return replace(job, pod=PodSeen(PodState.ABSENT, blocked=blocked)), None
    seen = pod_seen(pod)
    if seen.state is PodState.RUNNING:
        since = running_since(pod)
        if since is not None and now - since >= _FIRST_PROGRESS:
            seen = replace(seen, progress=progress_in_log(_log_of(api, namespace, pod)))
    elif seen.state is PodState.TERMINATED:
        pass
    elif quiet:
        seen = replace(seen, blocked=None)
    elif seen.blocked is None:
        seen = replace(seen, blocked=_asked_events(api, namespace, pod["metadata"]["uid"]))
    return replace(job, pod=seen), pod


def _log_of(api: Api, namespace: str, pod: JsonObject) -> str:
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
