"""The cluster itself is disturbed in mid-run."""

import json

from tests.cluster.operator import InstalledOperator
from tests.e2e.studio import NAME, RUN_SECONDS, Studio
from tests.e2e.test_interruptions import FILES, applied_once, start_and_stop_at_gate

FOURTH = {"004_fourth.sql": "CREATE TABLE fourth (id int);"}


def test_api_server_restart_in_mid_run_is_caught_up_with(studio: Studio) -> None:
    """api-server-restart, watch-lost: what happened while nobody could be told is found out, and the watches work again."""
    running = start_and_stop_at_gate(studio)
    studio.cluster.restart_api_server()
    studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert running.status.run is not None
    assert studio.jobs() == [running.status.run.job_name]
    assert [run.outcome for run in seen.status.runs] == ["Succeeded"]

    studio.put_files(FILES | FOURTH)
    studio.wait_ready(version="004")


def test_somebody_who_writes_to_the_resource_all_the_time_does_not_disturb_a_run(studio: Studio, operator: InstalledOperator) -> None:
    """status-conflict: a patch that is answered 409 is made again from what is there now, and the operator does not restart."""
    before = operator_pods(studio, operator)
    running = start_and_stop_at_gate(studio)
    for number in range(20):
        studio.kubectl("annotate", "dbm", NAME, f"example.com/touched={number}", "--overwrite")
        if number == 10:
            studio.database.open_gate()
    seen = studio.wait_ready(version="003")
    applied_once(studio)
    assert running.status.run is not None
    assert studio.jobs() == [running.status.run.job_name]
    assert len(seen.status.runs) == 1
    assert operator_pods(studio, operator) == before


def test_namespace_deleted_in_mid_run_goes_away(studio: Studio) -> None:
    """namespace-deleted: no finalizer holds it, the run stops, the file in hand is undone, and the database stays."""
    start_and_stop_at_gate(studio)
    studio.cluster.kubectl("delete", "namespace", studio.namespace, f"--timeout={RUN_SECONDS}s")
    studio.database.wait_for_no_runner()
    assert studio.database.history() == ["001_first.sql"]
    assert studio.database.tables() == ["first"]


def operator_pods(studio: Studio, operator: InstalledOperator) -> dict[str, int]:
    """How often each of the operator's pods was restarted."""
    found = json.loads(studio.cluster.kubectl("get", "pods", "-n", operator.namespace, "-l", operator.selector, "-o", "json"))
    return {pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"]) for pod in found["items"]}
