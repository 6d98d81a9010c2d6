"""Findings as text, as JSON and as SARIF 2.1.0 (OASIS), which code hosts show beside the lines of a change."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final

from dbmigration.lint.finding import Finding, Severity
from dbmigration.lint.registry import BY_NAME, RULES
from dbmigration.lint.rule import Rule

DOCS: Final = "docs/rules"
"""Where the rules' pages are, below the project's root."""

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_COLOURS: Final = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}


def console(findings: Sequence[Finding], directory: PurePath, *, colour: bool = False) -> Iterator[str]:
    """Lines as compilers write them, so that editors and terminals can jump to the place, and a last one that counts."""
    for finding in findings:
        where = str(directory / finding.file) + ("" if finding.line is None else f":{finding.line}")
        severity = str(finding.severity)
        if colour:
            severity = f"\x1b[{_COLOURS[finding.severity]}m{severity}\x1b[0m"
        yield f"{where}: {severity}: {finding.message} [{finding.rule}]"
    yield summary(findings)


def summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    if not counts:
        return "No findings."
    said = [f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}" for severity in sorted(counts, reverse=True)]
    return f"{', '.join(said)}. Each rule has a page: {DOCS}/<rule>.md"


def as_json(findings: Sequence[Finding]) -> str:
    """{"findings": [{rule, severity, file, line, message, table, page}], "counts": {…}}; keys are only ever added."""
    counts = Counter(str(finding.severity) for finding in findings)
    document = {
        "findings": [
            {
                "rule": finding.rule,
                "severity": str(finding.severity),
                "file": finding.file,
                "line": finding.line,
                "message": finding.message,
                "table": finding.table,
                "page": _page(finding.rule),
            }
            for finding in findings
        ],
        "counts": {str(severity): counts[str(severity)] for severity in sorted(Severity, reverse=True)},
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def as_sarif(findings: Sequence[Finding], directory: PurePath, version: str) -> str:
    """One run with every rule and one result a finding. `directory`, relative to the repository's root, goes before each file's name."""
    numbers = {rule.name: number for number, rule in enumerate(RULES)}
    run = {
        "tool": {"driver": {"name": "dbmigration", "version": version, "rules": [_sarif_rule(rule) for rule in RULES]}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The root of the repository."}}},
        "results": [_sarif_result(finding, directory, numbers[finding.rule]) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.name,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": f"{rule.summary}."},
        "help": {"text": f"See {_page(rule.name)}."},
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _sarif_result(finding: Finding, directory: PurePath, number: int) -> dict[str, Any]:
    """The fingerprint keeps a finding the same one when lines above it come and go."""
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(directory / finding.file)}}
    if not directory.is_absolute():
        place["artifactLocation"]["uriBaseId"] = "ROOT"
    if finding.line is not None:
        place["region"] = {"startLine": finding.line}
    identity = "\0".join((finding.rule, finding.file, finding.message))
    return {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": str(finding.severity),
        "message": {"text": f"{finding.message}."},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"dbmigrationFinding/v1": sha256(identity.encode()).hexdigest()[:32]},
    }


def _uri(path: PurePath) -> str:
    from urllib.parse import quote

    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _page(rule: str) -> str | None:
    return f"{DOCS}/{rule}.md" if rule in BY_NAME else None
