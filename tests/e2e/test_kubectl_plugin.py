"""`kubectl dbmigration` on a real resource, as a person types it."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dbmigration.api.reasons import Reason
from tests.cluster.postgres import psql
from tests.e2e.restores import Restore
from tests.e2e.studio import NAME, REQUIRE_BACKUP, Studio

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
BACK = {"rollback-001.sql": "DROP TABLE first;"}
SECOND = {"002_second.sql": "CREATE TABLE second (id int);", "rollback-002.sql": "DROP TABLE second;"}
BROKEN = {"002_second.sql": "SELECT 1;\nINSERT INTO absent VALUES ('a secret');"}


def test_a_run_that_went_well_is_watched_shown_and_remembered(studio: Studio) -> None:
    studio.prepare(FIRST | SECOND)
    studio.put_resource()
    watched = studio.plugin("watch", NAME, "--timeout", "80s")
    assert watched.returncode == 0, watched.stderr
    assert f"Ready  UpToDate  {studio.namespace}/{NAME}" in watched.stdout

    looked = studio.plugin("status", f"dbm/{NAME}")
    assert looked.returncode == 0
    assert "version     002: 2 applied, 0 pending" in looked.stdout
    assert "001_first.sql" in looked.stdout

    told = studio.plugin("logs", NAME)
    assert told.returncode == 0
    assert "apply    applied 002_second.sql" in told.stdout
    assert '"report"' not in told.stdout
    assert '"report"' in studio.plugin("logs", NAME, "--raw").stdout

    past = studio.plugin("history", NAME)
    heads, values = (line.split() for line in past.stdout.splitlines())
    assert heads == ["STARTED", "TOOK", "OUTCOME", "REASON", "FROM", "TO", "JOB", "BACKUP"]
    assert values[3:7] == ["Succeeded", "UpToDate", "-", "002"]


def test_watch_names_the_blocker_and_goes_on_when_it_is_gone(studio: Studio) -> None:
    studio.start(FIRST)
    command = [sys.executable, "-m", "dbmigration.cli.plugin.main", "watch", NAME, "-n", studio.namespace]
    environment = os.environ | {"KUBECONFIG": str(studio.cluster.kubeconfig_path), "PYTHONUNBUFFERED": "1"}
    with ExitStack() as locks:
        locks.enter_context(studio.database.locked("first"))
        studio.put_resource(execution={"lockTimeout": "10m"})
        studio.put_files(FIRST | {"002_wider.sql": "ALTER TABLE first ADD COLUMN name text;"})
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            blocked = next(line for line in watching.stdout if "waiting" in line)
            assert "ACCESS EXCLUSIVE on public.first, blocked by" in blocked
            looked = studio.wait(lambda seen: bool(seen.status.progress and seen.status.progress.blocked_by), "the blocker is named")
            assert looked.status.progress is not None
            assert looked.status.progress.summary == "apply 0/1 blocked"
            assert "apply 0/1 blocked" in studio.kubectl("get", "dbm", NAME)
            assert "blocked by" in studio.plugin("status", NAME).stdout
            assert studio.plugin("watch", NAME, "--timeout", "1s").returncode == 3
            locks.close()
            assert "applied 002_wider.sql" in watching.stdout.read()
        assert watching.returncode == 0


def test_a_failure_is_watched_shown_and_tried_again(studio: Studio) -> None:
    studio.prepare(FIRST | BROKEN)
    studio.put_resource()
    watched = studio.plugin("watch", NAME)
    assert watched.returncode == 1
    assert "Stalled  SqlFailed" in watched.stdout
    assert "1. mend 002_second.sql:2" in watched.stdout
    assert "a secret" not in watched.stdout + watched.stderr
    assert studio.plugin("plan", NAME).returncode == 4
    studio.database.rows("CREATE TABLE absent (word text)")
    again = studio.plugin("retry", NAME, "--watch")
    assert again.returncode == 0, again.stdout + again.stderr
    assert studio.database.rows("SELECT word FROM absent") == ["a secret"]


def test_a_plan_is_shown_and_approved_and_watch_says_that_it_waits(studio: Studio) -> None:
    studio.prepare(FIRST)
    studio.put_resource(approval={"required": True})
    watched = studio.plugin("watch", NAME)
    assert watched.returncode == 4
    assert "Waiting  ApprovalPending" in watched.stdout
    shown = studio.plugin("plan", NAME)
    assert shown.returncode == 4
    assert "  001_first.sql" in shown.stdout
    assert f"kubectl dbmigration approve {NAME} -n {studio.namespace}" in shown.stdout
    assert studio.plugin("approve", NAME, "--yes").returncode == 0
    assert studio.plugin("watch", NAME).returncode == 0


def test_rollback_shows_asks_warns_of_gitops_and_goes_down(studio: Studio) -> None:
    studio.start(FIRST | BACK | SECOND)
    studio.kubectl("label", "dbm", NAME, "kustomize.toolkit.fluxcd.io/name=apps")
    unasked = studio.plugin("rollback", NAME, "--to", "001")
    assert unasked.returncode == 2
    none = studio.plugin("rollback", NAME, "--to", "002", "--yes")
    assert none.returncode == 1
    assert studio.look().raw["spec"].get("rollback") is None
    done = studio.plugin("rollback", NAME, "--to", "001", "--yes", "--watch")
    assert done.returncode == 0, done.stderr
    assert "002_second.sql" in done.stdout
    assert "001_first.sql" not in done.stdout.partition("with their rollback scripts")[0]
    assert "Flux" in done.stderr
    assert studio.look().reason == Reason.ROLLED_BACK
    assert studio.database.tables() == ["first"]


def test_a_backup_is_asked_back_into_a_new_database(studio: Studio) -> None:
    studio.put_volume()
    studio.start({"001_first.sql": "CREATE TABLE first AS SELECT 7 AS id;"}, backup=REQUIRE_BACKUP)
    studio.put_files({"001_first.sql": "CREATE TABLE first AS SELECT 7 AS id;", "002_second.sql": "CREATE TABLE second (id int);"})
    record = studio.wait_ready(version="002").status.backup
    assert record is not None
    studio.database.administer(f'ALTER ROLE "{studio.database.user}" CREATEDB')
    into = f"{studio.database.name}_restored"
    assert studio.plugin("restore", NAME, "--into", into).returncode == 2
    asked = studio.plugin("restore", NAME, "--into", into, "--yes")
    assert asked.returncode == 0, asked.stderr
    assert record.uri in asked.stdout
    found = re.search(r"DatabaseRestore (\S+)\. Follow", asked.stdout)
    assert found is not None
    Restore(studio, found[1]).wait_ready(Reason.RESTORED)
    assert psql(studio.cluster, replace(studio.database.admin, database=into), "SELECT id FROM first").split() == ["7"]


def test_kubectl_finds_the_plugin(studio: Studio) -> None:
    """With the virtual environment's programs in PATH, as an installed package has them."""
    studio.start(FIRST)
    programs = Path(sys.executable).parent
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    assert shutil.which("kubectl-dbmigration", path=path)
    environment = os.environ | {"PATH": path, "KUBECONFIG": str(studio.cluster.kubeconfig_path)}
    said = studio.cluster.kubectl("dbmigration", "status", NAME, "-n", studio.namespace, env=environment)
    assert "Ready  UpToDate" in said


def test_what_is_not_there_is_said_in_the_api_servers_words(studio: Studio) -> None:
    absent = studio.plugin("status", "absent")
    assert absent.returncode == 1
    assert 'databasemigrations.dbmigration.dev "absent" not found' in absent.stderr
