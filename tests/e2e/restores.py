"""DatabaseRestores of the resource `studio`, through kubectl."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dbmigration.api.names import API_VERSION, RESTORE_KIND
from dbmigration.api.reasons import Reason
from tests.e2e.seen import SeenRestore
from tests.e2e.studio import NAME, Studio
from tests.e2e.watch import Json, watch_until

STEP_SECONDS: Final = 180.0
"""Deadline for one step, on a slow machine; usually it takes five seconds."""
LATEST: Final[Json] = {"latest": True}


@dataclass(frozen=True)
class Restore:
    """One DatabaseRestore."""

    studio: Studio
    name: str

    def make(self, into: str, backup: Json = LATEST, **spec: Any) -> None:
        given = {"migrationRef": {"name": NAME}, "backup": backup, "into": into, **spec}
        self.studio.put({"apiVersion": API_VERSION, "kind": RESTORE_KIND, "metadata": {"name": self.name}, "spec": given})

    def patch(self, **spec: Any) -> None:
        self.studio.kubectl("patch", "dbr", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def refused(self, **spec: Any) -> str:
        """What the API server says against a change of the spec."""
        patch = json.dumps({"spec": spec})
        asked = self.studio.cluster.start_kubectl("-n", self.studio.namespace, "patch", "dbr", self.name, "--type=merge", "-p", patch)
        said, _ = asked.communicate(timeout=30)
        assert asked.returncode != 0
        return said

    def wait(self, holds: Callable[[SeenRestore], bool], what: str, *, seconds: float = STEP_SECONDS) -> SeenRestore:
        """The first version for which `holds` is true about the newest spec."""
        found = watch_until(
            *(self.studio.cluster, "dbr", self.studio.namespace, lambda raw: SeenRestore.of(raw).current and holds(SeenRestore.of(raw))),
            name=self.name,
            what=what,
            seconds=seconds,
        )
        return SeenRestore.of(found)

    def wait_for_the_lock(self) -> None:
        """Until its pod waits for whoever holds the database's lock."""
        self.wait(lambda seen: seen.status.progress is not None and "waiting for the lock" in str(seen.status.progress.message), "waiting")

    def wait_ready(self, reason: Reason) -> SeenRestore:
        return self.wait(lambda seen: seen.ready and seen.reason == reason, f"Ready for {reason}")

    def wait_reason(self, reason: Reason) -> SeenRestore:
        return self.wait(lambda seen: not seen.ready and seen.reason == reason, f"not Ready for {reason}")

    def wait_stalled(self, reason: Reason) -> SeenRestore:
        return self.wait(lambda seen: seen.stalled and seen.reason == reason, f"Stalled for {reason}")


def suspend(studio: Studio, *, suspended: bool = True) -> None:
    studio.kubectl("patch", "dbm", NAME, "--type=merge", "-p", json.dumps({"spec": {"suspend": suspended}}))
