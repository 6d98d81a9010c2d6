"""Spans to a collector, by OpenTelemetry's SDK. The only module that imports it, and imported only at the end of a run that is traced."""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dbmigration.api.visible import visible
from dbmigration.run.timeline import Event, Value

_DISTRIBUTION: Final = "dbmigration-operator"
_SCOPE: Final = "dbmigration"
_AT_ONCE: Final = 512
"""Spans of one request."""
_WHY_LIMIT: Final = 200
_USER_IN_URL: Final = re.compile(r"//[^/@\s]+@")


class Told:
    """A span to be made. `error`: what stopped it, in words without a value. `client`: it is a conversation with the database."""

    __slots__ = ("attributes", "children", "client", "end", "error", "events", "name", "start")

    def __init__(
        self,
        name: str,
        start: int,
        end: int,
        *,
        attributes: Mapping[str, Value | None] | None = None,
        events: Sequence[Event] = (),
        children: Sequence["Told"] = (),
        error: str | None = None,
        client: bool = False,
    ) -> None:
        self.name, self.start, self.end = visible(name), start, max(start, end)
        self.attributes = _shown({key: value for key, value in (attributes or {}).items() if value is not None})
        self.events = [Event(event.at, event.name, _shown(event.attributes)) for event in events]
        self.error = None if error is None else visible(error)
        self.children, self.client = children, client


def _shown(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """What a file or a server called itself may hold anything, halves of characters too, which could not even be sent."""
    return {key: visible(value) if isinstance(value, str) else value for key, value in attributes.items()}


class Trace:
    """The spans of one run. `trace_id`: 32 hexadecimal digits; None where the sampler leaves this run out."""

    def __init__(self, spans: Sequence[ReadableSpan], trace_id: str | None) -> None:
        self._spans = spans
        self.trace_id = trace_id

    def send(self, timeout_s: float) -> str | None:
        """To the collector that OpenTelemetry's variables name. Why not, in one line; None when it has them. Takes `timeout_s` at most."""
        said: list[str] = []
        sender = Thread(target=self._send, args=(timeout_s, said), name="traces", daemon=True)
        sender.start()
        sender.join(timeout_s)
        if sender.is_alive():
            return f"the collector did not answer within {timeout_s:g} s"
        return visible(_USER_IN_URL.sub("//", said[0])).replace("\n", " ")[:_WHY_LIMIT] if said else None

    def _send(self, timeout_s: float, said: list[str]) -> None:
        ends = time.monotonic() + timeout_s
        with _heard(said):
            try:
                exporter = OTLPSpanExporter(timeout=timeout_s)
                for first in range(0, len(self._spans), _AT_ONCE):
                    if exporter.export(self._spans[first : first + _AT_ONCE]) is not SpanExportResult.SUCCESS:
                        said.append("the collector did not take it")
                        return
                    if time.monotonic() > ends:
                        return
            except Exception as error:  # noqa: BLE001 - settings that make no sense to the exporter fail no run
                said.append(f"{type(error).__name__}: {error}")


def make_trace(root: Told, attributes: Mapping[str, str], defaults: Mapping[str, str], parent: Mapping[str, str]) -> Trace:
    """Make the spans of `root`. `attributes` are the resource's and win over OTEL_RESOURCE_ATTRIBUTES, which win over `defaults`.

    `parent`: traceparent and tracestate as W3C has them. The sampler is that of OTEL_TRACES_SAMPLER.
    """
    ours = dict(defaults)
    with suppress(PackageNotFoundError):  # run from its source
        ours["service.version"] = version(_DISTRIBUTION)
    resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes, **attributes})
    kept = _Kept()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(kept)
    tracer = provider.get_tracer(_SCOPE, ours.get("service.version"))
    trace_id = _make(tracer, root, TraceContextTextMapPropagator().extract(parent))
    return Trace(kept.spans, trace_id)


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _make(tracer: Tracer, told: Told, context: Context) -> str | None:
    kind = SpanKind.CLIENT if told.client else SpanKind.INTERNAL
    span = tracer.start_span(told.name, context=context, kind=kind, attributes=told.attributes, start_time=told.start)
    for event in told.events:
        span.add_event(event.name, event.attributes, event.at)
    inside = set_span_in_context(span, context)
    for child in told.children:
        _make(tracer, child, inside)
    if told.error is not None:
        span.set_status(Status(StatusCode.ERROR, told.error))
    span.end(told.end)
    found = span.get_span_context()
    return format_trace_id(found.trace_id) if found.trace_flags.sampled else None


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """What OpenTelemetry would log: its first words say why. Nothing of it reaches stderr."""
    logger = logging.getLogger("opentelemetry")
    listening = _Listening(said)
    before = logger.propagate
    logger.addHandler(listening)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listening)
        logger.propagate = before


class _Listening(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
