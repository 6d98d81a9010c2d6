"""Rehearsals on a real cluster: the pending files run in a restored copy first, and what fails there never reaches the database."""

from collections.abc import Iterator

import pytest

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from tests.cluster.images import postgres_image
from tests.cluster.postgres import psql, start_postgres
from tests.cluster.steps import wait_until
from tests.e2e.databases import CLOSED_GATE, WAIT_AT_GATE
from tests.e2e.studio import CLAIM_NAME, REQUIRE_BACKUP, RUN_SECONDS, Studio
from tests.e2e.test_approval import approve
from tests.e2e.volume import files_on_volume

PREFIX = "dbmigration_rehearsing_"
FIRST = {"001_first.sql": "CREATE TABLE first (id int, note text); INSERT INTO first SELECT n, 'x' FROM generate_series(1, 1000) AS n;"}
GOOD = FIRST | {"002_second.sql": "CREATE INDEX first_id ON first (id);\n\nALTER TABLE first ADD COLUMN more int;"}
DUPLICATES = FIRST | {"002_second.sql": "SELECT 1;\nALTER TABLE first ADD UNIQUE (note);"}
REWRITES = FIRST | {"002_second.sql": "SELECT 1;\nALTER TABLE first ALTER COLUMN id TYPE bigint;"}
LONG_SECONDS = 2 * RUN_SECONDS


@pytest.fixture
def applied(studio: Studio) -> Iterator[Studio]:
    """The first file is applied; whatever a test does, no copy stays."""
    studio.database.administer(f"ALTER ROLE {studio.database.user} CREATEDB")
    studio.put_volume()
    studio.start(FIRST, backup=REQUIRE_BACKUP)
    yield studio
    assert copies(studio) == []


def copies(studio: Studio) -> list[str]:
    """The temporary databases that are there."""
    return studio.database.administer(
        f"SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%' AND pg_get_userbyid(datdba) = '{studio.database.user}'"
    )


def rehearse(studio: Studio, files: dict[str, str], /, **rehearsal: object) -> None:
    """These files, rehearsed; what lint says of them is not refused here."""
    studio.put_resource(backup=REQUIRE_BACKUP, rehearsal={"mode": "OnBackup", **rehearsal}, lint={"failOn": "never"})
    studio.put_files(files)


def test_what_fails_on_the_rows_of_the_copy_is_stopped_before_the_database_is_touched(applied: Studio) -> None:
    rehearse(applied, DUPLICATES)
    failed = applied.wait_reason(Reason.REHEARSAL_FAILED, stalled=True, seconds=LONG_SECONDS)
    run, rehearsal = failed.status.run, failed.status.rehearsal
    assert run is not None
    assert rehearsal is not None
    assert (run.file, run.line, run.sqlstate, run.counted) == ("002_second.sql", 2, "23505", 0)
    assert not rehearsal.passed
    assert applied.database.history() == ["001_first.sql"]
    assert failed.states["002_second.sql"] == "Pending"
    assert copies(applied) == []
    applied.put_files(GOOD)
    done = applied.wait_ready(version="002")
    assert done.status.rehearsal is not None
    assert done.status.rehearsal.passed


def test_times_locks_and_the_restored_backup_are_on_the_resource(applied: Studio) -> None:
    rehearse(applied, GOOD, maxLockSeconds=60, failOnRewrite=True)
    status = applied.wait(lambda seen: seen.ready and seen.status.version == "002", "Ready at 002", seconds=LONG_SECONDS).status
    assert status.rehearsal is not None
    assert status.backup is not None
    assert status.rehearsal.passed
    assert status.rehearsal.backup_uri == status.backup.uri
    assert status.backup.restored_at is not None
    assert [(file.name, file.statements) for file in status.rehearsal.files] == [("002_second.sql", 2)]
    assert {(each.file, each.line) for each in status.rehearsal.slowest} >= {("002_second.sql", 1), ("002_second.sql", 3)}
    lock = status.rehearsal.locks[0]
    assert (lock.table, lock.mode, lock.line) == ("public.first", "ACCESS EXCLUSIVE", 3)
    assert status.rehearsal.rewrites == ()
    assert "Rehearsed" in [reason for _, reason, _ in applied.events()]
    assert applied.database.history() == ["001_first.sql", "002_second.sql"]


def test_a_rewrite_that_is_not_allowed_is_refused(applied: Studio) -> None:
    rehearse(applied, REWRITES, failOnRewrite=True)
    failed = applied.wait_reason(Reason.REHEARSAL_FAILED, stalled=True, seconds=LONG_SECONDS)
    assert failed.status.run is not None
    assert (failed.status.run.file, failed.status.run.line) == ("002_second.sql", 2)
    assert failed.status.rehearsal is not None
    assert [rewrite.table for rewrite in failed.status.rehearsal.rewrites] == ["public.first"]
    assert applied.database.history() == ["001_first.sql"]
    rehearse(applied, REWRITES)
    applied.wait(lambda seen: seen.ready and seen.status.version == "002", "Ready at 002", seconds=LONG_SECONDS)


def test_what_touches_the_whole_server_is_refused_before_a_backup(applied: Studio) -> None:
    before = files_on_volume(applied.cluster, applied.namespace, CLAIM_NAME)
    rehearse(applied, FIRST | {"002_second.sql": "CREATE ROLE somebody;"})
    failed = applied.wait_reason(Reason.REHEARSAL_UNSAFE, stalled=True)
    assert failed.status.run is not None
    assert (failed.status.run.file, failed.status.run.line) == ("002_second.sql", 1)
    assert files_on_volume(applied.cluster, applied.namespace, CLAIM_NAME) == before


