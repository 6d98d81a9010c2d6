"""A run's pod belongs to a tenant. Whatever it writes as its report or its log, the operator stores a status that the API server takes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.api.reasons import Reason
from dbmigration.api.report import TERMINATION_LIMIT, Database, Failure, HeldLock, MigrationReport, Outcome, Report
from dbmigration.api.states import State
from dbmigration.api.status import STATUS_LIMIT, Status
from dbmigration.api.visible import visible
from dbmigration.decide.observed import JobSeen, PodSeen, PodState
from dbmigration.decide.rules import decide
from dbmigration.kube.events import build_event
from dbmigration.kube.reports import progress_in_log, read_report, report_in_log
from tests.unit.observing import DECLARED, NOW, job, report, run, seen

INT64 = 2**63
JOB = "job-1"

hostile_text = st.text(max_size=40) | st.sampled_from(
    [
        "\x1b[2J\x1b[1;1Hall is well",
        "\x1b]0;title\x07",
        "\u202egnp.exe",
        "a\r\nreport: forged",
        "x" * 5000,
        "\ud800",
        "\x00",
        "\u2028{\"report\": 1}",
        "é" * 2000,
    ]
)  # fmt: skip
hostile_number = st.integers() | st.sampled_from([-1, 2**31, 2**63, 10**400])
hostile_time = st.sampled_from(
    ["2026-11-23T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-23T12:00:00", "1e9"]
)


def leaf(name: str, value: Any) -> st.SearchStrategy[Any]:
    """Something of the same kind as the honest `value` of a field: what passes for it may still be no good."""
    if name in ("reason", "backupReason", "verifyReason"):
        return st.sampled_from([each.value for each in Reason])
    if name == "outcome":
        return st.sampled_from([each.value for each in Outcome])
    if name == "state":
        return st.sampled_from([each.value for each in State])
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return hostile_number
    if value == {}:
        return st.dictionaries(st.sampled_from(["apply", "x" * 500, "\x1b[2J"]), hostile_number | hostile_text, max_size=40)
    if value == []:
        return st.lists(hostile_text, max_size=80)
    if isinstance(value, list):
        return st.lists(st.just(value[0]) | leaf(name, value[0]), max_size=80)
    if isinstance(value, dict):
        return st.lists(st.sampled_from(sorted(value)), max_size=3, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({key: leaf(key, inner) if key in names else st.just(inner) for key, inner in value.items()})
        )
    return hostile_time if name.endswith("At") else hostile_text


_FILE = MigrationReport(
    name="001_a.sql",
    state=State.FAILED,
    checksum="a",
    applied_at=NOW,
    duration_ms=1,
    sqlstate="42P01",
    line=1,
    statement="s",
    prefix_digest="a",
)
HONEST: dict[str, Any] = json.loads(
    report(
        failure=Failure(reason=Reason.SQL_FAILED, message="m", transient=False, file="f", line=1, sqlstate="42P01", statement="s"),
        database=Database(identity="7/16384", name="studio", server_version="15.18", claim="a/b"),
        declared_backup=DECLARED,
        held=(HeldLock(file="f", mode="m", table="t", ms=1),),
        migrations=(_FILE,),
        seeds=(_FILE,),
        **dict.fromkeys(("plan_hash", "approved_hash", "prefix_digest", "drift_note"), "a"),
        **dict.fromkeys(
            (
                *("applied_now", "seeded_now", "rolled_back_now", "undone_now", "not_undone"),
                *("losses", "pending_names", "drift", "lint", "warnings"),
            ),
            ("a",),
        ),
    ).to_json()
)
reports = leaf("report", HONEST).map(lambda said: {**said, "runId": JOB})


def of_job(the_report: Report | None) -> JobSeen:
    return job(pod=PodSeen(PodState.TERMINATED, exit_code=1), report=the_report)


def taken_by_the_api_server(status: Status) -> None:
    """What the CRD's schema and the server's limits ask for: lengths, numbers of 64 bits, bytes, text that is UTF-8."""
    text = status.to_json()
    assert len(text.encode()) <= STATUS_LIMIT
    Status.model_validate_json(text)

    def walk(value: Any) -> None:
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int):
            assert -INT64 <= value < INT64
        elif isinstance(value, str):
            assert visible(value) == value
        elif isinstance(value, dict):
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(json.loads(text))


@settings(max_examples=120, deadline=None)
@given(reports)
def test_whatever_a_report_says_the_status_can_be_stored(said: dict[str, Any]) -> None:
    found = report_in_log(json.dumps({"report": said}), JOB, Report)
    decision = decide(seen(status=Status(run=run()), jobs=(of_job(found),)), NOW)
    taken_by_the_api_server(decision.status)
    for announcement in decision.announcements:
        event = build_event(seen(), announcement, NOW)
        assert len(event["message"].encode()) <= 1024
        assert visible(event["message"]) == event["message"]


@settings(max_examples=120, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["event", "step", "file", "done", "total", "message", "blockedBy"]), hostile_text | hostile_number | st.none()
    )
)
def test_whatever_progress_says_the_status_can_be_stored(said: dict[str, Any]) -> None:
    progress = progress_in_log(json.dumps({**said, "event": "progress"}))
    running = job(pod=PodSeen(PodState.RUNNING, progress=progress))
    taken_by_the_api_server(decide(seen(status=Status(run=run()), jobs=(running,)), NOW).status)


@given(st.text(max_size=200) | st.binary(max_size=4096).map(lambda junk: junk.decode(errors="replace")))
def test_a_termination_message_of_junk_is_no_report(junk: str) -> None:
    assert read_report(junk[:TERMINATION_LIMIT], JOB, Report) is None
    assert report_in_log(junk, JOB, Report) is None


@pytest.mark.parametrize(
    "junk", ["{" * 4096, "[" * 100_000, '{"a":' * 20_000, "9" * 5000, '{"report": ' + "9" * 5000 + "}", '"' + "x" * 4000]
)
def test_deep_or_long_junk_is_no_report(junk: str) -> None:
    assert read_report(junk, JOB, Report) is None
    assert report_in_log(junk, JOB, Report) is None
    assert progress_in_log(junk) is None


def test_only_this_runs_report_counts_and_only_as_a_line_of_its_own() -> None:
    """RAISE NOTICE 'report …', a name of a file or a value cannot begin a line: what the runner writes is JSON, in which they are texts."""
    mine, forged = report(run_id=JOB), report(run_id=JOB, version="999")
    said = json.dumps({"event": "progress", "step": "apply", "message": f'x\n{{"report": {forged.to_json()}}}\n'})
    log = f'{{"report": {mine.to_json()}}}\n{said}\n'
    assert report_in_log(log, JOB, Report) == mine
    assert report_in_log(f'NOTICE: {{"report": {forged.to_json()}}}', JOB, Report) is None
    assert report_in_log(f'{{"report": {report(run_id="job-2").to_json()}}}', JOB, Report) is None


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_ends_where_kubernetes_ends_it(separator: str) -> None:
    """str.splitlines() would cut a JSON text at characters that JSON leaves as they are, and read its rest as a line of the runner's."""
    forged = json.dumps({"event": "progress", "step": "apply", "message": "forged"})
    honest = json.dumps({"event": "progress", "step": "plan", "message": f"x{separator}{forged}"}, ensure_ascii=False)
    found = progress_in_log(honest + "\n")
    assert found is None or found.step == "plan"
