"""git's own servers over https and ssh, on loopback, and repositories for them."""

import base64
import http.server
import os
import pwd
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.cluster.local.certificates import Authority
from tests.engine.s3 import answers, free_port
from tests.engine.server import install, wait_until

USER, PASSWORD = "deploy", "p@ss:/?#%&'\" \\word"
_NOBODY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
_AUTHOR = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(*words: str, cwd: Path) -> str:
    """What git wrote. Whatever this machine's own configuration is."""
    environment = {**os.environ, **_NOBODY, **_AUTHOR}
    return subprocess.run(["git", *words], cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@dataclass
class Repository:
    """A repository with a work tree at `root`; its server hands out `root`/.git."""

    root: Path

    @classmethod
    def made(cls, root: Path, files: Mapping[str, str | bytes]) -> "Repository":
        root.mkdir(parents=True)
        git("init", "-q", "-b", "main", cwd=root)
        repository = cls(root)
        repository.commit(files)
        return repository

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Write the files, commit them, and say which commit that is."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        git("add", "-A", cwd=self.root)
        git("commit", "-q", "-m", "files", cwd=self.root)
        return git("rev-parse", "HEAD", cwd=self.root)


@dataclass
class HttpsServer:
    """`asked`: the path of every request. `user` None: everybody may read."""

    port: int
    authority: Authority
    user: str | None = None
    asked: list[str] = field(default_factory=list)
    send_to: str | None = None

    @cached_property
    def url(self) -> str:
        return f"https://localhost:{self.port}/app/.git"


@contextmanager
def https_server(root: Path, folder: Path, *, user: str | None = None) -> Iterator[HttpsServer]:
    """git http-backend behind TLS, for the repositories below `root`."""
    authority = Authority(folder / "authority")
    identity = authority.issue("git", common_name="localhost", alternative_names=("DNS:localhost",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server = HttpsServer(free_port(), authority, user)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET  # noqa: N815 - the library looks for it

        def log_message(self, *_: object) -> None:
            pass

    def answer(handler: Handler) -> None:
        path, _, query = handler.path.partition("?")
        server.asked.append(path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if server.send_to is not None:
            handler.send_response(302)
            handler.send_header("Location", server.send_to + handler.path)
            handler.end_headers()
            return
        wanted = base64.b64encode(f"{server.user}:{PASSWORD}".encode()).decode()
        if server.user is not None and handler.headers.get("Authorization") != f"Basic {wanted}":
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="git"')
            handler.end_headers()
            return
        environment = {
            **os.environ,
            **_NOBODY,
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type") or "",
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol") or "",
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding") or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False, timeout=60).stdout
        head, _, content = done.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        handler.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that does not like the certificate

    listening = Server(("127.0.0.1", server.port), Handler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@dataclass(frozen=True)
class SshServer:
    """`secret`: a folder as kubelet mounts the Secret."""

    port: int
    url: str
    secret: Path


@contextmanager
def ssh_server(root: Path, folder: Path) -> Iterator[SshServer]:
    """OpenSSH's server with keys of its own."""
    port = free_port()
    folder.mkdir()
    secret = folder / "secret"
    secret.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=60)
    (folder / "user").rename(secret / "identity")
    (folder / "user.pub").rename(folder / "authorized")
    host_key = (folder / "host.pub").read_text().split()
    (secret / "known_hosts").write_text(f"[localhost]:{port} {host_key[0]} {host_key[1]}\n")
    if not Path("/usr/sbin/sshd").exists():
        install("openssh-server")
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "AcceptEnv": "GIT_PROTOCOL",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    me = pwd.getpwuid(os.geteuid()).pw_name
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(port), "sshd answers")
            yield SshServer(port, f"ssh://{me}@localhost:{port}{root}/app/.git", secret)
        finally:
            process.terminate()
            process.wait(timeout=10)
