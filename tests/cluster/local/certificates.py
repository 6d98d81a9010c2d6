"""The cluster's certificate authority, the certificates it signs, and kubeconfigs made of them."""

import json
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.steps import run_quiet

DAYS: Final = "3650"


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate."""

    key: Path
    certificate: Path


class Authority:
    """A certificate authority in a folder; keys are elliptic because those are made in milliseconds."""

    def __init__(self, folder: Path) -> None:
        """Make the authority's own key and certificate in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self._key = self.private_key("ca")
        run_quiet(
            [
                "openssl",
                "req",
                "-x509",
                "-new",
                "-key",
                self._key,
                "-subj",
                "/CN=dbmigration-test-ca",
                "-days",
                DAYS,
                "-out",
                self.certificate,
            ]
        )

    def private_key(self, name: str) -> Path:
        """A new private key."""
        path = self.folder / f"{name}.key"
        run_quiet(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
        path.chmod(0o600)
        return path

    def issue(self, name: str, *, common_name: str, organization: str = "", alternative_names: tuple[str, ...] = ()) -> Identity:
        """A certificate for a server (`alternative_names`, such as `DNS:kubernetes` or `IP:10.0.0.1`) or a client (user and group)."""
        key = self.private_key(name)
        request, certificate, extensions = (self.folder / f"{name}.{ending}" for ending in ("csr", "crt", "ext"))
        subject = f"/O={organization}/CN={common_name}" if organization else f"/CN={common_name}"
        usage = "serverAuth,clientAuth" if alternative_names else "clientAuth"
        names = f"subjectAltName={','.join(alternative_names)}\n" if alternative_names else ""
        extensions.write_text(f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n{names}")
        run_quiet(["openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request])
        signing: list[str | Path] = ["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key]
        run_quiet([*signing, "-CAcreateserial", "-days", DAYS, "-extfile", extensions, "-out", certificate])
        return Identity(key, certificate)

    def kubeconfig(self, path: Path, *, cluster: str, server: str, identity: Identity) -> Path:
        """A kubeconfig with everything inside it, readable by its owner only."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(self.certificate)}}],
            "users": [
                {
                    "name": cluster,
                    "user": {"client-certificate-data": _base64(identity.certificate), "client-key-data": _base64(identity.key)},
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=1))
        return path


def _base64(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
