"""Do what was decided: make the Job, write status when it differs, post events, remove Jobs whose result is stored. In that order."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from dbmigration.api.names import API_VERSION, KIND
from dbmigration.api.reasons import Reason
from dbmigration.decide.decision import Decision, StartRun
from dbmigration.decide.looks import look_refused
from dbmigration.decide.observed import Blocked, Observed
from dbmigration.decide.restoring.observed import RestoreDecision, RestoreObserved
from dbmigration.decide.rules import start_refused
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced, resource_path
from dbmigration.kube.events import post_event
from dbmigration.kube.job_seen import owned_by
from dbmigration.kube.jobs import build_job
from dbmigration.kube.resources import Seen

AnyObserved = TypeVar("AnyObserved", Observed, RestoreObserved)
AnyDecision = TypeVar("AnyDecision", Decision, RestoreDecision)


def act(api: Api, seen: Seen[Observed], decision: Decision, now: datetime) -> Decision:
    """Returns what was really done: another decision, with no `start`, where the API server would not have the Job.

    Raises ApiFailure: what was done until then is found again by the next look.
    """
    observed = seen.observed
    start = decision.start
    if start is not None:
        refused = _start(api, observed, start)
        if refused is not None:
            looks = start.request.look_only
            decision = look_refused(observed, refused, now) if looks else start_refused(observed, refused, now, start.job_name)
    path = resource_path(observed.namespace, observed.name, "status")
    return tell(api, seen, decision, path, KIND, now)


def tell(api: Api, seen: Seen[AnyObserved], decision: AnyDecision, path: str, kind: str, now: datetime) -> AnyDecision:
    """Write status, at `path`, where it differs, post events, remove Jobs. Returns what was done: nothing where the resource is gone."""
    observed = seen.observed
    differs = decision.status != observed.status
    if differs and not write_status(api, path, kind, seen.resource_version, seen.raw_status, json.loads(decision.status.to_json())):
        return replace(decision, again_after=None)
    for announcement in decision.announcements:
        post_event(api, observed, announcement, now)
    for name in decision.remove_jobs:
        api.delete(namespaced("batch/v1", observed.namespace, "jobs", name))
    return decision


def _start(api: Api, observed: Observed, start: StartRun) -> Blocked | None:
    """Make the Job, or find that it is there. Why not, when the API server will not have it."""
    if observed.spec is None:
        raise ValueError("a run needs a spec")
    return make_job(api, build_job(start, observed.spec, observed.runner), observed.uid)


def make_job(api: Api, manifest: JsonObject, uid: str) -> Blocked | None:
    """Make a Job of the resource with that uid, or find it made. Why not, when the API server will not have it. Raises ApiFailure."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    try:
        api.create(namespaced("batch/v1", namespace, "jobs"), manifest)
    except ApiFailure as failure:
        if failure.answer is Answer.EXISTS:
            return _conflict(api, namespace, name, uid)
        if failure.answer is Answer.REFUSED:
            return Blocked(Reason.ADMISSION_DENIED, failure.message)
        raise
    return None


def _conflict(api: Api, namespace: str, name: str, uid: str) -> Blocked | None:
    """A Job of that name is there. Ours: an earlier process made it and died before it said so. Somebody else's is left alone."""
    job = api.get_or_none(namespaced("batch/v1", namespace, "jobs", name))
    if job is None:
        raise ApiFailure(Answer.CONFLICT, f"Job {name} came and went")
    if owned_by(job, uid):
        return None
    return Blocked(Reason.JOB_CONFLICT, f"Job {name} exists in namespace {namespace} and is not this resource's: remove or rename it")


def write_status(api: Api, path: str, kind: str, resource_version: str, before: JsonObject, after: JsonObject) -> bool:
    """Patch what differs. False: the resource is gone. Raises ApiFailure.

    The resource version makes the API server answer 409 when anything was written since we read: then we look again.
    """
    body = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"resourceVersion": resource_version},
        "status": merge_patch(before, after),
    }
    try:
        api.merge_patch(path, body)
    except ApiFailure as failure:
        if failure.answer is Answer.NOT_FOUND:
            return False
        raise
    return True


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The RFC 7386 patch that makes `after` of `before`: null for what goes."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif value != old:
            patch[key] = value
    return patch
