"""dbmigration.toml: what belongs to a set of migrations wherever it is applied."""

import re
from pathlib import Path
from typing import Any, NoReturn

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.digest import CONFIG_NAME
from dbmigration.migrations.layout import Layout
from dbmigration.migrations.model import DEFAULT_ENVIRONMENTS, DriftChoice, HistoryTable, LintChoice, SetConfig

IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer names silently (manual 4.1.1, NAMEDATALEN)."""

LINT_SEVERITIES = ("off", "note", "warning", "error")
LINT_FAIL_ON = ("error", "warning", "never", "off")
DRIFT_POLICIES = ("report", "refuse", "off")

_MOST_BYTES = 64 * 1024
"""A dotted key costs the parser memory with the square of its length."""

_ENVIRONMENT = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")


def read_config(directory: Path) -> SetConfig:
    """What `directory`/dbmigration.toml says, or the defaults without one. Raises Permanent SOURCE_INVALID as `parse_config` does."""
    try:
        data = (directory / CONFIG_NAME).read_bytes()
    except FileNotFoundError:
        return SetConfig()
    except OSError as exc:
        raise Permanent(Reason.SOURCE_INVALID, f"cannot be read: {exc.strerror or exc}", place=Place(CONFIG_NAME)) from exc
    return parse_config(data)


def parse_config(data: bytes) -> SetConfig:
    """Raises Permanent SOURCE_INVALID for what is not TOML, for an unknown key and for a value of the wrong kind, naming the key."""
    import tomllib  # most sets have this file, but a set without one need not pay for the import

    if len(data) > _MOST_BYTES:
        message = f"has {len(data)} bytes, more than {_MOST_BYTES // 1024} KiB: it holds settings, and nothing else belongs into it"
        raise Permanent(Reason.SOURCE_INVALID, message, place=Place(CONFIG_NAME))
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except ValueError as exc:  # no UTF-8, no TOML, or a number of thousands of digits, which Python does not read
        place = Place(CONFIG_NAME, _error_line(str(exc)))
        raise Permanent(Reason.SOURCE_INVALID, f"is not TOML: {exc}", place=place) from exc
    except RecursionError:
        raise Permanent(Reason.SOURCE_INVALID, "is nested too deeply to be read", place=Place(CONFIG_NAME)) from None
    _refuse_unknown(document, ("layout", "environments", "history", "lint", "drift", "seeds"), "")
    return SetConfig(
        history=_history(document),
        environments=_environments(document),
        lint=_lint(document),
        lint_fail_on=_lint_fail_on(document),
        drift=_drift(document),
        layout=_layout(document),
        seeds=_seeds(document),
    )


def _layout(document: dict[str, Any]) -> Layout:
    name = document.get("layout", Layout.NUMBERED)
    if name not in list(Layout):
        _fail(f"layout must be one of {', '.join(Layout)}")
    return Layout(name)


def _history(document: dict[str, Any]) -> HistoryTable | None:
    table = document.get("history")
    if table is None:
        return None
    if not isinstance(table, dict):
        _fail('history must be a table: [history] with schema = "…" and table = "…"')
    _refuse_unknown(table, ("schema", "table"), "history.")
    default = HistoryTable()
    return HistoryTable(
        schema=_identifier(table.get("schema", default.schema), "history.schema"),
        table=_identifier(table.get("table", default.table), "history.table"),
    )


def _environments(document: dict[str, Any]) -> tuple[str, ...]:
    names = document.get("environments")
    if names is None:
        return DEFAULT_ENVIRONMENTS
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        _fail('environments must be a list of names, such as ["development", "staging", "production"]')
    for name in names:
        if not _ENVIRONMENT.fullmatch(name):
            _fail(f"environments holds {name!r}: a name has lower-case letters, digits, - and _ only")
    if len(set(names)) < len(names):
        _fail("environments names one twice")
    return tuple(names)


def _lint(document: dict[str, Any]) -> tuple[LintChoice, ...]:
    """The tables of [[lint.rules]]. Which rules there are is lint's to say."""
    table = document.get("lint", {})
    if not isinstance(table, dict):
        _fail("lint must be a table, with a [[lint.rules]] for each choice")
    _refuse_unknown(table, ("fail_on", "rules"), "lint.")
    choices = table.get("rules", [])
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        _fail("lint.rules must be tables: [[lint.rules]] with rule, severity and reason")
    return tuple(_lint_choice(choice) for choice in choices)


def _lint_fail_on(document: dict[str, Any]) -> str | None:
    fail_on = document.get("lint", {}).get("fail_on")
    if fail_on is None:
        return None
    if fail_on not in LINT_FAIL_ON:
        _fail(f"lint.fail_on must be one of {', '.join(LINT_FAIL_ON)}")
    return str(fail_on)


def _lint_choice(choice: dict[str, Any]) -> LintChoice:
    _refuse_unknown(choice, ("rule", "severity", "reason", "files"), "lint.rules.")
    rule, severity, reason, files = (choice.get(key) for key in ("rule", "severity", "reason", "files"))
    if not isinstance(rule, str) or not rule:
        _fail('lint.rules.rule must name a rule, such as "drop-column"')
    if severity not in LINT_SEVERITIES:
        _fail(f"lint.rules.severity of {rule} must be one of {', '.join(LINT_SEVERITIES)}")
    if not isinstance(reason, str) or not reason.strip():
        _fail(f"lint.rules.reason of {rule} must say why: nothing is waved through without")
    if files is not None and (not isinstance(files, list) or not files or not all(isinstance(name, str) for name in files)):
        _fail(f"lint.rules.files of {rule} must be a list of file names; leave it out for every file")
    return LintChoice(rule, str(severity), reason.strip(), tuple(files or ()))


def _drift(document: dict[str, Any]) -> DriftChoice:
    table = document.get("drift", {})
    if not isinstance(table, dict):
        _fail('drift must be a table: [drift] with policy = "…" and ignore = ["…"]')
    _refuse_unknown(table, ("policy", "ignore"), "drift.")
    policy, ignore = table.get("policy"), table.get("ignore", [])
    if policy is not None and policy not in DRIFT_POLICIES:
        _fail(f"drift.policy must be one of {', '.join(DRIFT_POLICIES)}")
    if not isinstance(ignore, list) or not all(isinstance(pattern, str) and pattern for pattern in ignore):
        _fail('drift.ignore must be a list of patterns, such as ["audit.*", "table public.events_p*"]')
    return DriftChoice(policy, tuple(ignore))


def _seeds(document: dict[str, Any]) -> str | None:
    table = document.get("seeds")
    if table is None:
        return None
    if not isinstance(table, dict) or not isinstance(table.get("directory"), str) or not table["directory"] or "\0" in table["directory"]:
        _fail('seeds must be a table: [seeds] with directory = "../seeds"')
    _refuse_unknown(table, ("directory",), "seeds.")
    return str(table["directory"])


def _identifier(value: object, key: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value or len(value.encode()) > IDENTIFIER_BYTES:
        _fail(f"{key} must be a name of 1 to {IDENTIFIER_BYTES} bytes")
    return value


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], prefix: str) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        names = ", ".join(prefix + key for key in known)
        _fail(f"unknown key {', '.join(prefix + key for key in unknown)}; known here: {names}")


def _error_line(text: str) -> int | None:
    found = re.search(r"at line (\d+)", text)
    return int(found[1]) if found else None


def _fail(message: str) -> NoReturn:
    raise Permanent(Reason.SOURCE_INVALID, message, place=Place(CONFIG_NAME))
