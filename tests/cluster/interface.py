"""What tests see of a cluster, whichever provider runs it: pytest-kind's KindCluster and a little more."""

import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

ProviderName = Literal["current", "kind", "local"]


@dataclass(frozen=True)
class NodeDirectory:
    """A directory on a node: what a `local` PersistentVolume is made of."""

    node: str
    path: str


@runtime_checkable
class Cluster(Protocol):
    """A running, or not yet running, Kubernetes cluster."""

    provider: ProviderName
    name: str
    kubeconfig_path: Path
    kubectl_path: Path

    def create(self) -> None:
        """Start the cluster, or reuse it when it runs; returns when its node is Ready."""

    def delete(self) -> None:
        """End exactly what `create` started."""

    def running(self) -> bool:
        """Whether the API server answers and says it is ready."""

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and return what it wrote; keyword arguments go to `subprocess.check_output`.

        Raises `subprocess.CalledProcessError`.
        """

    def start_kubectl(self, *args: str, stdin: int = ...) -> subprocess.Popen[str]:
        """Start a kubectl that goes on by itself, such as a watch, with pipes on its output; the caller ends it."""

    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, local_port: int | None = None, retries: int = 10
    ) -> AbstractContextManager[int]:
        """Forward a local port (the value) to a pod or service while the context lasts."""

    def build_images(self) -> None:
        """Build the operator's and the test PostgreSQL's images where they are missing or their sources changed."""

    def load_docker_image(self, docker_image: str) -> None:
        """Make an image that was built on this machine available to the cluster's pods."""

    def load_image_archive(self, path: Path) -> None:
        """Make the images of an OCI or Docker archive available to the cluster's pods."""

    def load_images(self) -> None:
        """Make the operator's and the test PostgreSQL's images available; does nothing when they already are."""

    def node_directory(self, name: str, *, tmpfs_mebibytes: int | None = None) -> NodeDirectory | None:
        """Make a directory on a node, on a small file system of its own when a size is given.

        None where nodes cannot be reached; volumes then come from the default storage class.
        """

    def restart_api_server(self) -> None:
        """End the API server without warning and wait until it answers again: every watch and request breaks off.

        Raises NotSupported where that is not ours to do.
        """

    def enforcing_network_policies(self) -> AbstractContextManager[None]:
        """While the context lasts, NetworkPolicies hold. Nothing to do where the network enforces them anyway; kind's does."""
