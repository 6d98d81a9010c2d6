"""kubectl and port forwarding, the same for every provider."""

import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from tests.cluster.errors import ClusterError

FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
FORWARD_SECONDS: Final = 10.0


class Kubectl:
    """The part of `Cluster` that needs a kubectl, a kubeconfig and nothing else."""

    kubeconfig_path: Path
    kubectl_path: Path
    context: str | None = None

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and return what it wrote; keyword arguments go to `subprocess.check_output`."""
        options: dict[str, Any] = {"encoding": "utf-8", "env": self._environment(), **kwargs}
        return str(subprocess.check_output(self._command(*args), **options))

    def start_kubectl(self, *args: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a kubectl that goes on by itself, such as a watch, with pipes on its output; the caller ends it."""
        return subprocess.Popen(
            self._command(*args), env=self._environment(), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def running(self) -> bool:
        """Whether the API server answers and says it is ready."""
        if not self.kubeconfig_path.exists():
            return False
        asked = subprocess.run(
            self._command("get", "--raw=/readyz", "--request-timeout=5s"), env=self._environment(), capture_output=True, check=False
        )
        return asked.returncode == 0

    def enforcing_network_policies(self) -> AbstractContextManager[None]:
        """Nothing: the network does so by itself."""
        return nullcontext()

    @contextmanager
    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, local_port: int | None = None, retries: int = 10
    ) -> Iterator[int]:
        """Forward a local port (the value) to a pod or service while the context lasts.

        kubectl chooses a free port itself and says which, so nothing is guessed and nothing collides.
        """
        command = self._command("port-forward", service_or_pod_name, f"{local_port or ''}:{remote_port}", "--address=127.0.0.1", *args)
        for attempt in range(1, retries + 1):
            with tempfile.TemporaryFile("w+") as errors:
                process = subprocess.Popen(command, env=self._environment(), stdout=subprocess.PIPE, stderr=errors, text=True)
                try:
                    port = _forwarded_port(process)
                    if port is not None:
                        yield port
                        return
                finally:
                    process.kill()
                    process.communicate()
                errors.seek(0)
                said = errors.read().strip()
            if attempt < retries:
                time.sleep(0.2 * attempt)
        raise ClusterError(f"kubectl port-forward {service_or_pod_name} {remote_port}: {said}")

    def _command(self, *args: str) -> list[str]:
        context = [f"--context={self.context}"] if self.context else []
        return [str(self.kubectl_path), *context, *args]

    def _environment(self) -> dict[str, str]:
        """kubectl keeps a cluster's kinds by address and port, which the next cluster has again: here beside the kubeconfig."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig_path), "KUBECACHEDIR": str(self.kubeconfig_path.parent / "cache")}


def _forwarded_port(process: subprocess.Popen[str]) -> int | None:
    """The port kubectl says it listens on, or None when it ends or stays silent."""
    assert process.stdout is not None
    deadline = time.monotonic() + FORWARD_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([process.stdout], [], [], left)
        line = process.stdout.readline() if readable else ""
        if not line:
            return None
        if found := FORWARDING.search(line):
            return int(found.group(1))
    return None
