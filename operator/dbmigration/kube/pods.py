"""What a pod says of its run: whether it started, what stops it, how it ended. JSON objects in, frozen data out."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from dbmigration.api.conditions import clip
from dbmigration.api.names import RUNNER_CONTAINER, SERVER_CONTAINER, SOURCE_CONTAINER
from dbmigration.api.reasons import Reason
from dbmigration.decide.observed import Blocked, PodSeen, PodState

JsonObject = dict[str, Any]

_NO_FOLDER = re.compile(r"/\.'?: No such file")
"""cp's word about the folder itself, not about a file in it."""

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})
_DISRUPTED = frozenset({"Evicted", "NodeLost", "Shutdown", "Terminated", "Preempting", "NodeShutdown", "NodeAffinity"})


def pod_seen(pod: JsonObject) -> PodSeen:
    status = pod.get("status") or {}
    disrupted = _disrupted(pod, status)
    state = (_runner_status(status) or {}).get("state") or {}
    source = _init_status(status, SOURCE_CONTAINER)
    if "terminated" in state:
        ended = state["terminated"]
        return PodSeen(
            PodState.TERMINATED,
            exit_code=ended.get("exitCode"),
            exit_reason=ended.get("reason"),
            disrupted=disrupted,
            source_image=_image_of(source),
            server_failed=_server_failure(status),
        )
    if status.get("phase") in ("Failed", "Succeeded"):
        # Before the runner was ever made: evicted, or there was nothing to run it on.
        outgrown = _server_failure(status)
        failed = source_failure(status, source) if outgrown is None else None
        return PodSeen(PodState.TERMINATED, exit_reason=status.get("reason"), disrupted=True, source_failed=failed, server_failed=outgrown)
    if "running" in state:
        return PodSeen(PodState.RUNNING, disrupted=disrupted)
    blocked = _blocked(status, source.get("state") or {}) or _server_blocked(status) or _blocked(status, state)
    return PodSeen(PodState.WAITING, blocked=blocked, disrupted=disrupted, scheduled_at=_scheduled_at(status))


def newest_telling(pods: Iterable[JsonObject]) -> JsonObject | None:
    """Of the pods of one Job the one to believe: one whose runner ended well, else the newest."""
    found = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    well = [pod for pod in found if pod_seen(pod).exit_code == 0]
    best = well or found
    return best[-1] if best else None


def termination_message(pod: JsonObject) -> str:
    state = (_runner_status(pod.get("status") or {}) or {}).get("state") or {}
    return str((state.get("terminated") or {}).get("message") or "")


def running_since(pod: JsonObject) -> datetime | None:
    state = (_runner_status(pod.get("status") or {}) or {}).get("state") or {}
    started = (state.get("running") or {}).get("startedAt")
    return datetime.fromisoformat(started) if started else None


def blocked_by_events(events: Iterable[JsonObject]) -> Blocked | None:
    """The newest warning about a Job or pod that does not get going: quota, admission, a volume that cannot be mounted."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    event = max(warnings, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or e["metadata"].get("creationTimestamp") or ""))
    reason = Reason.ADMISSION_DENIED if event.get("reason") == "FailedCreate" else Reason.POD_NOT_STARTED
    return Blocked(reason, clip(f"{event.get('reason', '')}: {event.get('message', '')}"))


def source_failure(status: JsonObject, source: JsonObject) -> Blocked | None:
    """Why an image's files could not be copied, in the words of its container, of kubelet or of the container runtime."""
    if status.get("reason") == "Evicted" and "EmptyDir" in str(status.get("message")):
        told = f"the image's folder does not fit: {status.get('message')}; name a folder that has the migrations and nothing else"
        return Blocked(Reason.SOURCE_TOO_LARGE, clip(told))
    ended = (source.get("state") or {}).get("terminated")
    if not ended or ended.get("exitCode") == 0 or status.get("reason") in _DISRUPTED:
        return None
    words, image = str(ended.get("message") or ended.get("reason") or "").strip(), source.get("image", "")
    if "executable file not found" in words or '"cp"' in words:
        told = f"image {image} has no program cp to copy its files with: build it on one that has ({words})"
        return Blocked(Reason.SOURCE_INVALID, clip(told))
    if _NO_FOLDER.search(words):
        told = f"image {image} has no such folder: correct spec.source.image.path, or the image ({words})"
        return Blocked(Reason.SOURCE_MISSING, clip(told))
    told = f"the files of image {image} cannot be copied: make them readable for all, and remove links that lead nowhere ({words})"
    return Blocked(Reason.SOURCE_INVALID, clip(told))


def _server_failure(status: JsonObject) -> Blocked | None:
    """kubelet measures what a volume holds from time to time, and ends a pod whose volume has outgrown its limit."""
    words = str(status.get("message") or "")
    if status.get("reason") != "Evicted" or f'"{SERVER_CONTAINER}"' not in words:
        return None
    told = f"the copy for the rehearsal does not fit: {words}; raise spec.rehearsal.server.storage. The database itself was not touched"
    return Blocked(Reason.REHEARSAL_SERVER_FAILED, clip(told))


def _server_blocked(status: JsonObject) -> Blocked | None:
    """The image of the rehearsal's server cannot be pulled or run: the runner waits for it."""
    server = _init_status(status, SERVER_CONTAINER)
    state = server.get("state") or {}
    blocked = _blocked(status, state) if "waiting" in state else None
    if blocked is None:
        return None
    ended = (server.get("lastState") or {}).get("terminated") or {}
    words = str(ended.get("message") or "").strip()
    told = f"spec.rehearsal.server.image {server.get('image', '')}: {blocked.message}{f' ({words})' if words else ''}"
    return Blocked(blocked.reason, clip(told))


def _init_status(status: JsonObject, name: str) -> JsonObject:
    return next((c for c in status.get("initContainerStatuses") or () if c.get("name") == name), {})


def _image_of(source: JsonObject) -> str | None:
    """The image as the runtime knows it: repository and digest, else its own digest alone."""
    known = str(source.get("imageID") or "").removeprefix("docker-pullable://")
    return clip(known, 512) or None


def _scheduled_at(status: JsonObject) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True" and condition.get("lastTransitionTime"):
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def _runner_status(status: JsonObject) -> JsonObject | None:
    return next((c for c in status.get("containerStatuses") or () if c.get("name") == RUNNER_CONTAINER), None)


def _disrupted(pod: JsonObject, status: JsonObject) -> bool:
    if pod["metadata"].get("deletionTimestamp") or status.get("reason") in _DISRUPTED:
        return True
    return any(c.get("type") == "DisruptionTarget" and c.get("status") == "True" for c in status.get("conditions") or ())


def _blocked(status: JsonObject, state: JsonObject) -> Blocked | None:
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason and reason not in _ON_ITS_WAY:
        kind = Reason.IMAGE_PULL_FAILED if reason in _IMAGE_REASONS else Reason.POD_NOT_STARTED
        return Blocked(kind, clip(f"{reason}: {message}" if message else reason))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Blocked(Reason.UNSCHEDULABLE, clip(str(condition.get("message") or condition.get("reason") or "")))
    return None
