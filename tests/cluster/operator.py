"""The operator in a test cluster: `manifests/base` as users install it, with the image that was built here."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.cache import CHECKOUT, content_key
from tests.cluster.errors import ClusterError
from tests.cluster.images import OPERATOR_SOURCES, operator_image
from tests.cluster.interface import Cluster

BASE: Final = CHECKOUT / "manifests" / "base"
OVERLAYS: Final = CHECKOUT / "manifests" / "overlays"
CONTENT_ANNOTATION: Final = "dbmigration.dev/test-content"
READY_SECONDS: Final = 120

Manifest = dict[str, Any]


@dataclass(frozen=True)
class InstalledOperator:
    """Where the operator is. `selector` finds its pods."""

    namespace: str
    deployment: str
    service_account: str
    selector: str

    @property
    def user(self) -> str:
        """The operator as `kubectl --as` names it."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"


def install_operator(cluster: Cluster, *, namespace: str | None = None, image: str | None = None, folder: Path = BASE) -> InstalledOperator:
    """Install the operator, or bring an installed one to what the checkout holds; returns when it is ready.

    `namespace` None: the one that the manifests name. `folder`: which of them. Raises ClusterError, with what the cluster says, when it is
    not ready in time.
    """
    objects = operator_objects(cluster, namespace=namespace, image=image or operator_image(), folder=folder)
    installed = _installed(objects)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=_as_list(objects), stderr=subprocess.STDOUT)
    for item in objects:
        if item["kind"] == "CustomResourceDefinition":
            cluster.kubectl("wait", "--for=condition=Established", f"crd/{item['metadata']['name']}", f"--timeout={READY_SECONDS}s")
    wait_for_operator(cluster, installed)
    return installed


def wait_for_operator(cluster: Cluster, installed: InstalledOperator) -> None:
    """Wait until the newest version of the Deployment is ready. Raises ClusterError with what the cluster says."""
    deployment, place = f"deployment/{installed.deployment}", ("-n", installed.namespace)
    try:
        cluster.kubectl("rollout", "status", deployment, *place, f"--timeout={READY_SECONDS}s", stderr=subprocess.STDOUT)
    except subprocess.CalledProcessError as failed:
        said = [failed.output, cluster.kubectl("get", "pods,events", *place, "-o", "wide"), operator_logs(cluster, installed)]
        raise ClusterError("\n".join(["the operator is not ready", *said])) from None


def uninstall_operator(cluster: Cluster, *, namespace: str | None = None) -> None:
    """Remove what `install_operator` made, the CRD and with it every resource included, as docs/install.md says: without the policy."""
    made = operator_objects(cluster, namespace=namespace, image=operator_image())
    objects = [item for item in made if not item["kind"].startswith("ValidatingAdmissionPolicy")]
    cluster.kubectl("delete", "--ignore-not-found", "--timeout=120s", "-f", "-", input=_as_list(objects), stderr=subprocess.STDOUT)


def operator_installed(cluster: Cluster, *, namespace: str | None = None) -> bool:
    """Whether the Deployment is there, ready or not."""
    installed = _installed(operator_objects(cluster, namespace=namespace, image=operator_image()))
    found = cluster.kubectl("get", "deployment", installed.deployment, "-n", installed.namespace, "--ignore-not-found", "-o", "name")
    return bool(found.strip())


def operator_logs(cluster: Cluster, installed: InstalledOperator, *, since: str | None = None) -> str:
    """What the operator's pods wrote, the newest last; `since` an RFC 3339 time."""
    limit = [f"--since-time={since}"] if since else []
    try:
        return cluster.kubectl(
            *["logs", "-n", installed.namespace, "-l", installed.selector, "--tail=-1", "--ignore-errors", *limit],
            stderr=subprocess.STDOUT,
        )
    except subprocess.CalledProcessError as failed:
        return str(failed.output)


def operator_objects(cluster: Cluster, *, namespace: str | None, image: str, folder: Path = BASE) -> list[Manifest]:
    """The objects of a folder of manifests, with `image` for the operator. Runs use the operator's own."""
    overlay: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    with tempfile.TemporaryDirectory() as outer:
        # kustomize takes no absolute path, and follows links before it goes up.
        overlay["resources"] = [os.path.relpath(folder, Path(outer).resolve())]
        if namespace is not None:
            overlay["namespace"] = namespace
        overlay["images"] = [_image_entry(image)]
        (Path(outer) / "kustomization.yaml").write_text(json.dumps(overlay))
        rendered = cluster.kubectl("kustomize", outer)
    objects = [item for item in yaml.safe_load_all(rendered) if item]
    for item in objects:
        if item["kind"] == "Deployment":
            # The name of a development image stays the same when its content changes: the annotation makes the Deployment notice.
            template = item["spec"]["template"]
            template["metadata"].setdefault("annotations", {})[CONTENT_ANNOTATION] = content_key(OPERATOR_SOURCES)
    return objects


def _image_entry(image: str) -> Manifest:
    """As kustomize wants it: name and digest, or name and tag (a registry's port is none)."""
    name, _, digest = image.partition("@")
    if digest:
        return {"name": "dbmigration-operator", "newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    if not name or "/" in tag:
        return {"name": "dbmigration-operator", "newName": image}
    return {"name": "dbmigration-operator", "newName": name, "newTag": tag}


def _installed(objects: list[Manifest]) -> InstalledOperator:
    deployment = next(item for item in objects if item["kind"] == "Deployment")
    labels = deployment["spec"]["selector"]["matchLabels"]
    return InstalledOperator(
        namespace=deployment["metadata"]["namespace"],
        deployment=deployment["metadata"]["name"],
        service_account=deployment["spec"]["template"]["spec"]["serviceAccountName"],
        selector=",".join(f"{name}={value}" for name, value in labels.items()),
    )


def _as_list(objects: list[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
