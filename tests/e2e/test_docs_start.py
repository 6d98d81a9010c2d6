"""docs/start.md, command by command, on the cluster."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.cache import CHECKOUT
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, install_operator
from tests.cluster.volumes import release_volumes
from tests.demo.__main__ import NAMESPACE, prepare
from tests.docs.commands import run_page


@pytest.fixture
def checkout(cluster: Cluster, operator: InstalledOperator, tmp_path: Path) -> Iterator[Path]:
    """What a reader has: manifests (with the image that was built here) and migrations; and a namespace with a database and a volume."""
    for folder in ("manifests", "migrations", "crds"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    kustomization = tmp_path / "manifests" / "base" / "kustomization.yaml"
    wanted = yaml.safe_load(kustomization.read_text())
    name, _, tag = operator_image().rpartition(":")
    wanted["images"] = [{"name": "dbmigration-operator", "newName": name, "newTag": tag}]
    kustomization.write_text(yaml.safe_dump(wanted))
    prepare(cluster)
    cluster.kubectl("delete", "configmap", "studio-migrations", "-n", NAMESPACE)
    yield tmp_path
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    release_volumes(cluster, NAMESPACE)
    cluster.kubectl("delete", "networkpolicy", "--all", "-n", operator.namespace)  # the overlay's; the other tests install the base
    install_operator(cluster)


def test_the_first_ten_minutes_go_as_the_page_says(cluster: Cluster, checkout: Path) -> None:
    programs = checkout / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(cluster.kubectl_path)
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig_path), "PATH": f"{programs}:{os.environ['PATH']}"}
    run_page(CHECKOUT / "docs" / "start.md", checkout, environment)
