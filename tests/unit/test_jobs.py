"""The Job of a run: restricted, without a token, with nothing secret in it, and found again after a crash."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.request import (
    BACKUP_DIR,
    BACKUP_SECRET_DIR,
    CA_DIR,
    MIGRATIONS_DIR,
    REQUEST_VARIABLE,
    S3_SECRET_DIR,
    SECRET_DIR,
    RunRequest,
)
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.decision import StartRun
from dbmigration.decide.rules import decide
from dbmigration.kube.job_seen import job_seen, owned_by
from dbmigration.kube.jobs import build_job
from tests.unit.observing import NOW, RUNNER, SPEC, seen, spec

FULL = spec(
    database={"secretRef": {"name": "db"}, "tls": {"mode": "verify-full", "caRef": {"secret": {"name": "ca", "key": "root.pem"}}}},
    source={"configMaps": [{"name": "one"}, {"name": "two"}]},
    job={
        "resources": {"limits": {"memory": "2Gi", "cpu": 1}},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "db", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "registry"}],
        "labels": {"team": "a", "dbmigration.dev/uid": "stolen", "sidecar.istio.io/inject": "true"},
        "annotations": {"note": "b", "dbmigration.dev/resource": "stolen"},
        "activeDeadlineSeconds": 3600,
    },
)


def start(given: Spec = SPEC, **changes: Any) -> StartRun:
    decision = decide(seen(spec=given, **changes), NOW)
    assert decision.start is not None
    return decision.start


def manifest(given: Spec = SPEC, **changes: Any) -> dict[str, Any]:
    return build_job(start(given, **changes), given, RUNNER)


def pod(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def mounts(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    volumes = {volume["name"]: volume for volume in pod(job)["volumes"]}
    return {
        mount["mountPath"]: {**volumes[mount["name"]], "ro": mount.get("readOnly", False)}
        for mount in pod(job)["containers"][0]["volumeMounts"]
    }


def test_pod_meets_the_restricted_standard() -> None:
    spec_of_pod = pod(manifest(FULL))
    assert spec_of_pod["securityContext"]["runAsNonRoot"] is True
    assert spec_of_pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = spec_of_pod["containers"][0]["securityContext"]
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    assert all(set(volume) - {"name"} <= allowed for volume in spec_of_pod["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec_of_pod)


def test_pod_mounts_no_token_and_runs_once() -> None:
    job = manifest()
    assert pod(job)["automountServiceAccountToken"] is False
    assert pod(job)["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 0
    assert "activeDeadlineSeconds" not in job["spec"]
    assert job["spec"]["ttlSecondsAfterFinished"] >= 24 * 3600


def test_request_reaches_the_runner_as_it_was_written() -> None:
    """Kubernetes would expand $(X) and $$ in the value of a variable."""
    odd = spec(history={"schema": "a$$b", "table": "c$d"})
    job = manifest(odd)
    value = next(v["value"] for v in pod(job)["containers"][0]["env"] if v["name"] == REQUEST_VARIABLE)
    assert "$" not in value
    assert RunRequest.model_validate_json(value) == start(odd).request
    assert json.loads(value)["historySchema"] == "a$$b"


def test_what_a_person_may_mistype_is_mounted_optionally() -> None:
    """secret-missing: the runner's clear reason instead of a pod that hangs."""
    found = mounts(manifest(FULL))
    assert found[SECRET_DIR]["secret"] == {"secretName": "db", "optional": True, "defaultMode": 0o440}
    assert found[CA_DIR]["secret"] == {
        "secretName": "ca",
        "optional": True,
        "items": [{"key": "root.pem", "path": "root.pem"}],
        "defaultMode": 0o440,
    }
    assert found[MIGRATIONS_DIR]["projected"]["sources"] == [
        {"configMap": {"name": "one", "optional": True}},
        {"configMap": {"name": "two", "optional": True}},
    ]
    assert all(found[path]["ro"] for path in (SECRET_DIR, CA_DIR, MIGRATIONS_DIR))
    assert found[BACKUP_DIR]["persistentVolumeClaim"] == {"claimName": "backups"}
    assert not found[BACKUP_DIR]["ro"]
    assert found["/tmp"]["emptyDir"] == {}


