"""The node's own network, mount and process namespaces, held open by one process.

The node's processes see a network with its own interfaces and iptables, private mounts, and only each other. When the
holder ends, however it ends, the kernel ends every process of the node, drops its mounts and removes its interfaces:
nothing can be left behind, so there is nothing to repair after a crash either.
"""

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.steps import leave_running, run_quiet, wait_until

CGROUPS: Final = Path("/sys/fs/cgroup")
CNI_RESULTS: Final = Path("/var/lib/cni")
CANDIDATE_NETWORKS: Final = ipaddress.IPv4Network("172.31.192.0/18")
POD_NETWORK: Final = "10.244.0.0/24"
SERVICE_NETWORK: Final = "10.96.0.0/16"

# kubelet sets these for the whole machine and fails when it cannot: it gets files of its own to write to.
KERNEL_SETTINGS: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Sandbox:
    """A holder process and the addresses of both ends of the link between machine and node.

    A pid alone may be someone else's by now: with boot id and start time (clock ticks since boot) it is one process.
    """

    pid: int
    start_time: int
    boot_id: str
    interface: str
    machine_address: str
    node_address: str

    @classmethod
    def load(cls, path: Path) -> "Sandbox | None":
        """The sandbox recorded at `path`, or None when there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Record the sandbox at `path`."""
        path.write_text(json.dumps(asdict(self), indent=1))

    def alive(self) -> bool:
        """Whether the holder still runs and is the process that was started."""
        return self.boot_id == _boot_id() and _start_time(self.pid) == self.start_time

    def enter(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` inside the node."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *map(str, command)]


def identity(state: Path) -> str:
    """A short name for this cache's node, so that nodes of two caches on one machine do not meet."""
    return sha256(str(state).encode()).hexdigest()[:8]


def create(state: Path, holder: Path) -> Sandbox:
    """Start the holder, link its network to the machine's, and lay out its mounts. `state` must exist and be empty of a running node."""
    name = identity(state)
    log = state / "log" / "sandbox.log"
    with log.open("wb") as output:
        outer = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "slave", "--", str(holder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until("the node's namespaces", lambda: _holder_of(outer.pid, holder) is not None or outer.poll() is not None, seconds=10, log=log)
    pid = _holder_of(outer.pid, holder)
    if pid is None:
        raise ClusterError(f"namespaces could not be made: {log.read_text().strip()}")
    leave_running(outer)
    machine, node = _free_addresses(name)
    sandbox = Sandbox(pid, _start_time(pid) or 0, _boot_id(), f"dbm-{name}", machine, node)
    sandbox.save(state / "sandbox.json")
    _link_networks(sandbox)
    _lay_out_mounts(sandbox, state)
    _make_cgroups(state)
    return sandbox


def destroy(state: Path) -> None:
    """End the node recorded in `state`, if it is alive, and remove what the kernel does not: interface and cgroups."""
    path = state / "sandbox.json"
    sandbox = Sandbox.load(path)
    if sandbox is not None and sandbox.alive():
        os.kill(sandbox.pid, signal.SIGKILL)
        wait_until("the node's processes to end", lambda: not sandbox.alive(), seconds=30)
    interface = f"dbm-{identity(state)}"
    # The kernel removes a dead network namespace a moment later; ours must be gone before its name is used again.
    if Path("/sys/class/net", interface).exists():
        subprocess.run(["ip", "link", "delete", interface], check=False, capture_output=True)
    wait_until("the node's cgroups to empty", lambda: _remove_cgroups(cgroups(state)), seconds=30)
    path.unlink(missing_ok=True)


def cgroups(state: Path) -> list[Path]:
    """The node's own cgroup in each hierarchy: one with cgroup v2, one for each controller with v1."""
    name = f"dbmigration-{identity(state)}"
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / name]
    return [hierarchy / name for hierarchy in CGROUPS.iterdir() if hierarchy.is_dir() and not hierarchy.is_symlink()]


def _link_networks(sandbox: Sandbox) -> None:
    if Path("/sys/class/net", sandbox.interface).exists():
        run_quiet(["ip", "link", "delete", sandbox.interface])
    run_quiet(["ip", "link", "add", sandbox.interface, "type", "veth", "peer", "name", "eth0", "netns", str(sandbox.pid)])
    run_quiet(["ip", "address", "add", f"{sandbox.machine_address}/30", "dev", sandbox.interface])
    run_quiet(["ip", "link", "set", sandbox.interface, "up"])
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{sandbox.node_address}/30", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        # A local process reaches a service address only if there is some route towards it before iptables rewrites it.
        ["ip", "route", "add", "default", "via", sandbox.machine_address],
    ):
        run_quiet(sandbox.enter(*command))


def _lay_out_mounts(sandbox: Sandbox, state: Path) -> None:
    # An empty directory stays on the machine: removing it would also undo the mounts of other nodes on it.
    CNI_RESULTS.mkdir(parents=True, exist_ok=True)
    (state / "varlog").mkdir(exist_ok=True)
    commands: list[list[str | Path]] = [
        ["mount", "-t", "tmpfs", "tmpfs", "/run"],
        ["mount", "-t", "tmpfs", "tmpfs", CNI_RESULTS],
        ["mount", "--bind", state / "varlog", "/var/log"],
    ]
    settings = state / "kernel-settings"
    settings.mkdir(exist_ok=True)
    for setting, value in KERNEL_SETTINGS.items():
        ours = settings / setting.replace("/", ".")
        ours.write_text(f"{value}\n")
        if Path("/proc/sys", setting).exists():
            commands.append(["mount", "--bind", ours, Path("/proc/sys", setting)])
    for command in commands:
        run_quiet(sandbox.enter(*command))


def _free_addresses(name: str) -> tuple[str, str]:
    """Two neighbouring addresses that no route of this machine covers yet; the same ones each time when they are free."""
    used = list(_routed_networks(json.loads(run_quiet(["ip", "-json", "route", "show", "table", "all"]))))
    subnets = list(CANDIDATE_NETWORKS.subnets(new_prefix=30))
    first = int(name, 16) % len(subnets)
    for subnet in subnets[first:] + subnets[:first]:
        if not any(subnet.overlaps(network) for network in used):
            machine, node = subnet.hosts()
            return str(machine), str(node)
    raise ClusterError(f"every network in {CANDIDATE_NETWORKS} is in use on this machine")


def _routed_networks(routes: Iterable[dict[str, str]]) -> Iterator[ipaddress.IPv4Network]:
    for route in routes:
        if route["dst"] != "default" and ":" not in route["dst"]:
            yield ipaddress.IPv4Network(route["dst"], strict=False)


def _holder_of(outer: int, holder: Path) -> int | None:
    """The child of `unshare` once it has become the holder: before that its namespaces are not laid out yet."""
    try:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/exe").readlink() == holder:
            return int(children[0])
    except OSError:
        return None
    return None


def _start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        # The name in parentheses may hold spaces: fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _make_cgroups(state: Path) -> None:
    if (available := CGROUPS / "cgroup.controllers").exists():
        wanted = " ".join(f"+{controller}" for controller in available.read_text().split())
        (CGROUPS / "cgroup.subtree_control").write_text(wanted)
    for group in cgroups(state):
        group.mkdir(exist_ok=True)


def _remove_cgroups(groups: Iterable[Path]) -> bool:
    removed = True
    for group in groups:
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True) if group.exists() else ():
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
        removed = removed and not group.exists()
    if not removed:
        time.sleep(0.05)
    return removed
