"""Reading what a run said. The pod belongs to a tenant, so nothing here is believed before it is validated."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from dbmigration.api.report import REPORT_KEY, JobReport
from dbmigration.api.visible import visible
from dbmigration.decide.observed import Progress

AnyReport = TypeVar("AnyReport", bound=JobReport)


def read_report(text: str, job_name: str, kind: type[AnyReport]) -> AnyReport | None:
    """The report in a termination message; None for anything that is not one of this very Job."""
    return next((_report(found, job_name, kind) for found in objects_newest_first(text.replace("\n", " "))), None)


def report_in_log(log: str, job_name: str, kind: type[AnyReport]) -> AnyReport | None:
    """The newest whole report among a log's lines."""
    found = (_report(line[REPORT_KEY], job_name, kind) for line in objects_newest_first(log) if REPORT_KEY in line)
    return next((report for report in found if report is not None), None)


def progress_in_log(log: str) -> Progress | None:
    """The newest progress among a log's lines."""
    for line in objects_newest_first(log):
        progress = progress_of(line)
        if progress is not None:
            return progress
    return None


def progress_of(line: Mapping[str, Any]) -> Progress | None:
    """What one line of the log says of progress, None where it is about something else."""
    if line.get("event") != "progress" or not isinstance(line.get("step"), str):
        return None
    percent = _number(line.get("percent"))
    return Progress(
        step=line["step"],
        file=_text(line.get("file")),
        done=_number(line.get("done")),
        total=_number(line.get("total")),
        message=_text(line.get("message")),
        blocked_by=_text(line.get("blockedBy")),
        percent=min(percent, 100) if percent is not None else None,
        finished=line.get("finished") is True,
    )


def _report(found: object, job_name: str, kind: type[AnyReport]) -> AnyReport | None:
    try:
        report = kind.model_validate(found)
    except ValidationError:
        return None
    return report if report.run_id == job_name else None


def objects_newest_first(log: str) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects. Whoever wrote them, their texts can be shown and stored."""
    # Only at line feeds: JSON leaves the other characters that end lines in Python as they are.
    for line in reversed(log.split("\n")):
        if line.startswith("{"):
            try:
                found = _seen(json.loads(line))
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def _seen(value: Any) -> Any:
    """A number that no field of ours can hold becomes none."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    if isinstance(value, list):
        return [_seen(each) for each in value]
    if isinstance(value, dict):
        return {key: _seen(each) for key, each in value.items()}
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