def test_a_copy_that_a_killed_pod_left_is_gone_after_the_next_run(applied: Studio) -> None:
    applied.database.rows(CLOSED_GATE)
    rehearse(applied, FIRST | {"002_second.sql": WAIT_AT_GATE + "CREATE TABLE second (id int);"})

    def waits_in_its_copy() -> bool:
        sql = f"SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '{PREFIX}%' AND usename = '{applied.database.user}'"
        return applied.database.administer(f"{sql} AND query LIKE '%public.gate%' AND state = 'active'") == ["1"]

    wait_until("a rehearsal at the gate of its copy", waits_in_its_copy, seconds=LONG_SECONDS)
    (left,) = copies(applied)
    applied.database.open_gate()  # of the database, and so of the next copy
    uid = applied.look().uid
    applied.kubectl("delete", "pod", applied.runner_pod(uid), "--grace-period=0", "--force", "--wait=false")
    done = applied.wait(lambda seen: seen.ready and seen.status.version == "002", "Ready at 002", seconds=LONG_SECONDS)
    assert done.status.run is not None
    assert left not in copies(applied)
    assert [run.outcome for run in done.status.runs][:2] == ["Succeeded", "Interrupted"]


def test_on_another_server(applied: Studio) -> None:
    other = start_postgres(applied.cluster, applied.namespace, name="other", user="rehearser", database="rehearser")
    psql(applied.cluster, other, f"CREATE ROLE {applied.database.user}")
    applied.database.administer(f"ALTER ROLE {applied.database.user} NOCREATEDB")
    rehearse(applied, GOOD, where="OtherServer", secretRef={"name": "nowhere"})
    missing = applied.wait_reason(Reason.SECRET_MISSING, stalled=False)
    assert "rehearsal.secretRef nowhere" in missing.message
    rehearse(applied, GOOD, where="OtherServer", secretRef={"name": other.name})
    done = applied.wait(lambda seen: seen.ready and seen.status.version == "002", "Ready at 002", seconds=LONG_SECONDS)
    assert done.status.rehearsal is not None
    assert done.status.rehearsal.passed
    assert psql(applied.cluster, other, f"SELECT count(*) FROM pg_database WHERE datname LIKE '{PREFIX}%'").strip() == "0"


def test_on_a_server_in_the_pod(applied: Studio) -> None:
    """Nothing is asked of the role or of the database's server, what touches the whole server is rehearsed, and the Job ends."""
    applied.database.administer(f"ALTER ROLE {applied.database.user} NOCREATEDB")
    files = GOOD | {"003_third.sql": f"ALTER DATABASE {applied.database.name} SET work_mem = '6MB';"}
    rehearse(applied, files, where="Pod", server={"image": "localhost/no-such-postgres:1", "imagePullPolicy": "Never"})
    missing = applied.wait_reason(Reason.IMAGE_PULL_FAILED, stalled=False)
    assert "spec.rehearsal.server.image localhost/no-such-postgres:1" in missing.message
    rehearse(applied, files, where="Pod", server={"image": postgres_image(), "imagePullPolicy": "Never", "storage": "1Gi"})
    done = applied.wait(lambda seen: seen.ready and seen.status.version == "003", "Ready at 003", seconds=LONG_SECONDS)
    assert done.status.rehearsal is not None
    assert done.status.database is not None
    assert done.status.backup is not None
    assert done.status.rehearsal.passed
    assert [file.name for file in done.status.rehearsal.files] == ["002_second.sql", "003_third.sql"]
    assert done.status.rehearsal.server == done.status.database.server_version
    assert done.status.backup.restored_at is not None
    applied.kubectl("wait", "--for=condition=Complete", f"job/{applied.jobs()[-1]}", f"--timeout={RUN_SECONDS:.0f}s")


def test_who_approves_sees_the_rehearsal_and_the_run_that_applies_backs_up_anew(applied: Studio) -> None:
    def dumps() -> int:
        return sum(file.path.endswith(".dump") for file in files_on_volume(applied.cluster, applied.namespace, CLAIM_NAME))

    before = dumps()
    applied.put_resource(backup=REQUIRE_BACKUP, rehearsal={}, approval={"required": True}, lint={"failOn": "never"})
    applied.put_files(GOOD)
    waits = applied.wait_reason(Reason.APPROVAL_PENDING, seconds=LONG_SECONDS)
    assert waits.status.rehearsal is not None
    assert waits.status.plan is not None
    assert waits.status.rehearsal.plan_hash == waits.status.plan.hash
    assert "rehearsed in" in waits.message
    assert dumps() == before + 1
    approve(applied)
    done = applied.wait(lambda seen: seen.ready and seen.status.version == "002", "Ready at 002", seconds=LONG_SECONDS)
    assert dumps() == before + 2
    assert done.status.rehearsal == waits.status.rehearsal, "what was rehearsed a moment ago is not rehearsed again"
    assert done.status.backup is not None
    assert waits.status.backup is not None
    assert done.status.backup.uri != waits.status.backup.uri
    backed_up = done.condition(ConditionType.BACKED_UP)
    assert backed_up is not None
    assert done.status.backup.uri in backed_up.message
