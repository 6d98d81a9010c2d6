"""`python -m tests.cluster`: the test cluster from the command line."""

import argparse
import os
import subprocess
import sys
import time

from tests.cluster.choose import chosen_cluster
from tests.cluster.errors import ClusterError
from tests.cluster.interface import Cluster


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build what is missing, start the cluster, load the images; does nothing when all is there")
    commands.add_parser("down", help="end the cluster; builds stay cached")
    commands.add_parser("status", help="say which provider is used and whether its cluster runs; status 1 when it does not")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    commands.add_parser("build-images", help="build the operator's and the test PostgreSQL's images")
    commands.add_parser("load-image", help="copy an image that was built here into the cluster").add_argument("image")
    # What follows `kubectl` belongs to kubectl, --help included.
    if arguments[:1] == ["kubectl"]:
        return _kubectl(chosen_cluster(), arguments[1:])
    commands.add_parser("kubectl", help="run kubectl against the cluster: kubectl -- get pods")
    chosen = parser.parse_args(arguments)
    cluster = chosen_cluster()
    match chosen.command:
        case "up":
            _up(cluster)
        case "down":
            cluster.delete()
        case "status":
            return _status(cluster)
        case "kubeconfig":
            print(cluster.kubeconfig_path)
        case "build-images":
            cluster.build_images()
        case "load-image":
            cluster.load_docker_image(chosen.image)
    return 0


def _up(cluster: Cluster) -> None:
    started = time.monotonic()
    cluster.create()
    cluster.load_images()
    print(f"==> Ready after {time.monotonic() - started:.1f} s. To use it:", flush=True)
    print(f"export KUBECONFIG={cluster.kubeconfig_path}")


def _status(cluster: Cluster) -> int:
    running = cluster.running()
    print(f"provider:   {cluster.provider}\nkubeconfig: {cluster.kubeconfig_path}\nrunning:    {'yes' if running else 'no'}")
    return 0 if running else 1


def _kubectl(cluster: Cluster, arguments: list[str]) -> int:
    """Run kubectl with this terminal as its input and output."""
    command = [str(cluster.kubectl_path), *([f"--context={cluster.name}"] if cluster.provider == "current" else [])]
    command += arguments[1:] if arguments[:1] == ["--"] else arguments
    return subprocess.run(command, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig_path)}, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ClusterError as failed:
        sys.exit(f"error: {failed}")
