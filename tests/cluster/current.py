"""The `current` provider: a cluster that exists already and that the user names."""

import shutil
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError, NotSupported
from tests.cluster.interface import NodeDirectory, ProviderName
from tests.cluster.kubectl import Kubectl

IMAGES_HINT: Final = (
    "push the images where the cluster can pull them and name them with DBMIGRATION_TEST_IMAGE and DBMIGRATION_TEST_POSTGRES_IMAGE"
)


class CurrentCluster(Kubectl):
    """A cluster of the user's: used, never created and never deleted."""

    provider: ProviderName = "current"

    def __init__(self, kubeconfig: Path, context: str, *, images_named: bool) -> None:
        """Use `context` of `kubeconfig`; both are named, so that no context is ever picked up by accident."""
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise ClusterError("kubectl is not on PATH")
        self.name = context
        self.context = context
        self.kubeconfig_path = kubeconfig
        self.kubectl_path = Path(kubectl)
        self._images_named = images_named

    def create(self) -> None:
        """Check that the cluster answers."""
        if not self.running():
            raise ClusterError(f"context {self.context} of {self.kubeconfig_path} does not answer")

    def delete(self) -> None:
        """Leave the user's cluster alone."""

    def build_images(self) -> None:
        """Nothing is built for a cluster that pulls its images."""
        self.load_images()

    def load_images(self) -> None:
        """Check that the user named images the cluster can pull."""
        if not self._images_named:
            raise ClusterError(IMAGES_HINT)

    def load_docker_image(self, docker_image: str) -> None:
        """Raise NotSupported."""
        raise NotSupported(f"{docker_image}: {IMAGES_HINT}")

    def load_image_archive(self, path: Path) -> None:
        """Raise NotSupported."""
        raise NotSupported(f"{path}: {IMAGES_HINT}")

    def node_directory(self, name: str, *, tmpfs_mebibytes: int | None = None) -> NodeDirectory | None:
        """None: the user's nodes are out of reach. A small file system is NotSupported."""
        if tmpfs_mebibytes is not None:
            raise NotSupported(f"{name}: a volume of a few MiB cannot be made on a node that is out of reach")
        return None

    def restart_api_server(self) -> None:
        """Raise NotSupported."""
        raise NotSupported("the API server of a cluster that others use is not ended")