def test_a_bucket_needs_its_secret_and_no_volume() -> None:
    s3 = {"bucket": "backups", "secretRef": {"name": "keys"}}
    found = mounts(manifest(spec(backup={"destination": {"s3": s3}})))
    assert set(found) == {MIGRATIONS_DIR, SECRET_DIR, S3_SECRET_DIR, "/tmp"}
    assert found[S3_SECRET_DIR]["secret"] == {"secretName": "keys", "optional": True, "defaultMode": 0o440}
    assert set(mounts(manifest(spec(backup={"destination": {"s3": {"bucket": "backups"}}})))) == {MIGRATIONS_DIR, SECRET_DIR, "/tmp"}


def test_who_dumps_has_a_secret_of_its_own_and_only_where_there_is_a_backup() -> None:
    backup = {"destination": {"persistentVolumeClaim": {"claimName": "x"}}, "secretRef": {"name": "dumper", "keys": {"user": "login"}}}
    given = spec(backup=backup)
    found = mounts(manifest(given))
    assert set(found) == {MIGRATIONS_DIR, SECRET_DIR, BACKUP_DIR, BACKUP_SECRET_DIR, "/tmp"}
    assert found[BACKUP_SECRET_DIR]["secret"] == {"secretName": "dumper", "optional": True, "defaultMode": 0o440}
    assert found[BACKUP_SECRET_DIR]["ro"]
    request = start(given).request.backup
    assert (request.secret_name, request.secret_keys.user) == ("dumper", "login")


def test_no_backup_no_volume() -> None:
    assert set(mounts(manifest(spec(backup={"policy": "Skip"})))) == {MIGRATIONS_DIR, SECRET_DIR, "/tmp"}


def test_knobs_reach_the_pod_and_our_own_names_win() -> None:
    job = manifest(FULL)
    found = pod(job)
    assert found["nodeSelector"] == {"disk": "fast"}
    assert found["tolerations"] == [{"key": "db", "operator": "Exists"}]
    assert found["affinity"] == {"nodeAffinity": {}}
    assert found["serviceAccountName"] == "runner"
    assert found["imagePullSecrets"] == [{"name": "registry"}]
    assert found["containers"][0]["resources"] == {"limits": {"memory": "2Gi", "cpu": 1}}
    assert job["spec"]["activeDeadlineSeconds"] == 3600
    metadata = job["spec"]["template"]["metadata"]
    assert (metadata["labels"]["team"], metadata["labels"]["dbmigration.dev/uid"]) == ("a", "uid-1")
    assert metadata["labels"]["sidecar.istio.io/inject"] == "true"
    assert (metadata["annotations"]["note"], metadata["annotations"]["dbmigration.dev/resource"]) == ("b", "studio")


def test_defaults_of_the_pod() -> None:
    job = manifest()
    container = pod(job)["containers"][0]
    assert (container["name"], container["args"], container["image"], container["imagePullPolicy"]) == (
        "runner",
        ["run"],
        "image:1",
        "IfNotPresent",
    )
    assert container["resources"]["limits"] == {"memory": "512Mi"}
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert job["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


@pytest.mark.parametrize("retry", [None, "2026-11-23"])
def test_job_is_found_again_with_everything_it_was_started_with(retry: str | None) -> None:
    asked = start(retry=retry)
    job = build_job(asked, SPEC, RUNNER)
    job["metadata"]["creationTimestamp"] = "2026-11-23T12:00:00Z"
    found = job_seen(job)
    assert (found.name, found.run_key, found.spec_hash, found.pod_hash) == (asked.job_name, asked.run_key, asked.spec_hash, asked.pod_hash)
    assert (found.attempt, found.retry_value, found.created_at) == (asked.attempt, retry, NOW)
    assert owned_by(job, "uid-1")
    assert not owned_by(job, "uid-2")


def test_a_traced_run_knows_where_to_send_its_trace_and_since_when_it_waited() -> None:
    traced = replace(RUNNER, traces=(("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/$(HOME)"),))
    asked = start(runner=traced, status=Status(queued_since=NOW - timedelta(seconds=9)))
    assert (asked.request.asked_at, asked.request.queued_since) == (NOW, NOW - timedelta(seconds=9))
    told = {each["name"]: each["value"] for each in pod(build_job(asked, SPEC, traced))["containers"][0]["env"]}
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318/$$(HOME)"
    assert RunRequest.model_validate_json(told[REQUEST_VARIABLE]).asked_at == NOW
    untraced = {each["name"] for each in pod(manifest())["containers"][0]["env"]}
    assert untraced == {REQUEST_VARIABLE, "DBMIGRATION_TMP", "HOME"}
    assert "askedAt" not in json.dumps(manifest())


def test_a_label_alone_makes_no_job_ours() -> None:
    job = manifest()
    job["metadata"]["ownerReferences"] = []
    assert not owned_by(job, "uid-1")
