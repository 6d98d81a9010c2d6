"""Whether and how runs are traced: OpenTelemetry's own variables. No import that costs anything, for every start asks."""

from collections.abc import Mapping
from typing import Final

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


def protocol(environ: Mapping[str, str]) -> str:
    """What is asked to be spoken."""
    return _first(environ, PROTOCOLS) or PROTOCOL


def timeout_s(environ: Mapping[str, str]) -> float:
    """Seconds that a run waits for a collector at its end, when all else is done: two, or what is asked (in milliseconds), at most ten."""
    asked = _first(environ, TIMEOUTS)
    return min(int(asked) / 1000, _MOST_S) if asked.isdecimal() and int(asked) else _TIMEOUT_S


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name].strip() for name in names if environ.get(name)), "")
