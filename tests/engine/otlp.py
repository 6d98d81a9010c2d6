"""A collector on loopback: it takes OTLP over HTTP, as OpenTelemetry's own does, and keeps what it was sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

Json = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """A span as it came. Times are nanoseconds since 1970; `events` by name and attributes."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    kind: str
    attributes: Json
    events: list[tuple[str, Json]]
    error: str | None
    resource: Json


@dataclass
class Collector:
    """`status`: what it answers. `headers` of every request."""

    port: int = 0
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Sent]:
        return [span for body in self.bodies for span in spans_of(body)]

    def span(self, name: str) -> Sent:
        """The only one of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    """One that answers until the context ends."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
                self.send_error(404)
                return
            made.headers.append(dict(self.headers.items()))
            made.bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(made.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spans_of(body: bytes) -> list[Sent]:
    """What one request brings."""
    return [
        Sent(
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            kind=span.SpanKind.Name(span.kind),
            attributes=_plain(span.attributes),
            events=[(event.name, _plain(event.attributes)) for event in span.events],
            error=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
            resource=_plain(group.resource.attributes),
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> Json:
    found: Json = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        found[attribute.key] = MessageToDict(value) if kind in ("array_value", "kvlist_value") else value
    return found
