"""Do what was decided: make the Job, write status when it differs, post events, remove Jobs whose result is stored. In that order."""

import json
from datetime import datetime, timedelta
from typing import Any

from dbmigration.api.names import API_VERSION, KIND
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.decide.decision import Decision, StartRun
from dbmigration.decide.looks import look_refused
from dbmigration.decide.observed import Blocked, Observed
from dbmigration.decide.rules import start_refused
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, namespaced, resource_path
from dbmigration.kube.events import post_event
from dbmigration.kube.jobs import build_job
from dbmigration.kube.observe import Seen, owned_by, read_job_or_none


def act(api: Api, seen: Seen, decision: Decision, now: datetime) -> timedelta | None:
    """Returns when to look again, None for only when something happens.

    Raises ApiFailure: what was done until then is found again by the next look.
    """
    observed = seen.observed
    if decision.start is not None:
        refused = _start(api, observed, decision.start)
        if refused is not None:
            say = look_refused if decision.start.request.look_only else start_refused
            decision = say(observed, refused, now)
    if not _write_status(api, seen, decision.status):
        return None
    for announcement in decision.announcements:
        post_event(api, observed, announcement, now)
    for name in decision.remove_jobs:
        api.delete(namespaced("batch/v1", observed.namespace, "jobs", name))
    return decision.again_after


def _start(api: Api, observed: Observed, start: StartRun) -> Blocked | None:
    """Make the Job, or find that it is there. Why not, when the API server will not have it."""
    if observed.spec is None:
        raise ValueError("a run needs a spec")
    try:
        api.create(namespaced("batch/v1", observed.namespace, "jobs"), build_job(start, observed.spec, observed.runner))
    except ApiFailure as failure:
        if failure.answer is Answer.EXISTS:
            return _conflict(api, observed, start)
        if failure.answer is Answer.REFUSED:
            return Blocked(Reason.ADMISSION_DENIED, failure.message)
        raise
    return None


def _conflict(api: Api, observed: Observed, start: StartRun) -> Blocked | None:
    """A Job of that name is there. Ours: an earlier process made it and died before it said so. Somebody else's is left alone."""
    job = read_job_or_none(api, observed.namespace, start.job_name)
    if job is None:
        raise ApiFailure(Answer.CONFLICT, f"Job {start.job_name} came and went")
    if owned_by(job, observed.uid):
        return None
    message = f"Job {start.job_name} exists in namespace {observed.namespace} and is not this resource's: remove or rename it"
    return Blocked(Reason.JOB_CONFLICT, message)


def _write_status(api: Api, seen: Seen, wanted: Status) -> bool:
    """Patch what differs, nothing when nothing does. False: the resource is gone.

    The resource version makes the API server answer 409 when anything was written since we read: then we look again.
    """
    if wanted == seen.observed.status:
        return True
    patch = merge_patch(seen.raw_status, json.loads(wanted.to_json()))
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"resourceVersion": seen.resource_version},
        "status": patch,
    }
    try:
        api.merge_patch(resource_path(seen.observed.namespace, seen.observed.name, "status"), body)
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
