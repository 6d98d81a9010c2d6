"""A pod of the operator's image that serves files which are handed to it: git over TLS, or plain HTTP; or takes traces, and logs them."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.cluster.images import operator_image
from tests.e2e.studio import Studio
from tests.e2e.watch import Json

_RECEIVE: Final = "tar -x -C /data -f - && touch /data/ready"

SERVE_GIT: Final = """
import base64, ssl, sys
from wsgiref.simple_server import make_server
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

inner = make_wsgi_chain(DictBackend({"/app": Repo("/data/app")}))
wanted = "Basic " + base64.b64encode(open("/data/login", "rb").read()).decode()

def guarded(environ, start_response):
    if environ.get("HTTP_AUTHORIZATION") != wanted:
        start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
        return [b""]
    return inner(environ, start_response)

server = make_server("0.0.0.0", 8443, guarded)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/data/tls.crt", "/data/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
TAKE_TRACES: Final = """
import http.server, json, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for group in body.resource_spans:
            resource = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                for span in scope.spans:
                    took = span.end_time_unix_nano - span.start_time_unix_nano
                    print(json.dumps([self.path, span.name, span.trace_id.hex(), took, resource]), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 4318), Handler).serve_forever()
"""
SERVE_FILES: Final = ("python3", "-m", "http.server", "8080", "--directory", "/data")


def start_server(studio: Studio, name: str, command: Iterable[str], port: int, files: Mapping[str, bytes]) -> None:
    """Service and pod `name`, once it answers."""
    serve = " ".join(command)
    container: Json = {
        "name": name,
        "image": operator_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-euc", f"until [ -f /data/ready ]; do sleep 0.2; done; exec {serve}"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    studio.put(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
        },
    )
    studio.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=90s")
    hand_over(studio, name, files)
    studio.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=90s")


def hand_over(studio: Studio, name: str, files: Mapping[str, bytes]) -> None:
    """Put files into the server's folder."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    studio.kubectl("exec", "-i", name, "--", "sh", "-c", _RECEIVE, input=held.getvalue(), encoding=None)


def files_below(folder: Path, prefix: str) -> dict[str, bytes]:
    return {f"{prefix}/{path.relative_to(folder)}": path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
