"""`spec.rehearsal.where: Pod`: the server in the run's pod."""

from dataclasses import replace
from typing import Any

import pytest

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.request import FetchRequest
from dbmigration.api.server_script import USER_ANNOTATION
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide import keys
from dbmigration.decide.observed import Blocked, FetchedSource
from dbmigration.decide.rules import decide
from dbmigration.kube.jobs import build_job
from tests.unit.observing import NOW, RUNNER, ended, failure_report, key_of, run, seen, spec

POD = {"where": "Pod", "server": {"image": "postgres:17", "storage": "2Gi", "parameters": {"shared_preload_libraries": "pg_cron"}}}


def pod_of(given: Spec, **observed: Any) -> dict[str, Any]:
    start = decide(seen(spec=given, **observed), NOW).start
    assert start is not None
    found: dict[str, Any] = build_job(start, given, RUNNER)["spec"]["template"]
    return found


def test_a_server_in_the_pod_shares_one_volume_with_the_runner_and_is_confined_like_it() -> None:
    given = spec(rehearsal=POD)
    start = decide(seen(spec=given), NOW).start
    assert start is not None
    assert start.request.rehearsal is not None
    told = start.request.rehearsal.server
    assert told is not None
    assert (told.image, told.storage, told.parameters) == ("postgres:17", 2 * 2**30, {"shared_preload_libraries": "pg_cron"})
    template = pod_of(given)
    pod = template["spec"]
    (server,), (runner,) = pod["initContainers"], pod["containers"]
    assert (server["name"], server["image"], server["restartPolicy"]) == ("rehearsal-server", "postgres:17", "Always")
    assert server["securityContext"] == runner["securityContext"]
    assert server["resources"]["limits"] == {"memory": "1Gi"}
    assert "env" not in server
    volumes = {each["name"]: each for each in pod["volumes"]}
    common = {each["name"] for each in server["volumeMounts"]} & {each["name"] for each in runner["volumeMounts"]}
    assert common == {"rehearsal-server"}
    assert volumes["rehearsal-server"]["emptyDir"] == {"sizeLimit": "2Gi"}
    assert all("emptyDir" in volumes[each["name"]] or "downwardAPI" in volumes[each["name"]] for each in server["volumeMounts"])
    user = pod["securityContext"]["runAsUser"]
    assert template["metadata"]["annotations"][USER_ANNOTATION].startswith(f"postgres:x:{user}:{user}:")


def test_the_servers_resources_and_pull_policy_are_those_of_the_spec_and_files_of_an_image_come_first() -> None:
    server = {"image": "postgres:17", "imagePullPolicy": "Never", "resources": {"limits": {"memory": "4Gi"}}}
    given = spec(rehearsal={"where": "Pod", "server": server}, source={"image": {"reference": "app:1"}})
    found = pod_of(given, source=FetchedSource("x", FetchRequest(image="app:1")))["spec"]["initContainers"]
    assert [each["name"] for each in found] == ["source", "rehearsal-server"]
    assert (found[1]["imagePullPolicy"], found[1]["resources"]) == ("Never", {"limits": {"memory": "4Gi"}})


@pytest.mark.parametrize("changes", [{"rehearsal": {}}, {"rehearsal": POD | {"mode": "Off"}}])
def test_without_a_rehearsal_in_the_pod_there_is_no_server(changes: dict[str, Any]) -> None:
    assert "initContainers" not in pod_of(spec(**changes))["spec"]


def test_a_copy_that_outgrew_its_storage_stalls_until_the_spec_changes() -> None:
    given = spec(rehearsal=POD)
    of = run().model_copy(update={"key": key_of(given), "spec_hash": keys.spec_hash(given)})
    outgrown = Blocked(Reason.REHEARSAL_SERVER_FAILED, "it does not fit")
    interrupted = failure_report(Reason.INTERRUPTED, transient=True, outcome=Outcome.INTERRUPTED)
    for said in (None, interrupted):
        job = ended(said, run_key=key_of(given), spec_hash=keys.spec_hash(given))
        job = replace(job, pod=replace(job.pod, disrupted=True, server_failed=outgrown))
        first = decide(seen(spec=given, status=Status(run=of), jobs=(job,)), NOW)
        second = decide(seen(spec=given, status=first.status, jobs=(job,)), NOW)
        stalled = find(second.status.conditions, ConditionType.STALLED)
        assert stalled is not None
        assert (stalled.reason, second.start) == (Reason.REHEARSAL_SERVER_FAILED, None)
        more = spec(rehearsal={"where": "Pod", "server": {"image": "postgres:17", "storage": "4Gi"}})
        assert decide(seen(spec=more, status=first.status, jobs=(job,)), NOW).start is not None


def test_a_rollback_is_told_of_it_too() -> None:
    assert len(pod_of(spec(rehearsal=POD, rollback={"to": "003"}))["spec"]["initContainers"]) == 1
