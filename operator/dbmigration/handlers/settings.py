"""The operator's own settings, read once from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from dbmigration.api.reasons import Reason
from dbmigration.decide.allowed import ANYTHING, GIT_SETTING, IMAGES_SETTING, S3_SETTING, SERVICE_ACCOUNTS_SETTING
from dbmigration.decide.observed import AllowLists, Limits, Runner
from dbmigration.decide.queue import RUNS_PER_SERVER_SETTING, RUNS_SETTING
from dbmigration.errors import Usage
from dbmigration.run.trace_settings import ENDPOINTS, HEADERS, PROTOCOL, PROTOCOLS, TIMEOUTS, is_wanted, protocol

_FOR_RUNS: Final = (
    *(*ENDPOINTS, *PROTOCOLS, *TIMEOUTS),
    *("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"),
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
)


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """`runner` None: the image of the pod `pod_name` in `pod_namespace`, which is our own. `namespaces` empty: the whole cluster.
    `health_port` 0: no health endpoint; `metrics_port` 0: no metrics. `cluster`: how claims on databases name this cluster, "" when it has
    no name. `traces`: variables that runs get. `allowed`: what resources may name. `limits`: how many runs there are at once."""

    runner: Runner | None
    pod_name: str = ""
    pod_namespace: str = ""
    namespaces: tuple[str, ...] = ()
    log_format: str = "json"
    log_level: str = "INFO"
    workers: int = 8
    health_port: int = 8080
    metrics_port: int = 8081
    cluster: str = ""
    traces: tuple[tuple[str, str], ...] = ()
    allowed: AllowLists = field(default_factory=AllowLists)
    limits: Limits = field(default_factory=Limits)


def read_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """From DBMIGRATION_RUNNER_IMAGE and DBMIGRATION_RUNNER_PULL_POLICY, else POD_NAME and POD_NAMESPACE; DBMIGRATION_WATCH_NAMESPACES
    (comma-separated), DBMIGRATION_LOG_FORMAT (json or console), DBMIGRATION_LOG_LEVEL, DBMIGRATION_WORKERS, DBMIGRATION_HEALTH_PORT,
    DBMIGRATION_METRICS_PORT and DBMIGRATION_CLUSTER; DBMIGRATION_MAX_RUNS (20) and DBMIGRATION_MAX_RUNS_PER_SERVER (4), 0: no limit;
    DBMIGRATION_ALLOWED_SERVICE_ACCOUNTS (none), DBMIGRATION_ALLOWED_S3_HOSTS, DBMIGRATION_ALLOWED_IMAGES and
    DBMIGRATION_ALLOWED_GIT_HOSTS (all), lists of patterns; and, where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is
    set, OpenTelemetry's variables for the traces of runs. Raises Usage."""
    image = environ.get("DBMIGRATION_RUNNER_IMAGE", "")
    pod_name, pod_namespace = environ.get("POD_NAME", ""), environ.get("POD_NAMESPACE", "")
    if not image and not (pod_name and pod_namespace):
        raise _usage("name the image that runs migrations in DBMIGRATION_RUNNER_IMAGE, or our own pod in POD_NAME and POD_NAMESPACE")
    policy = environ.get("DBMIGRATION_RUNNER_PULL_POLICY", "IfNotPresent")
    if policy not in ("Always", "IfNotPresent", "Never"):
        raise _usage(f"DBMIGRATION_RUNNER_PULL_POLICY is {policy!r}: write Always, IfNotPresent or Never")
    log_format = environ.get("DBMIGRATION_LOG_FORMAT", "json")
    if log_format not in ("json", "console"):
        raise _usage(f"DBMIGRATION_LOG_FORMAT is {log_format!r}: write json or console")
    cluster = environ.get("DBMIGRATION_CLUSTER", "")
    if cluster and not re.fullmatch(r"[A-Za-z0-9._-]{1,63}", cluster):
        raise _usage(f"DBMIGRATION_CLUSTER is {cluster!r}: write at most 63 letters, digits, dots, hyphens and underscores")
    return OperatorSettings(
        runner=Runner(image, policy) if image else None,
        pod_name=pod_name,
        pod_namespace=pod_namespace,
        namespaces=_list(environ, "DBMIGRATION_WATCH_NAMESPACES"),
        log_format=log_format,
        log_level=environ.get("DBMIGRATION_LOG_LEVEL", "INFO").upper(),
        workers=_number(environ, "DBMIGRATION_WORKERS", 8, least=1),
        health_port=_number(environ, "DBMIGRATION_HEALTH_PORT", 8080, least=0),
        metrics_port=_number(environ, "DBMIGRATION_METRICS_PORT", 8081, least=0),
        cluster=cluster,
        traces=_traces(environ),
        limits=Limits(_number(environ, RUNS_SETTING, 20, least=0), _number(environ, RUNS_PER_SERVER_SETTING, 4, least=0)),
        allowed=AllowLists(
            _list(environ, SERVICE_ACCOUNTS_SETTING),
            _list(environ, S3_SETTING, ANYTHING),
            _list(environ, IMAGES_SETTING, ANYTHING),
            _list(environ, GIT_SETTING, ANYTHING),
        ),
    )


def _traces(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What runs get of OpenTelemetry's variables. Never headers: a variable of a Job can be read by everyone who may read Jobs."""
    if not is_wanted(environ):
        return ()
    for name in ENDPOINTS:
        _check_endpoint(name, environ.get(name, ""))
    if protocol(environ) != PROTOCOL:
        raise _usage(f"{PROTOCOLS[-1]} is {protocol(environ)!r}: runs speak {PROTOCOL} only (a collector's port 4318)")
    secret = next((name for name in HEADERS if environ.get(name)), None)
    if secret is not None:
        raise _usage(f"{secret} is set: runs get no secret in a variable; name a collector in the cluster, which adds the headers")
    return tuple((name, environ[name]) for name in _FOR_RUNS if environ.get(name))


def _check_endpoint(name: str, text: str) -> None:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise _usage(f"{name} is no URL of a collector: write it as http://collector.observability:4318")
    if parts.username is not None or parts.password is not None:
        raise _usage(f"{name} has a user or a password in it, and everyone who may read Jobs could read it: name one that needs none")


def _list(environ: Mapping[str, str], name: str, default: str = "") -> tuple[str, ...]:
    """Separated by commas. Where nothing is said, or no more than that, the default."""
    found = tuple(item.strip() for item in environ.get(name, "").split(",") if item.strip())
    return found or tuple(filter(None, (default,)))


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise _usage(f"{name} is {text!r}: write a number from {least}")
    return int(text)


def _usage(message: str) -> Usage:
    return Usage(Reason.SPEC_INVALID, message)
