"""What a set and a report say about drift."""

from datetime import UTC, datetime

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import TERMINATION_LIMIT, Outcome, Report
from dbmigration.catalog.compare import Change, Drift
from dbmigration.errors import Permanent
from dbmigration.migrations.config import DRIFT_POLICIES, parse_config
from dbmigration.migrations.model import DriftChoice
from dbmigration.run.options import DriftPolicy
from dbmigration.run.reporting import DRIFT_LINE_LIMIT, DRIFT_LINES, build_report
from dbmigration.run.result import RunResult
from dbmigration.run.truth import drifted, policy_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_set_may_choose_a_policy_and_what_to_ignore() -> None:
    assert parse_config(b"").drift == DriftChoice()
    found = parse_config(b'[drift]\npolicy = "refuse"\nignore = ["audit.*", "schema x"]\n').drift
    assert found == DriftChoice("refuse", ("audit.*", "schema x"))


@pytest.mark.parametrize(
    "text",
    [
        'drift = "off"',
        '[drift]\npolicy = "maybe"',
        '[drift]\nignore = "x"',
        '[drift]\nignore = [""]',
        "[drift]\nignore = [1]",
        "[drift]\nx = 1",
    ],
)
def test_a_bad_choice_is_refused(text: str) -> None:
    with pytest.raises(Permanent) as caught:
        parse_config(text.encode())
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert "drift" in caught.value.message


def test_the_words_of_the_file_are_those_of_the_command_line() -> None:
    assert tuple(policy.value for policy in DriftPolicy) == DRIFT_POLICIES


@pytest.mark.parametrize(
    ("asked", "chosen", "policy"),
    [
        (None, None, DriftPolicy.REPORT),
        (None, "off", DriftPolicy.OFF),
        (DriftPolicy.REFUSE, "off", DriftPolicy.REFUSE),
        (DriftPolicy.OFF, None, DriftPolicy.OFF),
    ],
)
def test_what_was_asked_for_wins_over_the_file(asked: DriftPolicy | None, chosen: str | None, policy: DriftPolicy) -> None:
    assert policy_of(asked, DriftChoice(chosen)) is policy


def test_a_report_names_the_first_differences_and_counts_all() -> None:
    drift = tuple(Drift("function", f"f{n}()", Change.CHANGED, "definition", "a" * 900, "b" * 900) for n in range(DRIFT_LINES + 7))
    report = build_report(RunResult("run", NOW, drift=drift), environment=None)
    assert (len(report.drift), report.drift_count) == (DRIFT_LINES, DRIFT_LINES + 7)
    assert max(len(line) for line in report.drift) <= DRIFT_LINE_LIMIT


def test_drift_never_makes_a_summary_too_long_for_a_termination_message() -> None:
    report = Report(
        run_id="r", outcome=Outcome.SUCCEEDED, reason=Reason.UP_TO_DATE, message="m", started_at=NOW, finished_at=NOW,
        drift=("x" * DRIFT_LINE_LIMIT,) * DRIFT_LINES, drift_count=DRIFT_LINES,
    )  # fmt: skip
    summary = report.summary()
    assert len(summary.to_json().encode()) <= TERMINATION_LIMIT
    assert (summary.truncated, summary.drift_count) == (True, DRIFT_LINES)


def test_a_refusal_names_a_few_and_counts_the_rest() -> None:
    drift = tuple(Drift("table", f"t{n}", Change.ADDED) for n in range(8))
    message = drifted(drift).message
    assert ("table t4 added" in message, "t5" in message, "3 more" in message) == (True, False, True)
