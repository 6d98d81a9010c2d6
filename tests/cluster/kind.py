"""The `kind` provider: pytest-kind's KindCluster, made to wait and to fail in words."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from pytest_kind import KindCluster  # type: ignore[import-untyped]

from tests.cluster.cache import CHECKOUT, cache_root
from tests.cluster.errors import ClusterError
from tests.cluster.images import POSTGRES_FOLDER, operator_image, postgres_image
from tests.cluster.interface import NodeDirectory, ProviderName
from tests.cluster.kubectl import Kubectl
from tests.cluster.steps import run_logged, run_quiet, step, wait_until

READY_SECONDS: Final = 180
POSTGRES_BASE: Final = "debian:bookworm-slim"


def docker_answers() -> bool:
    """Whether a Docker daemon answers on this machine."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class KindInDocker(Kubectl):
    """A kind cluster of one node."""

    provider: ProviderName = "kind"

    def __init__(self, name: str = "dbmigration") -> None:
        """Name the cluster; nothing is started yet."""
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise ClusterError("kind needs kubectl on PATH: https://kubernetes.io/docs/tasks/tools/")
        folder = cache_root() / "kind"
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.kubeconfig_path = folder / "kubeconfig"
        self.kubectl_path = Path(kubectl)
        found = shutil.which("kind")
        # pytest-kind downloads a kind of 2022 unless it is given one.
        self._kind = KindCluster(
            name,
            kubeconfig=self.kubeconfig_path,
            image=os.environ.get("KIND_NODE_IMAGE"),
            kind_path=Path(found) if found else folder / "kind",
            kubectl_path=self.kubectl_path,
        )

    def create(self) -> None:
        """Start the cluster, or reuse it; returns when its node is Ready and pods can have service accounts."""
        if self.running():
            return
        with step("Starting kind", "60 s, and some minutes more when its node image is pulled"):
            self._kind.ensure_kind()
            # An existing cluster whose kubeconfig is gone or stale makes pytest-kind return without either.
            if self.name in run_quiet([self._kind.kind_path, "get", "clusters"]).split():
                run_quiet([self._kind.kind_path, "export", "kubeconfig", "--name", self.name, "--kubeconfig", self.kubeconfig_path])
            self._kind.create()
            self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
            self.kubectl("wait", "--for=create", "serviceaccount/default", f"--timeout={READY_SECONDS}s")

    def delete(self) -> None:
        """Delete the cluster."""
        self._kind.ensure_kind()
        self._kind.delete()

    def build_images(self) -> None:
        """Build both images with Docker, whose own layer cache decides what is new."""
        logs = cache_root() / "logs"
        with step("Building the operator's image with Docker", "60 s the first time"):
            run_logged(["docker", "build", f"--tag={operator_image()}", CHECKOUT], logs / "docker-operator.log")
        with step("Building the image of the test PostgreSQL with Docker", "60 s the first time"):
            base = f"--build-arg=BASE_IMAGE={POSTGRES_BASE}"
            run_logged(["docker", "build", base, f"--tag={postgres_image()}", POSTGRES_FOLDER], logs / "docker-postgres.log")

    def load_images(self) -> None:
        """Build what changed and copy it into the node."""
        self.build_images()
        for image in (operator_image(), postgres_image()):
            with step(f"Loading {image} into kind", "5 s"):
                self.load_docker_image(image)

    def load_docker_image(self, docker_image: str) -> None:
        """Copy an image of the Docker daemon into the node."""
        self._kind.load_docker_image(docker_image)

    def load_image_archive(self, path: Path) -> None:
        """Copy the images of an archive into the node."""
        run_quiet([self._kind.kind_path, "load", "image-archive", path, "--name", self.name])

    def node_directory(self, name: str, *, tmpfs_mebibytes: int | None = None) -> NodeDirectory | None:
        """Make a directory on the node, on a small file system of its own when a size is given."""
        node, path = f"{self.name}-control-plane", f"/var/local/dbmigration/{name}"
        run_quiet(["docker", "exec", node, "mkdir", "-p", path])
        if tmpfs_mebibytes is not None:
            run_quiet(["docker", "exec", node, "mount", "-t", "tmpfs", "-o", f"size={tmpfs_mebibytes}m", "tmpfs", path])
        return NodeDirectory(node, path)

    def restart_api_server(self) -> None:
        """Kill it; kubelet starts its static pod again."""
        run_quiet(["docker", "exec", f"{self.name}-control-plane", "pkill", "-KILL", "kube-apiserver"])
        wait_until("the API server", self.running, seconds=READY_SECONDS)
