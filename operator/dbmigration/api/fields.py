"""The kinds of fields that `spec` is made of: names, durations, numbers of files, and CEL rules.

A rule of the CRD (CEL, checked at `kubectl apply`) and a validator (checked by the operator) say the same.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from dbmigration.api.durations import DURATION_PATTERN, milliseconds
from dbmigration.api.request import Model

REQUIRED_BY_RULE = "x-required-by-rule"
"""Marks a field whose absence a CEL rule refuses, with a better message than "Required value". Never reaches the CRD."""

_MAX_TIMEOUT = "596h"  # PostgreSQL keeps timeouts as 32-bit milliseconds


def rule(expression: str, message: str) -> dict[str, str]:
    """One CEL rule of the CRD; `message` says what to write instead."""
    return {"rule": expression, "message": message}


def rules(*given: dict[str, str]) -> dict[str, Any]:
    """The rules as extra keys of a JSON schema."""
    return {"x-kubernetes-validations": list(given)}


def _is_duration(text: str) -> str:
    milliseconds(text)
    return text


DURATION_RULE = rule(
    f"self.matches('{DURATION_PATTERN}') && duration(self) <= duration('{_MAX_TIMEOUT}')",
    f"write a duration like 500ms, 2s, 1m30s or 4h, at most {_MAX_TIMEOUT}",
)
_VERSION = r"^[0-9]{1,20}([._][0-9]{1,20}){0,7}$"
"""Three or more digits in our own layout; other layouts have fewer, and Flyway's several numbers."""
_TARGET_RULE = rule(f"self.matches('{_VERSION}')", 'target is the number of a file as its name has it, in quotes: target: "004"')


def _is_target(text: str) -> str:
    if not re.fullmatch(_VERSION.strip("^$"), text):
        raise ValueError(_TARGET_RULE["message"])
    return text


_VERSION_RULE = rule(
    f"self.matches('{_VERSION}')", 'rollback.to is the number of a file as its name has it, in quotes (to: "003"), or "0" for none at all'
)


def _is_version(text: str) -> str:
    if not re.fullmatch(_VERSION.strip("^$"), text):
        raise ValueError(_VERSION_RULE["message"])
    return text


def _cron_field(value: str) -> str:
    item = f"([*]|{value}(-{value})?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


_CRON = (
    "^"
    + " +".join(
        _cron_field(value)
        for value in (
            "[0-5]?[0-9]",
            "(2[0-3]|[01]?[0-9])",
            "(3[01]|[12][0-9]|0?[1-9])",
            "(1[0-2]|0?[1-9]|[A-Za-z]{3})",
            "([0-7]|[A-Za-z]{3})",
        )
    )
    + "$"
)
_CRON_RULE = rule(
    f"self.matches('{_CRON}')",
    'a schedule has the five fields of cron, minute hour day-of-month month day-of-week: "0 6 * * *" is every day at six',
)


def _is_cron(text: str) -> str:
    """Raises ValueError also for what the CRD's rule cannot see: a range that goes backwards, a month that does not exist."""
    from cronsim import CronSim, CronSimError

    if not re.fullmatch(_CRON.strip("^$"), text):
        raise ValueError(_CRON_RULE["message"])
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{_CRON_RULE['message']} ({error})") from None
    return text


def _is_time_zone(text: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text} is no time zone: write one of the IANA database, like Europe/Rome or UTC") from None
    return text


Cron = Annotated[str, Field(max_length=100, json_schema_extra=rules(_CRON_RULE)), AfterValidator(_is_cron)]
TimeZone = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"), AfterValidator(_is_time_zone)
]
Version = Annotated[str, Field(max_length=253, json_schema_extra=rules(_VERSION_RULE)), AfterValidator(_is_version)]
PlanHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Target = Annotated[str, Field(max_length=253, json_schema_extra=rules(_TARGET_RULE)), AfterValidator(_is_target)]
Duration = Annotated[str, Field(max_length=32, json_schema_extra=rules(DURATION_RULE)), AfterValidator(_is_duration)]
OwnerName = Annotated[str, Field(min_length=3, max_length=700, pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9.-]*(@[A-Za-z0-9._-]{1,63})?$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
ObjectKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$")]
Quantities = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={"additionalProperties": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}}
    ),
]
FreeForm = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class SpecModel(Model):
    """Part of `spec`: unknown fields are refused, so that an operator never half obeys a newer resource."""

    model_config = ConfigDict(use_attribute_docstrings=True)
