"""The `local` provider itself: start the node, load images, end the node."""

import fcntl
import json
import os
import platform
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.cache import cache_root
from tests.cluster.errors import ClusterError
from tests.cluster.interface import NodeDirectory, ProviderName
from tests.cluster.kubectl import Kubectl
from tests.cluster.local import components, images, programs, sandbox
from tests.cluster.local.images import ImageArchive
from tests.cluster.steps import leave_running, run_quiet, step, tail, wait_until

START_SECONDS: Final = 90.0


class LocalCluster(Kubectl):
    """One Kubernetes node on this machine, shared by every checkout that uses the same cache folder."""

    provider: ProviderName = "local"

    def __init__(self, folder: str = "local") -> None:
        """Name the cluster by its folder in the cache; nothing is started yet."""
        self.name = f"dbmigration-{folder}"
        self.state = cache_root() / folder
        self.kubeconfig_path = self.state / "kubeconfig"
        self.kubectl_path = programs.kubectl_path()

    def create(self) -> None:
        """Build what is missing and start the node; does nothing when it already runs."""
        _require_linux_root()
        with self._lock():
            if self.running():
                print(f"==> The local cluster already runs: KUBECONFIG={self.kubeconfig_path}", flush=True)
                return
            programs.install_packages()
            files = self._programs()
            pause = images.pause()
            self._remove_state()
            with step("Starting the node", "10 s"):
                self._start(files, pause)

    def delete(self) -> None:
        """End the node and remove everything but the caches."""
        with self._lock():
            self._remove_state()

    def running(self) -> bool:
        """Whether the node's processes are ours and alive, and the API server says it is ready."""
        found = self._sandbox()
        return found is not None and found.alive() and (self.state / "started").exists() and self._api_server_ready()

    def build_images(self) -> None:
        """Build the operator's and the test PostgreSQL's images where they are missing or their sources changed."""
        _require_linux_root()
        programs.install_packages()
        with self._lock("images.lock"):
            images.build_all()

    def load_images(self) -> None:
        """Build what changed and make it available to pods; does nothing for an image the node already has."""
        with self._lock("images.lock"):
            for archive in images.build_all():
                if self._loaded().get(archive.reference) != archive.path.name:
                    with step(f"Loading {archive.reference} into the node", "5 s"):
                        self._import(archive)

    def load_docker_image(self, docker_image: str) -> None:
        """Make an image of this cache's buildah storage available to the node's pods."""
        archive = cache_root() / "images" / "loaded.tar"
        images.export(docker_image, archive)
        self.load_image_archive(archive)
        archive.unlink()

    def load_image_archive(self, path: Path) -> None:
        """Make the images of an OCI or Docker archive available to the node's pods."""
        found = self._sandbox()
        if found is None or not found.alive():
            raise ClusterError("the local cluster does not run: python -m tests.cluster up")
        run_quiet(
            found.enter("ctr", "--address", components.CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import", path.resolve())
        )

    def node_directory(self, name: str, *, tmpfs_mebibytes: int | None = None) -> NodeDirectory | None:
        """Make a directory on the node, on a small file system of its own when a size is given."""
        found = self._sandbox()
        if found is None:
            raise ClusterError("the local cluster does not run: python -m tests.cluster up")
        path = self.state / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        if tmpfs_mebibytes is not None:
            run_quiet(found.enter("mount", "-t", "tmpfs", "-o", f"size={tmpfs_mebibytes}m", "tmpfs", path))
        return NodeDirectory(components.NODE_NAME, str(path))

    def restart_api_server(self) -> None:
        """Kill it, and start it again."""
        found = self._sandbox()
        if found is None or not found.alive():
            raise ClusterError("the local cluster does not run: python -m tests.cluster up")
        node = components.NodeFiles(self.state, found, programs.built(programs.NODE), programs.built(programs.COREDNS))
        run_quiet(found.enter("pkill", "-KILL", "-f", "kube-apiserver --etcd-servers"))
        wait_until("the API server's end", lambda: not self._api_server_ready(), seconds=START_SECONDS)
        (part,) = (components.start(each, node) for each in components.before_api_server(node) if each.name == "kube-apiserver")
        _wait("the API server's readiness", self._api_server_ready, [part])
        leave_running(part.process)

    @contextmanager
    def enforcing_network_policies(self) -> Iterator[None]:
        """A program on the node does so while the context lasts, and leaves none of its rules behind."""
        found = self._sandbox()
        if found is None or not found.alive():
            raise ClusterError("the local cluster does not run: python -m tests.cluster up")
        command = found.enter(programs.built(programs.POLICIES), self.kubeconfig_path, components.NODE_NAME, sandbox.SERVICE_NETWORK)
        with (self.state / "log" / "policies.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.communicate(timeout=60)  # the end of its input: a signal would reach nsenter only
        ended = process.returncode
        if ended != 0:
            raise ClusterError(f"what enforces NetworkPolicies ended with {ended}\n{tail(self.state / 'log' / 'policies.log')}")

    def _start(self, files: Callable[[sandbox.Sandbox], components.NodeFiles], pause: ImageArchive) -> None:
        (self.state / "log").mkdir(parents=True)
        node = files(sandbox.create(self.state, programs.built(programs.PAUSE)))
        components.write_files(node)
        parts = [components.start(part, node) for part in components.before_api_server(node)]
        socket = node.sandbox.enter("test", "-S", components.CONTAINERD_SOCKET)
        _wait("containerd's socket", lambda: subprocess.run(socket, check=False).returncode == 0, parts)
        self._import(pause)
        _wait("the API server's readiness", self._api_server_ready, parts)
        parts += [components.start(part, node) for part in components.after_api_server(node)]
        self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(components.dns_objects(node)))
        ready = ("get", f"node/{components.NODE_NAME}", "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')
        _wait("the node's Ready condition", lambda: self._says("True", *ready), parts)
        _wait(
            "the default service account",
            lambda: self._says("default", "get", "serviceaccount/default", "-o", "jsonpath={.metadata.name}"),
            parts,
        )
        for part in parts:
            leave_running(part.process)
        (self.state / "started").touch()

    def _programs(self) -> Callable[[sandbox.Sandbox], components.NodeFiles]:
        """Every binary, built where it is missing, before anything is started."""
        node, coredns = programs.built(programs.NODE), programs.built(programs.COREDNS)
        programs.built(programs.PAUSE)
        programs.write_kubectl()
        return lambda found: components.NodeFiles(self.state, found, node, coredns)

    def _import(self, archive: ImageArchive) -> None:
        self.load_image_archive(archive.path)
        (self.state / "images.json").write_text(json.dumps({**self._loaded(), archive.reference: archive.path.name}))

    def _loaded(self) -> dict[str, str]:
        """The archive each image of the running node came from."""
        path = self.state / "images.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _says(self, expected: str, *args: str) -> bool:
        try:
            return self.kubectl(*args, "--ignore-not-found").strip() == expected
        except subprocess.CalledProcessError:
            return False  # asked again until the deadline, which shows the logs

    def _sandbox(self) -> sandbox.Sandbox | None:
        return sandbox.Sandbox.load(self.state / "sandbox.json")

    def _api_server_ready(self) -> bool:
        found, admin = self._sandbox(), components.admin_identity(self.state)
        if found is None or not admin.certificate.exists():
            return False
        context = ssl.create_default_context(cafile=str(self.state / "pki/ca.crt"))
        context.load_cert_chain(admin.certificate, admin.key)
        # A proxy of the machine's environment cannot reach an address that exists on this machine only.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(f"https://{found.node_address}:{components.API_PORT}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _remove_state(self) -> None:
        if not self.state.exists():
            return
        if self._sandbox() is not None:
            with step("Ending the node", "1 s"):
                sandbox.destroy(self.state)
        shutil.rmtree(self.state)

    @contextmanager
    def _lock(self, name: str = "local.lock") -> Iterator[None]:
        """One `up` or `down` at a time on this cache."""
        cache_root().mkdir(parents=True, exist_ok=True)
        with (cache_root() / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _require_linux_root() -> None:
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs Linux and root (it makes namespaces and mounts). Start Docker to use kind instead, "
            "or name a cluster with DBMIGRATION_TEST_KUBECONFIG and DBMIGRATION_TEST_CONTEXT."
        )


def _wait(what: str, condition: Callable[[], bool], parts: Sequence[components.Started]) -> None:
    """Wait for a condition; a part of the node that ended meanwhile, or the time that ran out, is shown with its log."""

    def held_or_ended() -> bool:
        return any(part.process.poll() is not None for part in parts) or condition()

    try:
        wait_until(what, held_or_ended, seconds=START_SECONDS)
    except ClusterError as late:
        raise ClusterError("\n".join([str(late), *(tail(part.log, 12) for part in parts)])) from None
    for part in parts:
        if part.process.poll() is not None:
            raise ClusterError(f"{part.name} ended while waiting for {what}\n{tail(part.log)}")
