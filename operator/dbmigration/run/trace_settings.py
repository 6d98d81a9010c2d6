"""Whether and how runs are traced: OpenTelemetry's own variables. No import that costs anything, for every start asks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dbmigration.run.tracing import RunTrace

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOCOL: Final = "http/protobuf"
"""The one that is spoken."""
_TIMEOUT_S: Final = 2.0
_MOST_S: Final = 10.0


def is_wanted(environ: Mapping[str, str]) -> bool:
    """An endpoint is named, and neither OTEL_SDK_DISABLED nor OTEL_TRACES_EXPORTER says otherwise."""
    if not any(environ.get(name) for name in ENDPOINTS):
        return False
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and environ.get("OTEL_TRACES_EXPORTER", "").strip() in ("", "otlp")


def wanted_trace(environ: Mapping[str, str]) -> "RunTrace | None":
    """The trace of the run that begins, where one is wanted; only then is anything imported for it."""
    if not is_wanted(environ):
        return None
    from dbmigration.run.tracing import RunTrace

    return RunTrace(environ)


def protocol(environ: Mapping[str, str]) -> str:
    """What is asked to be spoken."""
    return _first(environ, PROTOCOLS) or PROTOCOL


def timeout_s(environ: Mapping[str, str]) -> float:
    """Seconds that a run waits for a collector at its end, when all else is done: two, or what is asked (in milliseconds), at most ten."""
    asked = _first(environ, TIMEOUTS)
    return min(int(asked) / 1000, _MOST_S) if asked.isdecimal() and int(asked) else _TIMEOUT_S


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name].strip() for name in names if environ.get(name)), "")
