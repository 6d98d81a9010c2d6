"""What runs and what waits for its turn, in this process's memory: rebuilt at a start from the Jobs and the resources, never written."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dbmigration.api.names import PURPOSE_ANNOTATION, RESOURCE_ANNOTATION, SERVER_ANNOTATION
from dbmigration.decide.decision import Decision
from dbmigration.decide.observed import Limits, Line, Observed, Place
from dbmigration.decide.queue import going, is_under_way, place_of
from dbmigration.handlers.index import ResourceKey


class Slots:
    """One for the operator. Its methods may be called from any thread, but `call` from the event loop's only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._under_way: dict[ResourceKey, Place] = {}
        self._waiting: dict[ResourceKey, Place] = {}
        self._changed = False

    def decide(self, key: ResourceKey, observed: Observed, now: datetime, rules: Callable[[Observed, datetime], Decision]) -> Decision:
        """What `rules` make of it and of the runs of all others. What they start has its place from now on: no two get the last one."""
        if not any(self._limits):
            return rules(observed, now)
        with self._lock:
            others = replace(observed, line=Line(self._limits, self._all_but(key, self._under_way), self._all_but(key, self._waiting)))
            decision = rules(others, now)
            starts = decision.start is not None and not decision.start.request.look_only
            begins = starts or (is_under_way(observed) and decision.rule != "run_unstarted_outdated")
            since = decision.status.queued_since
            self._note(self._under_way, key, place_of(observed, now) if begins else None)
            self._note(self._waiting, key, place_of(observed, since) if since is not None else None)
        return decision

    def forget(self, key: ResourceKey) -> None:
        """It is gone, or its Job was not made: nobody waits for it."""
        with self._lock:
            self._note(self._under_way, key, None)
            self._note(self._waiting, key, None)

    def call(self, wake: Callable[[ResourceKey], None]) -> None:
        """Wake those whose turn it is, and nobody else, if anything changed since the last call."""
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            line = Line(self._limits, tuple(self._under_way.values()))
            turn = set(going(line.under_way, tuple(self._waiting.values()), line))
            woken = [key for key, place in self._waiting.items() if place in turn]
        for key in woken:
            wake(key)

    def remember_job(self, job: Mapping[str, Any]) -> None:
        """At a start: a run that an earlier process began, if it has not ended."""
        metadata = job["metadata"]
        annotations = metadata.get("annotations") or {}
        name = annotations.get(RESOURCE_ANNOTATION)
        ended = any(
            c.get("status") == "True" and c["type"] in ("Complete", "Failed") for c in (job.get("status") or {}).get("conditions") or ()
        )
        if name is None or ended or PURPOSE_ANNOTATION in annotations:
            return
        key = ResourceKey(metadata.get("namespace", ""), name)
        with self._lock:
            self._under_way[key] = Place(str(key), annotations.get(SERVER_ANNOTATION), datetime.now(UTC))

    def remember_waiting(self, key: ResourceKey, status: Mapping[str, Any]) -> None:
        """What a resource's status says, until it is looked at: who was there first after a restart is who was there first before."""
        try:
            since = datetime.fromisoformat(str(status["queuedSince"]))
        except (KeyError, ValueError):
            return
        identity = str((status.get("database") or {}).get("identity", ""))
        with self._lock:
            if key not in self._waiting and key not in self._under_way:
                self._waiting[key] = Place(str(key), identity.partition("/")[0] or None, since)

    def _note(self, places: dict[ResourceKey, Place], key: ResourceKey, place: Place | None) -> None:
        before = places.get(key)
        if place is None:
            places.pop(key, None)
        else:
            places[key] = place
        self._changed |= (before is None) != (place is None) or (before is not None and place is not None and before.server != place.server)

    @staticmethod
    def _all_but(key: ResourceKey, places: Mapping[ResourceKey, Place]) -> tuple[Place, ...]:
        return tuple(place for each, place in places.items() if each != key)
