"""Reading what a run said. The pod belongs to a tenant, so nothing here is believed before it is validated."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from dbmigration.api.report import REPORT_KEY, Report
from dbmigration.decide.observed import Progress


def read_report(text: str, job_name: str) -> Report | None:
    """The report in a termination message; None for anything that is not one of this very run."""
    try:
        report = Report.model_validate_json(text)
    except (ValidationError, ValueError):
        return None
    return report if report.run_id == job_name else None


def report_in_log(log: str, job_name: str) -> Report | None:
    """The newest whole report among a log's lines."""
    for line in objects_newest_first(log):
        if REPORT_KEY in line:
            try:
                report = Report.model_validate(line[REPORT_KEY])
            except ValidationError:
                continue
            if report.run_id == job_name:
                return report
    return None


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


def objects_newest_first(log: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among a log's lines."""
    for line in reversed(log.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
