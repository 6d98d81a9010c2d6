"""Answers of the API server, patches, events, and the operator's own settings."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.decide.decision import Announcement
from dbmigration.decide.observed import AllowLists, Runner
from dbmigration.errors import Usage
from dbmigration.handlers.settings import read_settings
from dbmigration.kube.act import merge_patch
from dbmigration.kube.classify import Answer, classify
from dbmigration.kube.client import namespaced, resource_path
from dbmigration.kube.events import build_event
from tests.unit.observing import NOW, seen

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("status", "reason", "answer"),
    [
        (404, "NotFound", Answer.NOT_FOUND),
        (410, "Gone", Answer.NOT_FOUND),
        (409, "Conflict", Answer.CONFLICT),
        (409, "AlreadyExists", Answer.EXISTS),
        (403, "Forbidden", Answer.REFUSED),
        (422, "Invalid", Answer.REFUSED),
        (400, "BadRequest", Answer.REFUSED),
        (401, "Unauthorized", Answer.AGAIN),
        (429, "TooManyRequests", Answer.AGAIN),
        (500, "InternalError", Answer.AGAIN),
        (503, "ServiceUnavailable", Answer.AGAIN),
    ],
)
def test_answers_are_classified(status: int, reason: str, answer: Answer) -> None:
    failure = classify(status, json.dumps({"kind": "Status", "reason": reason, "message": "because"}).encode(), "7")
    assert (failure.answer, failure.message, failure.retry_after) == (answer, "because", 7)


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"[]", b"\xff\xfe"])
def test_a_proxys_answer_is_classified_too(body: bytes) -> None:
    failure = classify(502, body, "soon")
    assert (failure.answer, failure.retry_after) == (Answer.AGAIN, None)


json_objects = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
        lambda c: st.dictionaries(st.text(max_size=3), c, max_size=3),
    ),
    max_size=4,
)


def applied(patch: Any, target: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = applied(value, result.get(key))
    return result


@given(json_objects, json_objects)
def test_merge_patch_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert applied(merge_patch(before, after), before) == after


@given(json_objects)
def test_merge_patch_of_the_same_is_empty(same: dict[str, Any]) -> None:
    assert merge_patch(same, same) == {}


def test_paths() -> None:
    assert namespaced("v1", "a", "pods", "b", "log") == "/api/v1/namespaces/a/pods/b/log"
    assert namespaced("batch/v1", "a", "jobs") == "/apis/batch/v1/namespaces/a/jobs"
    assert resource_path("a", "b", "status") == "/apis/dbmigration.dev/v1alpha1/namespaces/a/databasemigrations/b/status"


def test_the_same_announcement_is_the_same_event() -> None:
    told = Announcement("Migrated", "applied 001", identity="job-1/migrated")
    first = build_event(seen(name="x" * 253), told, NOW)
    assert first["metadata"]["name"] == build_event(seen(name="x" * 253), told, NOW.replace(hour=3))["metadata"]["name"]
    assert first["metadata"]["name"] != build_event(seen(name="x" * 253, uid="other"), told, NOW)["metadata"]["name"]
    assert len(first["metadata"]["name"]) <= 253
    assert (first["type"], first["reason"], first["involvedObject"]["uid"]) == ("Normal", "Migrated", "uid-1")


def test_settings_come_from_the_environment() -> None:
    settings = read_settings({"DBMIGRATION_RUNNER_IMAGE": "a:1", "DBMIGRATION_WATCH_NAMESPACES": "one, two,", "DBMIGRATION_WORKERS": "3"})
    assert read_settings({"DBMIGRATION_RUNNER_IMAGE": "a:1", "DBMIGRATION_CLUSTER": "rome-1"}).cluster == "rome-1"
    assert settings.runner == Runner("a:1", "IfNotPresent")
    assert settings.namespaces == ("one", "two")
    assert settings.workers == 3
    assert settings.allowed == AllowLists(service_accounts=(), s3_hosts=("*",))
    lists = {"DBMIGRATION_ALLOWED_SERVICE_ACCOUNTS": "migrations-*,", "DBMIGRATION_ALLOWED_S3_HOSTS": " minio.svc, s3.amazonaws.com/a "}
    assert read_settings({"DBMIGRATION_RUNNER_IMAGE": "a:1", **lists}).allowed == AllowLists(
        ("migrations-*",), ("minio.svc", "s3.amazonaws.com/a")
    )
    assert settings.limits == (20, 4)
    chosen = {"DBMIGRATION_MAX_RUNS": "3", "DBMIGRATION_MAX_RUNS_PER_SERVER": "0"}
    assert read_settings({"DBMIGRATION_RUNNER_IMAGE": "a:1", **chosen}).limits == (3, 0)
    own = read_settings({"POD_NAME": "p", "POD_NAMESPACE": "n"})
    assert (own.runner, own.pod_name, own.pod_namespace, own.namespaces) == (None, "p", "n", ())


COLLECTOR = {"DBMIGRATION_RUNNER_IMAGE": "a", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_runs_get_where_to_send_traces_and_no_other_variable_of_the_operator() -> None:
    others = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x", "OTEL_PYTHON_CONFIGURATOR": "x"}
    told = dict(read_settings(COLLECTOR | others).traces)
    assert told == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": "always_on"}
    assert read_settings({"DBMIGRATION_RUNNER_IMAGE": "a", "OTEL_TRACES_SAMPLER": "always_on"}).traces == ()
    assert read_settings(COLLECTOR | {"OTEL_SDK_DISABLED": "true"}).traces == ()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"POD_NAME": "p"},
        COLLECTOR | {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer x"},
        COLLECTOR | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:password@collector:4318"},
        COLLECTOR | {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
        COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_RUNNER_PULL_POLICY": "Sometimes"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_LOG_FORMAT": "xml"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_WORKERS": "0"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_WORKERS": "many"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_CLUSTER": "two words"},
        {"DBMIGRATION_RUNNER_IMAGE": "a", "DBMIGRATION_MAX_RUNS": "-1"},
    ],
)
def test_settings_that_make_no_sense_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(Usage):
        read_settings(environ)


def manifests(folder: str) -> list[dict[str, Any]]:
    found = [document for path in sorted((ROOT / "manifests" / folder).glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]
    return [document for document in found if document]


def test_the_operators_role_has_no_word_about_secrets() -> None:
    role = next(m for m in manifests("base") if m["kind"] == "ClusterRole" and m["metadata"]["name"] == "dbmigration-operator")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not [g for g in granted if g[1] in ("secrets", "*") or g[2] == "*" or g[0] == "*"]
    writes = {(resource, verb) for _, resource, verb in granted if verb not in ("get", "list", "watch")}
    assert writes == {
        *(("databasemigrations/status", "patch"), ("databaserestores/status", "patch")),
        *(("jobs", "create"), ("jobs", "delete"), ("events", "create")),
    }


def test_deployment_is_restricted_and_alone() -> None:
    deployment = next(m for m in manifests("base") if m["kind"] == "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = pod["containers"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


def test_only_the_restorer_may_make_a_restore() -> None:
    roles = [m for m in manifests("base") if m["kind"] == "ClusterRole"]
    writers = {
        (role["metadata"]["name"], bool(role["metadata"].get("labels")))
        for role in roles
        for rule in role["rules"]
        if "databaserestores" in rule["resources"] and "create" in rule["verbs"]
    }
    assert writers == {("dbmigration-restorer", False)}, "in no aggregated role"


def test_samples_of_restores_are_valid() -> None:
    from dbmigration.api.restore import RestoreSpec

    samples = [m for m in manifests("samples") if m["kind"] == "DatabaseRestore"]
    assert samples
    for sample in samples:
        assert not RestoreSpec.model_validate(sample["spec"]).swap


def test_samples_are_valid_resources() -> None:
    from dbmigration.api.spec import Spec

    samples = [m for m in manifests("samples") if m["kind"] == "DatabaseMigration"]
    assert len(samples) >= 2
    for sample in samples:
        Spec.model_validate(sample["spec"])
