"""Promotion on a real cluster: production waits for staging, in another namespace and another database, and goes on by itself."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbmigration.api.checklist import CheckState, Item
from dbmigration.api.reasons import Reason
from tests.cluster.interface import Cluster
from tests.e2e.databases import Server
from tests.e2e.seen import Seen
from tests.e2e.studio import REQUIRE_BACKUP, Studio
from tests.e2e.test_approval import approve

FIRST = {"001_projects.sql": "CREATE TABLE projects (id bigint PRIMARY KEY);"}
MORE = FIRST | {
    "002_limits.sql": "CREATE TABLE limits (id bigint PRIMARY KEY);",
    "003_ours.sql": "-- Environment: production\nCREATE TABLE ours (id bigint PRIMARY KEY);\n",
}
NEXT = MORE | {"004_next.sql": "CREATE TABLE next (id bigint PRIMARY KEY);"}
EVIDENCE = "studio-staging"


@pytest.fixture
def staging(cluster: Cluster, studio: Studio, server: Server) -> Iterator[Studio]:
    """A resource of the same name in another namespace, with a database of its own."""
    name = f"staging-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "dbmigration.dev/test": "true"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(wanted))
    try:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        yield replace(studio, namespace=name, database=server.new_database())
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_files_wait_until_staging_has_them_and_then_run_by_themselves(studio: Studio, staging: Studio) -> None:
    after = {"after": {"name": "studio", "namespace": staging.namespace}}
    studio.prepare(MORE)
    studio.put_resource(environment="production", promotion=after)
    absent = studio.wait_reason(Reason.PROMOTION_PENDING)
    assert (absent.ready, absent.reconciling, absent.stalled) == (False, False, False)
    assert "it does not exist" in absent.message

    staging.start(FIRST)
    behind = studio.wait(lambda seen: "002_limits.sql is not there" in seen.message, "002 is missing in staging")
    assert behind.reason == Reason.PROMOTION_PENDING
    assert studio.database.tables() == []

    staging.put_files(NEXT)
    tested = staging.wait_ready(version="004")
    done = studio.wait_ready(version="003")
    assert studio.database.tables() == ["limits", "ours", "projects"]
    assert done.status.promotion is not None
    assert done.status.promotion.by == f"DatabaseMigration {staging.namespace}/studio"
    assert tested.status.run is not None
    assert tested.status.run.finished_at is not None
    assert done.status.runs[0].started_at - tested.status.run.finished_at < timedelta(seconds=60), "its event wakes us, not the slow look"


def test_the_same_files_need_no_run_that_only_plans(studio: Studio, staging: Studio) -> None:
    tested = staging.start(MORE)
    assert tested.status.source is not None
    assert tested.status.source.complete
    studio.start(MORE, environment="production", promotion={"after": {"name": "studio", "namespace": staging.namespace}})
    assert len(studio.jobs()) == 1


def test_the_checklist_says_what_was_proved_and_what_is_only_declared(studio: Studio, staging: Studio) -> None:
    staging.start(FIRST)
    files = FIRST | {
        "rollback-001.sql": "DROP TABLE projects;",
        "verify-001.sql": "SELECT to_regclass('public.projects') IS NOT NULL;",
    }
    alerts = {"item": "MonitoringAlerts", "where": "PrometheusRule studio/migrations"}
    gates = {"promotion": {"after": {"name": "studio", "namespace": staging.namespace}}, "approval": {"required": True}}
    studio.put_volume()
    studio.prepare(files)
    studio.put_resource(environment="production", backup=REQUIRE_BACKUP, declared=[alerts], **gates)
    waits = boxes(studio.wait_reason(Reason.APPROVAL_PENDING))
    assert waits[Item.REVIEWED] is waits[Item.BACKUP_CREATED] is CheckState.WAITING
    assert waits[Item.TESTED_IN_STAGING] is waits[Item.ROLLBACK_PREPARED] is waits[Item.DEPENDENCIES_VERIFIED] is CheckState.PROVED
    approve(studio)
    done = boxes(studio.wait_ready(version="001"))
    assert done == dict.fromkeys(Item, CheckState.PROVED) | {
        Item.TESTED_IN_DEVELOPMENT: CheckState.NOT_REQUIRED,
        Item.MAINTENANCE_WINDOW: CheckState.NOT_REQUIRED,
        Item.MONITORING_ALERTS: CheckState.DECLARED,
    }
    described = studio.kubectl("describe", "dbm", "studio")
    assert "NoSyntaxErrors" in described
    assert "PrometheusRule studio/migrations" in described


def test_evidence_of_another_cluster_promotes_and_an_edited_one_does_not(studio: Studio, staging: Studio, tmp_path: Path) -> None:
    staging.start(NEXT)
    printed = evidence(staging, NEXT, tmp_path)
    studio.prepare(MORE)
    studio.put_resource(environment="production", promotion={"evidence": {"configMapRef": {"name": EVIDENCE}}})
    waits = studio.wait_reason(Reason.PROMOTION_PENDING)
    assert "it does not exist" in waits.message
    edited = json.loads(json.dumps(printed).replace("002_limits", "002_limitz"))
    studio.put(edited)
    studio.wait(lambda seen: "its hash is another" in seen.message, "the edited evidence is refused")
    assert studio.database.tables() == []
    studio.put(printed)
    studio.wait_ready(version="003")


def boxes(seen: Seen) -> dict[Item, CheckState]:
    return {check.item: check.state for check in seen.status.checklist}


def evidence(studio: Studio, files: Mapping[str, str], folder: Path) -> dict[str, object]:
    """As a pipeline of the other cluster prints it, from its own copy of the files."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    database = studio.database
    with studio.cluster.port_forward(f"service/{database.admin.name}", 5432, "-n", database.admin.namespace) as port:
        uri = replace(database.admin, user=database.user, password=database.password).uri("127.0.0.1", port)
        command = [sys.executable, "-m", "dbmigration.cli.main", "status", "--dir", str(folder), "--environment", "staging"]
        environ = os.environ | {"DATABASE_URL": uri}
        told = subprocess.run([*command, "--evidence", EVIDENCE], check=True, timeout=60, env=environ, capture_output=True, text=True)
    manifest: dict[str, object] = json.loads(told.stdout)
    return manifest
