"""What a resource and the logs of its runs say, as it happens: threads that read, and one queue for whoever shows it."""

import json
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple, Self

from dbmigration.api.names import API_VERSION, PLURAL, RUNNER_CONTAINER
from dbmigration.decide.observed import PodState
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced
from dbmigration.kube.job_seen import JOB_NAME_LABEL
from dbmigration.kube.pods import newest_telling, pod_seen

_WATCH_S = 50
"""The API server ends a watch after so long, and we begin another: a connection that was lost in silence is noticed."""
_AGAIN_S = 1.0


class Changed(NamedTuple):
    """The resource as it is now; None: it was deleted."""

    resource: JsonObject | None


class Said(NamedTuple):
    """A line of the log of a run's Job."""

    job: str
    line: str


class LogEnded(NamedTuple):
    """Nothing more will be said by this Job; or nothing can be read: `why`."""

    job: str
    why: str = ""


class Failed(NamedTuple):
    """The API server refuses to be watched."""

    failure: ApiFailure


Happening = Changed | Said | LogEnded | Failed


class Follower:
    """A context manager: within it the resource is watched. `follow_log` adds the log of a Job. The threads are daemons: they may hang."""

    def __init__(self, api: Api, namespace: str, name: str, plural: str = PLURAL) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._plural = plural
        self._found: SimpleQueue[Happening] = SimpleQueue()
        self._stop = Event()

    def __enter__(self) -> Self:
        self._start(self._watch)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()

    def follow_log(self, job: str) -> None:
        """From its first line on, through lost connections, until its runner has ended."""
        self._start(lambda: self._follow_log(job))

    def next(self, seconds: float) -> Happening | None:
        """What happened next; None where nothing did for so long."""
        try:
            return self._found.get(timeout=seconds)
        except Empty:
            return None

    def _start(self, work: Callable[[], None]) -> None:
        Thread(target=work, name=f"follow {self._name}", daemon=True).start()

    def _watch(self) -> None:
        path = namespaced(API_VERSION, self._namespace, self._plural)
        query = {"watch": "true", "fieldSelector": f"metadata.name={self._name}", "timeoutSeconds": str(_WATCH_S)}
        while not self._stop.is_set():
            try:
                for line in self._api.lines(path, silent_s=_WATCH_S + 10, **query):
                    self._take(json.loads(line))
            except ApiFailure as failure:
                if failure.answer is not Answer.AGAIN:
                    self._found.put(Failed(failure))
                    return
            except ValueError:
                pass  # half a line: the connection was lost in it
            self._stop.wait(_AGAIN_S)

    def _take(self, event: JsonObject) -> None:
        if event.get("type") in ("ADDED", "MODIFIED"):
            self._found.put(Changed(event["object"]))
        elif event.get("type") == "DELETED":
            self._found.put(Changed(None))

    def _follow_log(self, job: str) -> None:
        told = 0
        while not self._stop.is_set():
            try:
                pod = newest_telling(self._api.items(namespaced("v1", self._namespace, "pods"), labelSelector=f"{JOB_NAME_LABEL}={job}"))
                state = pod_seen(pod).state if pod is not None else PodState.ABSENT
                if pod is not None and state in (PodState.RUNNING, PodState.TERMINATED):
                    told = self._read_log(job, pod["metadata"]["name"], told, follow=state is PodState.RUNNING)
                if state is PodState.TERMINATED:
                    self._found.put(LogEnded(job))
                    return
            except ApiFailure as failure:
                if failure.answer is not Answer.AGAIN:
                    self._found.put(LogEnded(job, failure.message))
                    return
            self._stop.wait(_AGAIN_S)

    def _read_log(self, job: str, pod: str, told: int, *, follow: bool) -> int:
        """All lines but the first `told`; returns how many there are."""
        path = namespaced("v1", self._namespace, "pods", pod, "log")
        number = 0
        for number, line in enumerate(self._api.lines(path, silent_s=_WATCH_S, container=RUNNER_CONTAINER, follow=str(follow).lower()), 1):
            if number > told:
                self._found.put(Said(job, line))
        return max(number, told)
