"""The operator's own settings, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from dbmigration.api.reasons import Reason
from dbmigration.decide.observed import Runner
from dbmigration.errors import Usage


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """`namespaces` empty: the whole cluster. `health_port` 0: no health endpoint."""

    runner: Runner
    namespaces: tuple[str, ...] = ()
    log_format: str = "json"
    log_level: str = "INFO"
    workers: int = 8
    health_port: int = 8080


def read_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """From DBMIGRATION_RUNNER_IMAGE (required), DBMIGRATION_RUNNER_PULL_POLICY, DBMIGRATION_WATCH_NAMESPACES (comma-separated),
    DBMIGRATION_LOG_FORMAT (json or console), DBMIGRATION_LOG_LEVEL, DBMIGRATION_WORKERS and DBMIGRATION_HEALTH_PORT. Raises Usage."""
    image = environ.get("DBMIGRATION_RUNNER_IMAGE", "")
    if not image:
        raise _usage("DBMIGRATION_RUNNER_IMAGE is not set: it names the image that runs migrations, which is the operator's own")
    policy = environ.get("DBMIGRATION_RUNNER_PULL_POLICY", "IfNotPresent")
    if policy not in ("Always", "IfNotPresent", "Never"):
        raise _usage(f"DBMIGRATION_RUNNER_PULL_POLICY is {policy!r}: write Always, IfNotPresent or Never")
    log_format = environ.get("DBMIGRATION_LOG_FORMAT", "json")
    if log_format not in ("json", "console"):
        raise _usage(f"DBMIGRATION_LOG_FORMAT is {log_format!r}: write json or console")
    return OperatorSettings(
        runner=Runner(image, policy),
        namespaces=tuple(name.strip() for name in environ.get("DBMIGRATION_WATCH_NAMESPACES", "").split(",") if name.strip()),
        log_format=log_format,
        log_level=environ.get("DBMIGRATION_LOG_LEVEL", "INFO").upper(),
        workers=_number(environ, "DBMIGRATION_WORKERS", 8, least=1),
        health_port=_number(environ, "DBMIGRATION_HEALTH_PORT", 8080, least=0),
    )


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise _usage(f"{name} is {text!r}: write a number from {least}")
    return int(text)


def _usage(message: str) -> Usage:
    return Usage(Reason.SPEC_INVALID, message)
