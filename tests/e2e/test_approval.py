"""Approval on a real cluster: pending files wait for a person who names their plan, and for that plan only."""

import json
import os
import subprocess
import sys

from dbmigration.api.reasons import Reason
from tests.e2e.studio import NAME, Studio

FILES = {"001_projects.sql": "CREATE TABLE projects (id bigint PRIMARY KEY);"}
MORE = FILES | {"002_more.sql": "CREATE TABLE more (id bigint PRIMARY KEY);"}
EDITED = FILES | {"002_more.sql": "CREATE TABLE more (id bigint PRIMARY KEY, name text);"}
ASKED = {"required": True}


def test_a_plan_waits_until_the_command_line_approves_it(studio: Studio) -> None:
    studio.prepare(FILES)
    studio.put_resource(approval=ASKED)
    waits = studio.wait_reason(Reason.APPROVAL_PENDING)
    assert (waits.ready, waits.reconciling, waits.stalled) == (False, False, False)
    assert studio.database.tables() == []
    approve(studio, "--comment", "CHG-1")
    done = studio.wait_ready(version="001")
    assert done.status.approval is not None
    assert waits.status.plan is not None
    assert done.status.approval.plan_hash == waits.status.plan.hash
    assert done.status.approval.approved_by
    assert studio.database.history() == ["001_projects.sql"]


def test_an_approval_of_files_that_were_edited_since_is_refused(studio: Studio) -> None:
    studio.start(FILES)
    studio.put_resource(approval=ASKED)
    studio.put_files(MORE)
    first = studio.wait_reason(Reason.APPROVAL_PENDING).status.plan
    studio.put_files(EDITED)
    studio.wait(lambda seen: seen.reason == Reason.APPROVAL_PENDING and seen.status.plan != first, "another plan waits")
    assert first is not None
    approval = {"apiVersion": "dbmigration.dev/v1alpha1", "kind": "MigrationApproval", "metadata": {"name": "early"}}
    studio.put(approval | {"spec": {"migrationRef": {"name": NAME}, "planHash": first.hash}})
    stale = studio.wait_reason(Reason.APPROVAL_STALE, stalled=False)
    assert "early" in stale.message
    assert studio.database.history() == ["001_projects.sql"]
    approve(studio)
    studio.wait_ready(version="002")
    assert studio.database.history() == ["001_projects.sql", "002_more.sql"]


def test_an_approval_cannot_be_changed(studio: Studio) -> None:
    spec = {"migrationRef": {"name": NAME}, "planHash": "a" * 64}
    studio.put({"apiVersion": "dbmigration.dev/v1alpha1", "kind": "MigrationApproval", "metadata": {"name": "one"}, "spec": spec})
    patch = json.dumps({"spec": {"planHash": "b" * 64}})
    process = studio.cluster.start_kubectl("-n", studio.namespace, "patch", "migrationapproval", "one", "--type=merge", "-p", patch)
    said, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "an approval cannot be changed" in said


def approve(studio: Studio, *words: str) -> None:
    """As a person does it, with kubectl's configuration."""
    command = [sys.executable, "-m", "dbmigration.cli.main", "approve", NAME, "-n", studio.namespace, "--yes", *words]
    subprocess.run(command, check=True, timeout=60, env=os.environ | {"KUBECONFIG": str(studio.cluster.kubeconfig_path)})
