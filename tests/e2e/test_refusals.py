"""A spec that makes no sense is refused at `kubectl apply`, with a message that says what to write instead."""

import json
import subprocess
from typing import Any

import pytest

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.e2e.studio import FILES_NAME, SECRET_NAME, resource
from tests.e2e.watch import Json

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no environment", {"environment": None}, "spec.environment: Required value"),
    ("no source", {"source": {}}, "source takes exactly one of configMaps, image, git and fluxRef"),
    (
        "two sources",
        {"source": {"configMaps": [{"name": FILES_NAME}], "image": {"reference": "app"}}},
        "source takes exactly one of configMaps, image, git and fluxRef",
    ),
    ("a path with ..", {"source": {"image": {"reference": "app", "path": "/app/../etc"}}}, "a path has no .. in it"),
    ("an empty source", {"source": {"configMaps": []}}, "should have at least 1 items"),
    (
        "one ConfigMap twice",
        {"source": {"configMaps": [{"name": FILES_NAME}, {"name": FILES_NAME}]}},
        "spec.source.configMaps[1]: Duplicate value",
    ),
    ("no backup destination", {"backup": {}}, "to migrate without a backup write backup: {policy: Skip}"),
    ("nothing said of a backup", {"backup": None}, "to migrate without a backup write backup: {policy: Skip}"),
    (
        "a destination that is not used",
        {"backup": {"policy": "Skip", "destination": {"persistentVolumeClaim": {"claimName": "backups"}}}},
        "leave destination out, or write policy: Required",
    ),
    ("a policy that does not exist", {"backup": {"policy": "Maybe"}}, 'supported values: "Required", "External", "Skip"'),
    ("a target with its name", {"target": "004_create_lancio_org"}, "target is the number of a file"),
    ("a target without quotes", {"target": 4}, "must be of type string"),
    ("a duration without its unit", {"execution": {"lockTimeout": "5"}}, "write a duration like 500ms, 2s, 1m30s or 4h"),
    ("a backoff below a second", {"retry": {"backoff": "10ms"}}, "retry.backoff is at least 1s"),
    (
        "a key and keys",
        {"database": {"secretRef": {"name": SECRET_NAME, "key": "uri", "keys": {"host": "host"}}}},
        "write either key (one key that holds the whole URI) or keys, not both",
    ),
    (
        "an authority that is not looked at",
        {"database": {"secretRef": {"name": SECRET_NAME}, "tls": {"mode": "require", "caRef": {"secret": {"name": "ca"}}}}},
        "caRef is only looked at by mode verify-ca and verify-full",
    ),
    ("a version that is no number", {"rollback": {"to": "three"}}, "rollback.to is the number of a file as its name has it"),
    ("up and down at once", {"rollback": {"to": "003"}, "target": "004"}, "while spec.rollback stands nothing is applied"),
    ("a schedule of four fields", {"driftCheck": {"schedule": "0 6 * *"}}, "a schedule has the five fields of cron"),
    ("an hour that does not exist", {"driftCheck": {"schedule": "0 24 * * *"}}, "a schedule has the five fields of cron"),
    ("a drift check that says nothing", {"driftCheck": {}}, "driftCheck needs schedule, policy or both"),
    ("a time zone for no schedule", {"driftCheck": {"policy": "Off", "timeZone": "UTC"}}, "driftCheck.timeZone is about"),
    ("a severity that is no choice", {"lint": {"failOn": "note"}}, 'supported values: "error", "warning", "never"'),
    (
        "a folder in a bucket",
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "format": "Directory"}},
        "backup.format Directory is a folder of files",
    ),
    (
        "several connections for one file",
        {"backup": {"destination": {"s3": {"bucket": "backups"}}, "jobs": 4}},
        "backup.jobs is how many connections",
    ),
    ("an external backup without a name", {"backup": {"policy": "External"}}, "backup.policy External needs what protects the database"),
    (
        "an external backup beside a dump",
        {"backup": {"policy": "External", "external": {"provider": "x"}, "destination": {"s3": {"bucket": "backups"}}}},
        "backup.policy External takes no dump",
    ),
    ("a name for no external backup", {"backup": {"policy": "Skip", "external": {"provider": "x"}}}, "goes with policy External only"),
    ("a rehearsal of no backup", {"rehearsal": {}}, "rehearsal restores the run's own backup"),
    (
        "another server that is not named",
        {"rehearsal": {"mode": "Off", "where": "OtherServer"}},
        "rehearsal.where OtherServer needs rehearsal.secretRef",
    ),
    ("a misspelt field", {"backups": {"policy": "Skip"}}, 'unknown field "spec.backups"'),
]


@pytest.mark.parametrize(("spec", "message"), [(spec, message) for _, spec, message in REFUSED], ids=[what for what, _, _ in REFUSED])
def test_a_spec_that_makes_no_sense_is_refused_at_apply(
    cluster: Cluster, operator: InstalledOperator, spec: dict[str, Any], message: str
) -> None:
    status, said = dry_run(cluster, resource(**spec))
    assert status != 0
    assert message in said


def test_the_same_without_the_mistake_is_taken(cluster: Cluster, operator: InstalledOperator) -> None:
    """So it is the mistake that is refused above."""
    assert dry_run(cluster, resource()) == (0, "databasemigration.dbmigration.dev/studio created (server dry run)\n")


def test_a_new_resource_is_not_taken_for_a_finished_one(cluster: Cluster, operator: InstalledOperator) -> None:
    """kstatus compares observedGeneration with generation: a resource that no operator has seen yet must not look current."""
    made = json.loads(cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(resource())))
    assert made["status"] == {"observedGeneration": -1}
    assert made["metadata"]["generation"] == 1


def dry_run(cluster: Cluster, manifest: Json) -> tuple[int, str]:
    """Exit status and words of `kubectl apply --dry-run=server`: admission as it is, and nothing is kept."""
    applying = cluster.start_kubectl("apply", "--dry-run=server", "-f", "-", stdin=subprocess.PIPE)
    said, _ = applying.communicate(json.dumps(manifest), timeout=30)
    return applying.returncode, said
