"""Something goes away in mid-run: nothing is applied twice, nothing is lost, and it goes on by itself."""

from dbmigration.api.names import MANAGED_BY, MANAGED_BY_LABEL
from dbmigration.api.reasons import Reason
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until
from tests.e2e.databases import WAIT_AT_GATE
from tests.e2e.restart import kill_operator, restart_operator, wait_for_another
from tests.e2e.seen import Seen
from tests.e2e.studio import CLAIM_NAME, NAME, REQUIRE_BACKUP, RUN_SECONDS, Studio
from tests.e2e.volume import files_on_volume

FILES = {
    "001_first.sql": "CREATE TABLE first (id int); INSERT INTO first VALUES (1);",
    "002_second.sql": f"CREATE TABLE second (id int);\n{WAIT_AT_GATE}",
    "003_third.sql": "CREATE TABLE third (id int);",
}
TABLES = ["first", "second", "third"]


def test_operator_killed_in_mid_run(studio: Studio, operator: InstalledOperator) -> None:
    """operator-killed-anywhere: the run goes on without it, and the next operator finds the same Job and its result."""
    running = start_and_stop_at_gate(studio)
    gone = kill_operator(studio.cluster, operator)
    studio.database.open_gate()
    wait_for_another(studio.cluster, operator, gone)
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert seen.status.run is not None
    assert running.status.run is not None
    assert studio.jobs() == [running.status.run.job_name]
    assert seen.status.run.job_name == running.status.run.job_name
    assert seen.status.run.attempt == 1


def test_operator_restarted_in_mid_run_leaves_the_run_alone(studio: Studio, operator: InstalledOperator) -> None:
    """operator-rollout-mid-run: the new operator is there while the file still runs."""
    running = start_and_stop_at_gate(studio)
    restart_operator(studio.cluster, operator)
    assert studio.database.runners("application_name NOT LIKE '% monitor'") == 1
    studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert running.status.run is not None
    assert studio.jobs() == [running.status.run.job_name]
    assert [reason for _, reason, _ in studio.events()].count("RunStarted") == 1
    assert len(seen.status.runs) == 1


def test_runner_pod_killed_in_mid_run(studio: Studio) -> None:
    """runner-killed: two seconds after SIGTERM the node kills it. 002 is undone; the next attempt begins there."""
    running = start_and_stop_at_gate(studio)
    pod = studio.runner_pod(running.uid)
    studio.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
    studio.wait(lambda seen: seen.status.run is not None and seen.status.run.attempt == 2, "at its second attempt")
    studio.database.wait_for_runner_at_gate()
    assert studio.database.history() == ["001_first.sql"]
    studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert [run.outcome for run in seen.status.runs] == ["Succeeded", "Interrupted"]
    assert seen.status.runs[1].reason in (Reason.INTERRUPTED, Reason.RUNNER_LOST), "it may or may not have got its report out"


def test_runner_pod_deleted_in_mid_run(studio: Studio) -> None:
    """As by a drain: the runner undoes its file, says Interrupted, and the attempt does not count."""
    running = start_and_stop_at_gate(studio)
    studio.kubectl("delete", "pod", studio.runner_pod(running.uid), "--wait=false")
    again = studio.wait(lambda seen: seen.status.run is not None and seen.status.run.attempt == 2, "at its second attempt")
    assert again.status.run is not None
    assert again.status.run.counted == 0
    studio.database.wait_for_runner_at_gate()
    assert studio.database.history() == ["001_first.sql"]
    studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert [run.outcome for run in seen.status.runs] == ["Succeeded", "Interrupted"]


def test_job_deleted_in_mid_run(studio: Studio) -> None:
    """job-gone-before-result: what is applied is read from the database."""
    running = start_and_stop_at_gate(studio)
    assert running.status.run is not None
    studio.kubectl("delete", "job", running.status.run.job_name, "--wait=false")
    studio.wait(lambda seen: seen.status.run is not None and seen.status.run.attempt == 2, "at its second attempt")
    studio.database.open_gate()
    studio.wait_ready(version="003")
    applied_once(studio)


