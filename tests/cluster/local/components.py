"""The node's programs: what each is started with, in the order they are needed."""

import json
import subprocess
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from tests.cluster.local.certificates import Authority, Identity
from tests.cluster.local.programs import CNI_PLUGINS
from tests.cluster.local.sandbox import POD_NETWORK, SERVICE_NETWORK, Sandbox, identity

NODE_NAME: Final = "node-1"
API_PORT: Final = 6443
DNS_PORT: Final = 10053
DNS_ADDRESS: Final = str(ip_network(SERVICE_NETWORK)[10])
PAUSE_IMAGE: Final = "localhost/pause:1"
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"  # on the node's own /run

CONTAINERD_CONFIG: Final = """\
version = 2
root = "{state}/containerd"
state = "/run/containerd"
# Without CAP_SYS_RESOURCE (a container as CI machine) runc cannot lower a score, and every pod would fail.
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{state}/cni"
[grpc]
  address = "{socket}"
"""

COREFILE: Final = """\
.:{port} {{
    bind {address}
    errors
    ready {address}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods verified
        ttl 1
    }}
    cache 2
}}
"""


@dataclass(frozen=True)
class Component:
    """A program of the node and its command line."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class NodeFiles:
    """What the programs are started with: addresses, binaries, and the folder their files are in."""

    state: Path
    sandbox: Sandbox
    node: Path
    coredns: Path

    @property
    def server(self) -> str:
        """The API server's address, the same from the machine and from inside the node."""
        return f"https://{self.sandbox.node_address}:{API_PORT}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"


def write_files(files: NodeFiles) -> None:
    """Write every certificate, kubeconfig and configuration file the components read."""
    state, sandbox = files.state, files.sandbox
    for folder in ("pki", "cni", "etcd", "kubelet", "manifests", "volumes"):
        (state / folder).mkdir(exist_ok=True)
    authority = Authority(state / "pki")
    authority.issue(
        "apiserver",
        common_name="kube-apiserver",
        alternative_names=(
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
            "DNS:localhost",
            "IP:127.0.0.1",
            f"IP:{sandbox.node_address}",
            f"IP:{ip_network(SERVICE_NETWORK)[1]}",
        ),
    )
    service_accounts = authority.private_key("service-accounts")
    subprocess.run(
        ["openssl", "ec", "-in", service_accounts, "-pubout", "-out", state / "pki/service-accounts.pub"], check=True, capture_output=True
    )
    authority.issue("kubelet-client", common_name="kube-apiserver", organization="system:masters")
    users = {
        "controller-manager": authority.issue("controller-manager", common_name="system:kube-controller-manager"),
        "scheduler": authority.issue("scheduler", common_name="system:kube-scheduler"),
        "proxy": authority.issue("proxy", common_name="system:kube-proxy"),
        "coredns": authority.issue("coredns", common_name="coredns", organization="system:masters"),
        "kubelet": authority.issue("kubelet", common_name=f"system:node:{NODE_NAME}", organization="system:nodes"),
    }
    for user, signed in users.items():
        authority.kubeconfig(state / f"{user}.kubeconfig", cluster="node", server=files.server, identity=signed)
    admin = authority.issue("admin", common_name="admin", organization="system:masters")
    authority.kubeconfig(files.kubeconfig, cluster="dbmigration-local", server=files.server, identity=admin)

    (state / "containerd.toml").write_text(
        CONTAINERD_CONFIG.format(state=state, pause=PAUSE_IMAGE, plugins=CNI_PLUGINS, socket=CONTAINERD_SOCKET)
    )
    (state / "Corefile").write_text(COREFILE.format(port=DNS_PORT, address=sandbox.node_address, kubeconfig=state / "coredns.kubeconfig"))
    _write_json(state / "cni/10-pods.conflist", _pod_network())
    _write_json(state / "kubelet.json", _kubelet_configuration(state))
    _write_json(state / "proxy.json", _proxy_configuration(state))


def admin_identity(state: Path) -> Identity:
    """The administrator's key and certificate as files."""
    return Identity(state / "pki/admin.key", state / "pki/admin.crt")


