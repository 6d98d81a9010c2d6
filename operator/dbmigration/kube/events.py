"""Kubernetes Events of a resource, each with a name made from what it says: posting one twice is one."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from dbmigration.api.conditions import clip
from dbmigration.api.names import API_VERSION, KIND, MANAGED_BY, RESTORE_KIND
from dbmigration.decide.decision import Announcement
from dbmigration.decide.observed import Observed
from dbmigration.decide.restoring.observed import RestoreObserved
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, namespaced


def build_event(observed: Observed | RestoreObserved, announcement: Announcement, now: datetime) -> dict[str, Any]:
    """The manifest of a core/v1 Event (what `kubectl describe` shows)."""
    digest = hashlib.sha256(f"{observed.uid}/{announcement.identity}".encode()).hexdigest()[:16]
    stamp = (announcement.at or now).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{observed.name[:200].rstrip('.-')}.{digest}", "namespace": observed.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": RESTORE_KIND if isinstance(observed, RestoreObserved) else KIND,
            "namespace": observed.namespace,
            "name": observed.name,
            "uid": observed.uid,
        },
        "type": "Warning" if announcement.warning else "Normal",
        "reason": announcement.reason,
        "message": clip(announcement.message),
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": MANAGED_BY},
        "reportingComponent": f"dbmigration.dev/{MANAGED_BY}",
        "reportingInstance": MANAGED_BY,
    }


def post_event(api: Api, observed: Observed | RestoreObserved, announcement: Announcement, now: datetime) -> None:
    """Post it, unless it is there already. A namespace that is going away takes none: nobody would read it. Raises ApiFailure."""
    try:
        api.create(namespaced("v1", observed.namespace, "events"), build_event(observed, announcement, now))
    except ApiFailure as failure:
        if failure.answer not in (Answer.EXISTS, Answer.CONFLICT, Answer.NOT_FOUND, Answer.REFUSED):
            raise