def test_progress_of_a_long_run_is_on_the_resource(studio: Studio) -> None:
    """long-healthy-run: read from the log of the run while it lasts, and gone when it is over."""
    start_and_stop_at_gate(studio)
    seen = studio.wait(lambda seen: seen.status.progress is not None, "with progress")
    assert seen.status.progress is not None
    assert (seen.status.progress.step, seen.status.progress.file) == ("apply", "002_second.sql")
    assert (seen.status.progress.done, seen.status.progress.total) == (1, 3)
    studio.database.open_gate()
    assert studio.wait_ready(version="003").status.progress is None


def test_resource_deleted_in_mid_run_stops_cleanly(studio: Studio) -> None:
    """resource-deleted-mid-run: nothing holds the resource back, its pod ends, the file is undone whole, and what was in before stays."""
    start_and_stop_at_gate(studio)
    studio.kubectl("delete", "dbm", NAME, "--timeout=10s")
    studio.database.wait_for_no_runner()
    wait_until(
        "no Job and no pod",
        lambda: studio.kubectl("get", "jobs,pods", "-l", f"{MANAGED_BY_LABEL}={MANAGED_BY}", "-o", "name") == "",
        seconds=RUN_SECONDS,
    )
    assert studio.database.history() == ["001_first.sql"]
    assert studio.database.tables() == ["first"]
    assert studio.database.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == ["0"]


def test_spec_change_in_mid_run_waits_for_its_end(studio: Studio) -> None:
    """spec-change-mid-run: the run finishes as it was asked to; then the new spec is planned."""
    start_and_stop_at_gate(studio, target="002")
    studio.put_resource(target="003")
    studio.wait(lambda seen: seen.current and seen.reason == Reason.RUNNING, "running, with the new spec seen")
    assert len(studio.jobs()) == 1
    studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert [run.to for run in seen.status.runs] == ["003", "002"]


def test_resource_deleted_and_made_again_runs_no_sql_and_takes_no_backup(studio: Studio) -> None:
    studio.put_volume()
    studio.prepare(FILES)
    studio.database.close_gate()
    studio.database.open_gate()
    studio.put_resource(backup=REQUIRE_BACKUP)
    first = studio.wait_ready(version="003")
    dumps = files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME)
    rows = studio.database.rows("SELECT * FROM dbmigration.schema_migrations ORDER BY id")
    inserts = studio.database.rows("SELECT xmin FROM first")

    studio.delete()
    assert files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME) == dumps
    studio.put_resource(backup=REQUIRE_BACKUP)
    second = studio.wait_ready(version="003")
    assert second.uid != first.uid
    assert second.states == first.states
    assert second.status.backup is None
    assert files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME) == dumps
    assert studio.database.rows("SELECT * FROM dbmigration.schema_migrations ORDER BY id") == rows
    assert studio.database.rows("SELECT xmin FROM first") == inserts


def start_and_stop_at_gate(studio: Studio, **spec: object) -> Seen:
    """The resource with its run in the middle of 002."""
    studio.database.close_gate()
    studio.prepare(FILES)
    studio.put_resource(**spec)
    studio.database.wait_for_runner_at_gate()
    # The runner is at work a moment before kubelet says so, and until then a changed spec may replace it as one that has not started.
    pods = ("-l", f"{MANAGED_BY_LABEL}={MANAGED_BY}")
    studio.kubectl("wait", "pods", *pods, "--for=jsonpath={.status.phase}=Running", f"--timeout={RUN_SECONDS}s")
    return studio.wait(lambda seen: seen.reason == Reason.RUNNING and seen.status.run is not None, "running")


def applied_once(studio: Studio) -> None:
    """Every file is in, once: a second time would have failed on its table, and 001 would have left a second row."""
    assert studio.database.history() == list(FILES)
    assert studio.database.tables() == TABLES
    assert studio.database.rows("SELECT id FROM first") == ["1"]
