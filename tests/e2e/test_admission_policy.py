"""The admission policy bounds the Jobs that the operator's service account may make: asked of the API server, with dry runs there."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from dbmigration.api.spec import Spec
from dbmigration.decide.observed import AllowLists, FoundSource, Observed, Runner
from dbmigration.decide.rules import decide
from dbmigration.kube.jobs import build_job
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator
from tests.cluster.steps import wait_until
from tests.unit.observing import NOW, seen

Json = dict[str, Any]
POLICY = "dbmigration-operator-jobs"


SERVER = {"where": "Pod", "server": {"image": "postgres:17"}}


def job(namespace: str, rehearsal: Json | None = None, **job_knobs: Any) -> Json:
    """What the operator would make of a resource that uses everything."""
    spec = Spec.model_validate(
        {
            "database": {"secretRef": {"name": "db"}, "tls": {"mode": "verify-full", "caRef": {"secret": {"name": "ca"}}}},
            "source": {"configMaps": [{"name": "files"}]},
            "environment": "production",
            "backup": {"destination": {"persistentVolumeClaim": {"claimName": "backups"}}},
            "rehearsal": rehearsal,
            "job": {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"disk": "fast"}, "labels": {"team": "a"}, **job_knobs},
        }
    )
    runner = Runner(operator_image(), "IfNotPresent", allowed=AllowLists(service_accounts=("*",)))
    observed: Observed = seen(namespace=namespace, spec=spec, source=FoundSource("sha256:00", 1), runner=runner)
    decision = decide(observed, NOW)
    assert decision.start is not None
    return build_job(decision.start, spec, runner)


def ask(cluster: Cluster, manifest: Json, user: str | None = None) -> tuple[bool, str]:
    """Whether the API server would take the Job from `user` (None: an administrator), and what it said."""
    impersonated = [f"--as={user}"] if user else []
    try:
        said = cluster.kubectl(
            *("create", "--dry-run=server", "-f", "-", *impersonated), input=json.dumps(manifest), stderr=subprocess.STDOUT
        )
    except subprocess.CalledProcessError as refused:
        return False, str(refused.output)
    return True, said


@pytest.mark.parametrize(
    "knobs", [{}, {"serviceAccountName": "default", "imagePullSecrets": [{"name": "registry"}]}, {"rehearsal": SERVER}]
)
def test_what_the_operator_makes_is_let_through(cluster: Cluster, operator: InstalledOperator, knobs: Json) -> None:
    taken, said = ask(cluster, job(operator.namespace, **knobs), operator.user)
    assert taken, said


def pod(manifest: Json) -> Json:
    found: Json = manifest["spec"]["template"]["spec"]
    return found


def runner(manifest: Json) -> Json:
    found: Json = pod(manifest)["containers"][0]
    return found


def secure(image: str, **more: Any) -> Json:
    """A container that is restricted as it should be."""
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return {"name": "other", "image": image, "securityContext": context, **more}


def volume(manifest: Json, source: Json, path: str = "/run/dbmigration/more") -> None:
    pod(manifest)["volumes"].append({"name": "more", **source})
    runner(manifest)["volumeMounts"].append({"name": "more", "mountPath": path})


TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}

OUT_OF_BOUNDS: dict[str, Callable[[Json], Any]] = {
    "no owner": lambda m: m["metadata"].pop("ownerReferences"),
    "another kind's": lambda m: m["metadata"]["ownerReferences"][0].update(kind="Deployment", apiVersion="apps/v1"),
    "an owner that does not control it": lambda m: m["metadata"]["ownerReferences"][0].update(controller=False),
    "many pods": lambda m: m["spec"].update(parallelism=50, completions=50),
    "again and again": lambda m: m["spec"].update(backoffLimit=6),
    "the node's network": lambda m: pod(m).update(hostNetwork=True),
    "the node's processes": lambda m: pod(m).update(hostPID=True),
    "the node's memory": lambda m: pod(m).update(hostIPC=True),
    "a port of the node": lambda m: runner(m).update(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a node of its choice": lambda m: pod(m).update(nodeName="control-plane"),
    "a token": lambda m: pod(m).update(automountServiceAccountToken=True),
    "a token by default": lambda m: pod(m).pop("automountServiceAccountToken"),
    "a token in a volume": lambda m: volume(m, TOKEN),
    "a path of the node": lambda m: volume(m, {"hostPath": {"path": "/"}}),
    "a file server": lambda m: volume(m, {"nfs": {"server": "a", "path": "/"}}),
    "privileged": lambda m: runner(m)["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
    "root": lambda m: pod(m)["securityContext"].update(runAsNonRoot=False, runAsUser=0),
    "root in the container": lambda m: runner(m)["securityContext"].update(runAsUser=0, runAsNonRoot=False),
    "a capability": lambda m: runner(m)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "no seccomp": lambda m: pod(m)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "a root file system to write to": lambda m: runner(m)["securityContext"].update(readOnlyRootFilesystem=False),
    "another image": lambda m: runner(m).update(image="docker.io/library/busybox:1"),
    "an image that begins like ours": lambda m: runner(m).update(image=f"{operator_image()}-evil"),
    "another command": lambda m: runner(m).update(command=["sh", "-c", "cat /run/dbmigration/secret/*"]),
    "other arguments": lambda m: runner(m).update(args=["restore", "/backup/x.dump"]),
    "a hook": lambda m: runner(m).update(lifecycle={"postStart": {"exec": {"command": ["sh"]}}}),
    "a probe": lambda m: runner(m).update(livenessProbe={"exec": {"command": ["sh"]}}),
    "a mount over our code": lambda m: volume(m, {"configMap": {"name": "code"}}, path="/opt/venv/lib"),
    "a variable that Python reads": lambda m: runner(m)["env"].append({"name": "PYTHONPATH", "value": "/tmp"}),
    "a variable that libpq reads": lambda m: runner(m)["env"].append({"name": "PGHOST", "value": "evil.example"}),
    "a Secret in a variable": lambda m: runner(m)["env"].append(
        {"name": "DBMIGRATION_X", "valueFrom": {"secretKeyRef": {"name": "any", "key": "password"}}}
    ),
    "all of a Secret in variables": lambda m: runner(m).update(envFrom=[{"secretRef": {"name": "any"}}]),
    "a second container": lambda m: pod(m)["containers"].append(secure("docker.io/library/busybox:1")),
    "another image that sees a Secret": lambda m: pod(m).update(
        initContainers=[secure("docker.io/library/busybox:1", volumeMounts=[{"name": "secret", "mountPath": "/x"}])]
    ),
    "another image as root": lambda m: pod(m).update(initContainers=[{"name": "other", "image": "docker.io/library/busybox:1"}]),
    "a service account that nobody allowed": lambda m: pod(m).update(serviceAccountName="cloud-admin"),
}


@pytest.mark.parametrize("what", OUT_OF_BOUNDS)
def test_a_job_out_of_bounds_is_refused(cluster: Cluster, operator: InstalledOperator, what: str) -> None:
    """Refused to the operator by the policy, and by nothing else: an administrator may make the same Job."""
    manifest = job(operator.namespace)
    OUT_OF_BOUNDS[what](manifest)
    taken, said = ask(cluster, manifest, operator.user)
    assert not taken
    assert f"ValidatingAdmissionPolicy '{POLICY}'" in said
    taken, said = ask(cluster, manifest)
    assert taken, said


def server(manifest: Json) -> Json:
    found: Json = pod(manifest)["initContainers"][0]
    return found


BESIDE_A_RUN: dict[str, Callable[[Json], Any]] = {
    "another command": lambda m: server(m).update(command=["sh", "-c", "cat"]),
    "arguments": lambda m: server(m).update(args=["more"]),
    "a variable": lambda m: server(m).update(env=[{"name": "BASH_ENV", "value": "/run/dbmigration/rehearsal-server/x"}]),
    "another name": lambda m: server(m).update(name="miner"),
    "no end of its own": lambda m: server(m).pop("restartPolicy"),
    "the backups": lambda m: server(m)["volumeMounts"][2].update(name="backup"),
    "a Secret": lambda m: server(m)["volumeMounts"][2].update(name="secret"),
    "the runner's own folder": lambda m: server(m)["volumeMounts"][2].update(name="tmp"),
    "a mount over its programs": lambda m: server(m)["volumeMounts"].append({"name": "rehearsal-server", "mountPath": "/usr/local/bin"}),
    "a port": lambda m: server(m).update(ports=[{"containerPort": 5432}]),
    "a probe": lambda m: server(m).update(startupProbe={"exec": {"command": ["sh"]}}),
    "root": lambda m: server(m)["securityContext"].update(runAsUser=0, runAsNonRoot=False),
    "a root file system to write to": lambda m: server(m)["securityContext"].update(readOnlyRootFilesystem=False),
    "two of them": lambda m: pod(m)["initContainers"].append(json.loads(json.dumps(server(m))) | {"name": "rehearsal-server-2"}),
    "what the node knows of the pod": lambda m: pod(m)["volumes"].append(
        {"name": "more", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
    ),
}


@pytest.mark.parametrize("what", BESIDE_A_RUN)
def test_a_rehearsals_server_that_is_not_ours_is_refused(cluster: Cluster, operator: InstalledOperator, what: str) -> None:
    manifest = job(operator.namespace, rehearsal=SERVER)
    BESIDE_A_RUN[what](manifest)
    taken, said = ask(cluster, manifest, operator.user)
    assert not taken
    assert f"ValidatingAdmissionPolicy '{POLICY}'" in said


def test_an_image_that_brings_files_may_copy_them_where_no_secret_is(cluster: Cluster, operator: InstalledOperator) -> None:
    manifest = job(operator.namespace)
    pod(manifest)["volumes"].append({"name": "copied", "emptyDir": {}})
    pod(manifest)["initContainers"] = [
        secure(
            "registry.example/app@sha256:00",
            command=["cp", "-r", "/migrations/.", "/to"],
            volumeMounts=[{"name": "copied", "mountPath": "/to"}],
        )
    ]
    taken, said = ask(cluster, manifest, operator.user)
    assert taken, said


def test_a_service_account_of_the_list_is_let_through(cluster: Cluster, operator: InstalledOperator) -> None:
    """The list is an annotation of the PodTemplate. It is read anew for each Job."""
    template = ("podtemplate", "dbmigration-operator-runs", "-n", operator.namespace)
    manifest = job(operator.namespace, serviceAccountName="migrations-eu")
    assert not ask(cluster, manifest, operator.user)[0]
    cluster.kubectl("annotate", *template, "dbmigration.dev/service-accounts=other, migrations-*", "--overwrite")
    try:
        _until_taken(cluster, manifest, operator.user)
        assert not ask(cluster, job(operator.namespace, serviceAccountName="xmigrations-eu"), operator.user)[0]
    finally:
        cluster.kubectl("annotate", *template, "dbmigration.dev/service-accounts=", "--overwrite")


def _until_taken(cluster: Cluster, manifest: Json, user: str) -> None:
    wait_until("the API server has read the PodTemplate again", lambda: ask(cluster, manifest, user)[0], seconds=60)
