"""The Job of a run. Pure: a resource and a StartRun in, a manifest out.

Its pod meets the restricted Pod Security standard and mounts no token. Everything a person may mistype (Secret, CA, ConfigMap) is mounted
optionally, so that the runner says clearly what is missing where a pod would hang.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dbmigration.api.backup import BackupDestination, S3Destination
from dbmigration.api.names import (
    API_VERSION,
    ATTEMPT_ANNOTATION,
    KIND,
    LOOK,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    POD_HASH_ANNOTATION,
    PURPOSE_ANNOTATION,
    RESOURCE_ANNOTATION,
    RETRY_VALUE_ANNOTATION,
    RUN_KEY_ANNOTATION,
    RUNNER_CONTAINER,
    SERVER_ANNOTATION,
    SPEC_HASH_ANNOTATION,
    UID_LABEL,
)
from dbmigration.api.request import (
    BACKUP_DIR,
    BACKUP_SECRET_DIR,
    CA_DIR,
    REHEARSAL_SECRET_DIR,
    REQUEST_VARIABLE,
    S3_SECRET_DIR,
    SECRET_DIR,
    TERMINATION_LOG,
    Model,
    ResourceRef,
)
from dbmigration.api.resources import Resources
from dbmigration.api.spec import Spec
from dbmigration.decide.decision import StartRun
from dbmigration.decide.looks import LOOK_SECONDS
from dbmigration.decide.observed import Runner
from dbmigration.kube import rehearsal_server
from dbmigration.kube.files import files_containers, files_mounts
from dbmigration.kube.mounts import Manifest, Mount, ca_volume, mount, secret_volume
from dbmigration.kube.rehearsal_server import server_annotations, server_container, server_mount, server_volumes

RUNNER_UID: Final = 65532
TTL_SECONDS: Final = 7 * 24 * 3600
"""A safety net for Jobs whose operator is gone. The operator itself keeps the newest few and removes the others."""
GRACE_SECONDS: Final = 60
"""Long enough to cancel the statement, roll back and write the report."""
TMP_DIR: Final = "/tmp"  # noqa: S108 - a mount of the pod

DEFAULT_RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}

# Defaults that a person may override: a mesh that only lets its own sidecars reach the database exists.
_DEFAULT_LABELS = {"sidecar.istio.io/inject": "false"}
_DEFAULT_ANNOTATIONS = {"linkerd.io/inject": "disabled"}
_STAY_ANNOTATIONS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}


def build_job(start: StartRun, spec: Spec, runner: Runner) -> Manifest:
    """The manifest of the Job `start` names, owned by the resource."""
    resource = start.request.resource
    run = {
        RUN_KEY_ANNOTATION: start.run_key,
        SPEC_HASH_ANNOTATION: start.spec_hash,
        POD_HASH_ANNOTATION: start.pod_hash,
        ATTEMPT_ANNOTATION: str(start.attempt),
        **({RETRY_VALUE_ANNOTATION: start.retry_value} if start.retry_value is not None else {}),
        **({SERVER_ANNOTATION: start.server} if start.server is not None else {}),
        **({PURPOSE_ANNOTATION: LOOK} if start.request.look_only else {}),
    }
    mounts = _mounts(spec, backup=start.request.backup.required)
    server = spec.rehearsal.server if spec.rehearsal is not None and start.request.rehearsal is not None else None
    if server is not None:
        mounts.append(server_mount(server))
    pod = pod_of("run", (REQUEST_VARIABLE, start.request), mounts, spec, runner)
    before = [container | _confined(None) for container in files_containers(spec.source)]
    owned = Owned(KIND, resource, {UID_LABEL: resource.uid}, {RESOURCE_ANNOTATION: resource.name})
    if server is not None:
        before.append(server_container(server) | _confined(server.resources, rehearsal_server.DEFAULT_RESOURCES))
        pod["volumes"] += server_volumes()
        owned = replace(owned, pod_annotations=server_annotations(RUNNER_UID))
    if before:
        pod["initContainers"] = before
    job = job_of(start.job_name, owned, run, pod, spec)
    deadline = LOOK_SECONDS if start.request.look_only else spec.job.active_deadline_seconds
    if deadline is not None:
        job["spec"]["activeDeadlineSeconds"] = deadline
    return job


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose Job it is, and the labels and annotations by which Job and pod are found again. `pod_annotations`: more of the pod's alone."""

    kind: str
    resource: ResourceRef
    labels: dict[str, str]
    annotations: dict[str, str]
    pod_annotations: dict[str, str] = field(default_factory=dict)


