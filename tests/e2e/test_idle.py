"""An operator with nothing to do writes nothing, and leaves nothing of its own on the resource."""

import json

from tests.cluster.operator import InstalledOperator
from tests.e2e.restart import restart_operator
from tests.e2e.studio import NAME, Studio, settle

FILES = {"001_first.sql": "CREATE TABLE first (id int);"}


def test_an_idle_operator_writes_nothing(studio: Studio, operator: InstalledOperator) -> None:
    """A label on the resource and a restarted operator both make it look again; what it sees is what it has said already."""
    studio.start(FILES)
    # The Job and its pod have a last word after the run's own.
    studio.kubectl("wait", "jobs", "--all", "--for=condition=Complete", "--timeout=30s")
    settle(studio)
    before = studio.look()

    studio.kubectl("label", "dbm", NAME, "team=platform")
    labelled = studio.look()
    settle(studio)
    assert studio.look().resource_version == labelled.resource_version
    assert labelled.status == before.status

    jobs = json.loads(studio.kubectl("get", "jobs", "-o", "json"))["items"]
    restart_operator(studio.cluster, operator)
    settle(studio)
    after = studio.look()
    assert after.resource_version == labelled.resource_version
    assert [job["metadata"]["resourceVersion"] for job in json.loads(studio.kubectl("get", "jobs", "-o", "json"))["items"]] == [
        job["metadata"]["resourceVersion"] for job in jobs
    ]
    assert "finalizers" not in after.raw["metadata"]
    assert not [name for name in after.raw["metadata"].get("annotations", {}) if "kopf" in name or "dbmigration" in name]
