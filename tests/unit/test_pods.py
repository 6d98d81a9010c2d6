"""What a pod and its log say of a run: never believed without a look, never able to crash the operator."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.decide.observed import Blocked, PodSeen, PodState, Progress
from dbmigration.kube.pods import blocked_by_events, newest_telling, pod_seen, termination_message
from dbmigration.kube.reports import progress_in_log, read_report, report_in_log
from tests.unit.observing import report


def pod(
    state: dict[str, Any] | None = None, *, name: str = "runner", deleted: bool = False, created: str = "1", **status: Any
) -> dict[str, Any]:
    statuses = [{"name": "sidecar", "state": {"running": {}}}, *([{"name": name, "state": state}] if state is not None else [])]
    metadata = {"name": f"pod-{created}", "creationTimestamp": created, **({"deletionTimestamp": "2"} if deleted else {})}
    return {"metadata": metadata, "status": {"containerStatuses": statuses, **status}}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


UNSCHEDULED = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]


@pytest.mark.parametrize(
    ("given_pod", "expected"),
    [
        (pod(terminated(0, "Completed")), PodSeen(PodState.TERMINATED, exit_code=0, exit_reason="Completed")),
        (pod(terminated(137, "OOMKilled")), PodSeen(PodState.TERMINATED, exit_code=137, exit_reason="OOMKilled")),
        (pod(terminated(143), deleted=True), PodSeen(PodState.TERMINATED, exit_code=143, exit_reason="Error", disrupted=True)),
        (
            pod(terminated(137), phase="Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}]),
            PodSeen(PodState.TERMINATED, exit_code=137, exit_reason="Error", disrupted=True),
        ),
        (pod(phase="Failed", reason="Evicted"), PodSeen(PodState.TERMINATED, exit_reason="Evicted", disrupted=True)),
        (pod({"running": {"startedAt": "x"}}), PodSeen(PodState.RUNNING)),
        (pod(terminated(0), name="sidecar-2"), PodSeen(PodState.WAITING)),
        (pod(waiting("ContainerCreating")), PodSeen(PodState.WAITING)),
        (
            pod(waiting("ImagePullBackOff", "Back-off pulling image")),
            PodSeen(PodState.WAITING, blocked=Blocked(Reason.IMAGE_PULL_FAILED, "ImagePullBackOff: Back-off pulling image")),
        ),
        (
            pod(waiting("CreateContainerConfigError", "container has runAsNonRoot")),
            PodSeen(PodState.WAITING, blocked=Blocked(Reason.POD_NOT_STARTED, "CreateContainerConfigError: container has runAsNonRoot")),
        ),
        (pod(conditions=UNSCHEDULED), PodSeen(PodState.WAITING, blocked=Blocked(Reason.UNSCHEDULABLE, "0/1 nodes are available"))),
        ({"metadata": {}}, PodSeen(PodState.WAITING)),
    ],
)
def test_state_of_a_pod_is_that_of_the_container_runner(given_pod: dict[str, Any], expected: PodSeen) -> None:
    assert pod_seen(given_pod) == expected


def test_of_two_pods_the_one_that_ended_well_is_believed() -> None:
    """two-pods-at-once"""
    first, second = pod(terminated(0), created="1"), pod(terminated(1), created="2")
    assert newest_telling([second, first]) is first
    assert newest_telling([pod(terminated(1), created="1"), second]) is second
    assert newest_telling([]) is None


def test_words_of_kubelet_are_cut_to_a_kibibyte() -> None:
    found = pod_seen(pod(waiting("ErrImagePull", "x" * 5000))).blocked
    assert found
    assert len(found.message.encode()) <= 1024


def event(reason: str, at: str, kind: str = "Warning") -> dict[str, Any]:
    return {"type": kind, "reason": reason, "message": f"because of {at}", "lastTimestamp": at, "metadata": {}}


def test_newest_warning_says_why_a_pod_does_not_start() -> None:
    events = [
        event("FailedMount", "2026-11-23T12:00:02Z"),
        event("FailedCreate", "2026-11-23T12:00:01Z"),
        event("Scheduled", "2027", "Normal"),
    ]
    assert blocked_by_events(events) == Blocked(Reason.POD_NOT_STARTED, "FailedMount: because of 2026-11-23T12:00:02Z")
    assert blocked_by_events(events[1:]) == Blocked(Reason.ADMISSION_DENIED, "FailedCreate: because of 2026-11-23T12:00:01Z")
    assert blocked_by_events(events[2:]) is None


def line(value: object) -> str:
    return json.dumps(value)


def test_report_is_read_from_the_termination_message() -> None:
    told = report(run_id="job-1")
    ended = pod(terminated(0, message=told.to_json()))
    assert read_report(termination_message(ended), "job-1", Report) == told


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "[]", "killed", '{"runId": "job-1"}', report(run_id="job-2").to_json(), report().to_json()[:-20], "[" * 5000]
)
def test_what_is_no_report_of_this_run_is_none(text: str) -> None:
    assert read_report(text, "job-1", Report) is None


@given(st.text())
def test_no_text_crashes_the_reader(text: str) -> None:
    assert read_report(text, "job-1", Report) is None
    assert report_in_log(text, "job-1", Report) is None
    assert progress_in_log(text) is None


def test_report_and_progress_are_found_among_other_lines() -> None:
    told = report(run_id="job-1")
    log = "\n".join(
        [
            "plain words",
            line({"event": "progress", "step": "backup", "done": 1}),
            line(
                {"event": "progress", "step": "apply", "file": "002_b.sql", "done": 2, "total": 9, "message": "index"}
                | {"blockedBy": "process 7"}
            ),
            line({"report": json.loads(report(run_id="job-1", message="older").to_json())}),
            line({"report": json.loads(told.to_json())}),
            line({"report": json.loads(report(run_id="other").to_json())}),
            line({"report": "nonsense"}),
            line({"event": "done"}),
            "{broken",
        ]
    )
    assert report_in_log(log, "job-1", Report) == told
    assert progress_in_log(log) == Progress("apply", "002_b.sql", 2, 9, "index", "process 7")


def test_hostile_progress_is_taken_only_as_far_as_it_fits() -> None:
    assert progress_in_log(line({"event": "progress", "step": 3})) is None
    hostile = {"event": "progress", "step": "apply", "file": ["x"], "done": 10**30, "total": -1, "message": {"a": 1}, "blockedBy": 7}
    assert progress_in_log(line(hostile)) == Progress("apply")


def with_source(code: int, message: str = "", *, reason: str = "Error") -> dict[str, Any]:
    """A pod whose container `source` ended so, and whose runner never started."""
    source = {"name": "source", "image": "app:1", "imageID": "registry/app@sha256:1f", "state": terminated(code, reason, message)}
    found = pod(waiting("PodInitializing"), phase="Failed")
    found["status"]["initContainerStatuses"] = [source]
    return found


START_ERROR = 'failed to create containerd task: runc create failed: exec: "cp": executable file not found in $PATH: unknown'
SERVER_TOO_LARGE = 'Usage of EmptyDir volume "rehearsal-server" exceeds the limit "10Gi".'
TOO_LARGE = 'Usage of EmptyDir volume "migrations" exceeds the limit "1Gi".'


def evicted(message: str) -> dict[str, Any]:
    found = with_source(137)
    found["status"] |= {"reason": "Evicted", "message": message}
    return found


@pytest.mark.parametrize(
    ("given_pod", "reason"),
    [
        (with_source(1, "cp: cannot stat '/migrations/.': No such file or directory"), Reason.SOURCE_MISSING),
        (with_source(1, "cp: can't stat '/migrations/.': No such file or directory"), Reason.SOURCE_MISSING),
        (with_source(1, "cp: cannot stat '/migrations/./001.sql': No such file or directory"), Reason.SOURCE_INVALID),
        (with_source(1, "cp: cannot open '/migrations/./001_a.sql' for reading: Permission denied"), Reason.SOURCE_INVALID),
        (with_source(128, START_ERROR, reason="StartError"), Reason.SOURCE_INVALID),
        (evicted(TOO_LARGE), Reason.SOURCE_TOO_LARGE),
        (evicted("The node was low on resource: memory."), None),
        (evicted(SERVER_TOO_LARGE), None),
        (with_source(0), None),
    ],
)
def test_why_an_images_files_could_not_be_copied(given_pod: dict[str, Any], reason: Reason | None) -> None:
    found = pod_seen(given_pod)
    assert found.state is PodState.TERMINATED
    assert (found.source_failed.reason if found.source_failed else None) == reason


@pytest.mark.parametrize("state", [terminated(143), None], ids=["the runner ended", "the runner is not told of"])
def test_a_copy_that_outgrew_its_storage_names_the_field(state: dict[str, Any] | None) -> None:
    found = pod_seen(pod(state, phase="Failed", reason="Evicted", message=SERVER_TOO_LARGE))
    assert found.server_failed is not None
    assert found.server_failed.reason is Reason.REHEARSAL_SERVER_FAILED
    assert 'exceeds the limit "10Gi"' in found.server_failed.message
    assert "spec.rehearsal.server.storage" in found.server_failed.message


@pytest.mark.parametrize(
    ("state", "before", "reason", "words"),
    [
        (waiting("ImagePullBackOff", "Back-off pulling image"), {}, Reason.IMAGE_PULL_FAILED, "Back-off pulling image"),
        (waiting("CrashLoopBackOff", "back-off"), terminated(128, "StartError", 'exec: "sh": not found'), Reason.POD_NOT_STARTED, '"sh"'),
        (waiting("PodInitializing"), {}, None, ""),
        ({"running": {}}, {}, None, ""),
    ],
)
def test_a_rehearsal_server_that_keeps_the_runner_waiting(
    state: dict[str, Any], before: dict[str, Any], reason: Reason | None, words: str
) -> None:
    given_pod = pod(waiting("PodInitializing"))
    given_pod["status"]["initContainerStatuses"] = [
        {"name": "rehearsal-server", "image": "postgres:99", "state": state, "lastState": before}
    ]
    found = pod_seen(given_pod)
    assert found.state is PodState.WAITING
    assert (found.blocked.reason if found.blocked else None) == reason
    if found.blocked:
        assert "spec.rehearsal.server.image postgres:99" in found.blocked.message
        assert words in found.blocked.message


def test_the_image_of_the_files_that_cannot_be_pulled_is_told_like_any_other() -> None:
    given_pod = pod(waiting("PodInitializing"))
    given_pod["status"]["initContainerStatuses"] = [{"name": "source", "state": waiting("ErrImagePull", "not found")}]
    assert pod_seen(given_pod).blocked == Blocked(Reason.IMAGE_PULL_FAILED, "ErrImagePull: not found")


def test_the_image_that_was_really_run_is_told_by_digest() -> None:
    given_pod = with_source(0)
    given_pod["status"] |= {"phase": "Succeeded", "containerStatuses": [{"name": "runner", "state": terminated(0)}]}
    assert pod_seen(given_pod).source_image == "registry/app@sha256:1f"