def before_api_server(files: NodeFiles) -> list[Component]:
    """What the API server needs, the API server, and what needs neither: all of them may start at once."""
    state, pki = files.state, files.state / "pki"
    node = str(files.node)
    return [
        Component("containerd", ("containerd", "--config", str(state / "containerd.toml"))),
        Component(
            "etcd",
            (
                node,
                "etcd",
                f"--data-dir={state}/etcd",
                "--unsafe-no-fsync",  # the cluster is thrown away, its data need not survive the machine
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--log-level=warn",
            ),
        ),
        Component(
            "kube-apiserver",
            (
                node,
                "kube-apiserver",
                "--etcd-servers=http://127.0.0.1:2379",
                f"--advertise-address={files.sandbox.node_address}",
                f"--secure-port={API_PORT}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={pki}/service-accounts.pub",
                f"--service-account-signing-key-file={pki}/service-accounts.key",
                f"--client-ca-file={pki}/ca.crt",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--kubelet-client-certificate={pki}/kubelet-client.crt",
                f"--kubelet-client-key={pki}/kubelet-client.key",
                "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
            ),
        ),
    ]


def after_api_server(files: NodeFiles) -> list[Component]:
    """What would only retry, with growing pauses, before the API server is ready."""
    state, pki = files.state, files.state / "pki"
    node = str(files.node)
    return [
        Component(
            "kube-controller-manager",
            (
                node,
                "kube-controller-manager",
                f"--kubeconfig={state}/controller-manager.kubeconfig",
                f"--service-account-private-key-file={pki}/service-accounts.key",
                f"--root-ca-file={pki}/ca.crt",
                f"--cluster-signing-cert-file={pki}/ca.crt",
                f"--cluster-signing-key-file={pki}/ca.key",
                "--use-service-account-credentials",
                "--pvclaimbinder-sync-period=1s",  # a claim seen before its volume waits for the next round: 15 s by default
                "--leader-elect=false",
            ),
        ),
        Component("kube-scheduler", (node, "kube-scheduler", f"--kubeconfig={state}/scheduler.kubeconfig", "--leader-elect=false")),
        Component(
            "kubelet",
            (
                node,
                "kubelet",
                f"--config={state}/kubelet.json",
                f"--kubeconfig={state}/kubelet.kubeconfig",
                f"--root-dir={state}/kubelet",
                f"--cert-dir={state}/kubelet/pki",
                f"--hostname-override={NODE_NAME}",
                f"--node-ip={files.sandbox.node_address}",
            ),
        ),
        Component("kube-proxy", (node, "kube-proxy", f"--config={state}/proxy.json")),
        Component("coredns", (str(files.coredns), "-conf", str(state / "Corefile"))),
    ]


@dataclass(frozen=True)
class Started:
    """A component that was started, and the file its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def start(component: Component, files: NodeFiles) -> Started:
    """Start a component inside the node."""
    log = files.state / "log" / f"{component.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            files.sandbox.enter(*component.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=files.state,
        )
    return Started(component.name, process, log)


def dns_objects(files: NodeFiles) -> dict[str, Any]:
    """The Service `kube-dns`, answered by the CoreDNS beside the kubelet, and the class of the volumes made by hand."""
    labels = {"kubernetes.io/service-name": "kube-dns"}
    ports = [{"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns-tcp", "protocol": "TCP", "port": 53}]
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "kube-dns", "namespace": "kube-system"},
                "spec": {"clusterIP": DNS_ADDRESS, "ports": [{**port, "targetPort": DNS_PORT} for port in ports]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [files.sandbox.node_address], "conditions": {"ready": True}}],
                "ports": [{**port, "port": DNS_PORT} for port in ports],
            },
        ],
    }


def _pod_network() -> dict[str, Any]:
    """Each pod has a link of its own to the node: traffic is routed, so services work without bridge netfilter."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-addresses",
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet_configuration(state: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{state}/pki/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/dbmigration-{identity(state)}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # There is no registry: an image that is collected cannot be pulled again. And a full disk is not ours to judge.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "podLogsDir": f"{state}/pod-logs",
        "resolvConf": "/dev/null",
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "4s",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "volumePluginDir": f"{state}/volume-plugins",
    }


def _proxy_configuration(state: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "clientConnection": {"kubeconfig": f"{state}/proxy.kubeconfig"},
        "hostnameOverride": NODE_NAME,
        # Limits of connection tracking belong to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1))