def job_of(name: str, owned: Owned, annotations: dict[str, str], pod: Manifest, spec: Spec) -> Manifest:
    """A Job that runs `pod` once. `annotations` are the Job's alone; `spec.job` has more labels and annotations of the pod."""
    resource = owned.resource
    labels = {MANAGED_BY_LABEL: MANAGED_BY, "app.kubernetes.io/name": "dbmigration", **owned.labels}
    job: Manifest = {
        "backoffLimit": 0,  # the operator owns retries
        "completions": 1,
        "parallelism": 1,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": {
            "metadata": {
                "labels": {**_DEFAULT_LABELS, **spec.job.labels, **labels},
                "annotations": {
                    **_DEFAULT_ANNOTATIONS,
                    **spec.job.annotations,
                    **_STAY_ANNOTATIONS,
                    **owned.annotations,
                    **owned.pod_annotations,
                },
            },
            "spec": pod,
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": resource.namespace,
            "labels": labels,
            "annotations": {**owned.annotations, **annotations},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": owned.kind,
                    "name": resource.name,
                    "uid": resource.uid,
                    "controller": True,
                    # False: setting it needs a right on the resource's finalizers that we do not want.
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": job,
    }


def pod_of(command: str, asked: tuple[str, Model], mounts: Sequence[Mount], spec: Spec, runner: Runner) -> Manifest:
    """The pod: `command` of our image with a request in a variable, confined, and with the knobs of `spec.job`."""
    variable, request = asked
    pod: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": RUNNER_UID,
            "runAsGroup": RUNNER_UID,
            "fsGroup": RUNNER_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": RUNNER_CONTAINER,
                "image": runner.image,
                "imagePullPolicy": runner.pull_policy,
                "args": [command],
                "env": [
                    {"name": variable, "value": _literal(request.model_dump_json(by_alias=True, exclude_none=True))},
                    {"name": "DBMIGRATION_TMP", "value": TMP_DIR},
                    {"name": "HOME", "value": TMP_DIR},
                    *({"name": name, "value": text.replace("$", "$$")} for name, text in runner.traces),
                ],
                **_confined(spec.job.resources),
                "terminationMessagePath": TERMINATION_LOG,
                "terminationMessagePolicy": "File",
                "volumeMounts": [inside for inside, _ in mounts],
            }
        ],
        "volumes": [volume for _, volume in mounts],
    }
    knobs: Manifest = {
        "nodeSelector": spec.job.node_selector,
        "tolerations": list(spec.job.tolerations),
        "affinity": spec.job.affinity,
        "serviceAccountName": spec.job.service_account_name,
        "imagePullSecrets": [{"name": secret.name} for secret in spec.job.image_pull_secrets],
    }
    return pod | {name: value for name, value in knobs.items() if value}


def _mounts(spec: Spec, *, backup: bool) -> list[Mount]:
    mounts = [*files_mounts(spec.source), *database_mounts(spec)]
    if backup and spec.rehearses and spec.rehearsal is not None and spec.rehearsal.secret_ref is not None:
        mounts.append(mount("rehearsal", REHEARSAL_SECRET_DIR, secret_volume(spec.rehearsal.secret_ref.name), read_only=True))
    if backup and spec.backup.destination is not None:
        mounts += _destination(spec.backup.destination)
    if backup and spec.backup.secret_ref is not None:
        mounts.append(mount("dump", BACKUP_SECRET_DIR, secret_volume(spec.backup.secret_ref.name), read_only=True))
    return mounts


def database_mounts(spec: Spec) -> list[Mount]:
    """What a pod needs to reach the database: Secret, authority, and room for temporary files."""
    mounts = [
        mount("secret", SECRET_DIR, secret_volume(spec.database.secret_ref.name), read_only=True),
        mount("tmp", TMP_DIR, {"emptyDir": {}}),
    ]
    if spec.database.tls is not None and spec.database.tls.ca_ref is not None:
        mounts.append(mount("ca", CA_DIR, ca_volume(spec.database.tls.ca_ref), read_only=True))
    return mounts


def _destination(destination: BackupDestination) -> list[Mount]:
    """A volume to write to, or the Secret that lets into a bucket."""
    if destination.persistent_volume_claim is not None:
        return [volume_mount(destination.persistent_volume_claim.claim_name)]
    return bucket_mounts(destination.s3) if destination.s3 is not None else []


def volume_mount(claim_name: str, *, read_only: bool = False) -> Mount:
    """The volume of the backups."""
    return mount("backup", BACKUP_DIR, {"persistentVolumeClaim": {"claimName": claim_name}}, read_only=read_only)


def bucket_mounts(destination: S3Destination) -> list[Mount]:
    """The Secret that lets into the bucket of the backups, where one is named."""
    if destination.secret_ref is None:
        return []
    return [mount("s3", S3_SECRET_DIR, secret_volume(destination.secret_ref.name), read_only=True)]


def _confined(resources: Resources | None, default: dict[str, Any] = DEFAULT_RESOURCES) -> Manifest:
    """What every container of the pod gets, whatever its image."""
    return {
        "resources": resources.model_dump(mode="json", exclude_defaults=True) if resources is not None else default,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _literal(json_text: str) -> str:
    """Kubernetes expands $(NAME) and $$ in a container's environment; a name of a table may hold a dollar sign."""
    return json_text.replace("$", "\\u0024")
