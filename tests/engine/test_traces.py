"""The trace of a run, as a collector gets it: from the command line, on a real PostgreSQL, over OTLP."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Failure, Outcome
from dbmigration.api.request import ResourceRef
from dbmigration.api.restore_report import RestoreReport
from dbmigration.run.progress import Progress, Step
from dbmigration.run.tracing import RunTrace
from tests.engine.command_line import dbmigration, environment_of, succeeds
from tests.engine.conftest import Database
from tests.engine.otlp import Collector, Sent, collector
from tests.engine.server import PASSWORD
from tests.engine.support import start_apply

HEADER = "-- Migration: {name}\n-- Purpose: a test\n-- Dependencies: none\n-- Rollback: rollback-{number}.sql\n"
SECRET = "correct horse battery staple"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collecting() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations and a seed."""
    made = tmp_path / "migrations"
    (made / "seeds").mkdir(parents=True)
    write(made, "001_orders", "CREATE TABLE orders (id int PRIMARY KEY, note text);\nINSERT INTO orders VALUES (1, 'x');")
    write(made, "002_state", "ALTER TABLE orders ADD COLUMN state text;")
    (made / "verify-002.sql").write_text("SELECT count(*) = 1 FROM orders;\n")
    return made


def write(folder: Path, name: str, body: str) -> None:
    number = name.partition("_")[0]
    (folder / f"{name}.sql").write_text(f"{HEADER.format(name=name, number=number)}{body}\n")
    (folder / f"rollback-{number}.sql").write_text("SELECT 1;\n")


def asking(collecting: Collector, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collecting.endpoint, **more}


def children(of: Sent, spans: list[Sent]) -> list[Sent]:
    return sorted((span for span in spans if span.parent == of.id), key=lambda span: span.start)


def test_a_run_is_one_trace_with_its_steps_and_files(database: Database, folder: Path, tmp_path: Path, collecting: Collector) -> None:
    words = ("apply", "--dir", str(folder), "--environment", "staging", "--backup-dir", str(tmp_path / "backups"))
    ended = succeeds(database, *words, changes=asking(collecting))
    root = collecting.span("dbmigration apply")
    assert f"trace {root.trace}\n" in ended.err
    assert {span.trace for span in collecting.spans} == {root.trace}
    assert root.parent == ""
    steps = children(root, collecting.spans)
    assert [step.name for step in steps if step.name not in ("drift", "check", "lint")] == ["connect", "plan", "backup", "apply", "finish"]
    assert all(root.start <= step.start <= step.end <= root.end for step in steps)
    assert all(before.end <= after.start for before, after in pairwise(steps))
    assert all(span.error is None for span in collecting.spans)
    expected = {
        "db.system.name": "postgresql",
        "db.namespace": database.name,
        "server.address": "127.0.0.1",
        "server.port": database.server.port,
        "dbmigration.environment": "staging",
        "dbmigration.outcome": "Succeeded",
        "dbmigration.reason": Reason.UP_TO_DATE,
        "dbmigration.version": "002",
        "dbmigration.files.applied": 2,
        "dbmigration.files.pending": 0,
    }
    assert expected.items() <= root.attributes.items()
    assert root.resource["service.name"] == "dbmigration"
    backup = collecting.span("backup").attributes
    assert backup["dbmigration.backup.verified"] is True
    assert backup["dbmigration.backup.uri"].endswith(".dump")
    first, second = children(collecting.span("apply"), collecting.spans)
    assert [first.name, second.name] == ["apply 001_orders.sql", "apply 002_state.sql"]
    assert {"SPAN_KIND_CLIENT"} == {first.kind, second.kind}
    assert (first.attributes["dbmigration.file.statements"], first.attributes["dbmigration.file.verified"]) == (2, False)
    assert (second.attributes["dbmigration.file.statements"], second.attributes["dbmigration.file.verified"]) == (1, True)
    assert len(first.attributes["dbmigration.file.checksum"]) == 64


def test_it_joins_the_trace_that_traceparent_names_and_takes_opentelemetrys_variables(
    database: Database, folder: Path, collecting: Collector
) -> None:
    changes = asking(
        collecting,
        TRACEPARENT=f"00-{TRACE}-{PARENT}-01",
        OTEL_EXPORTER_OTLP_HEADERS="x-token=abc",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=qa,service.name=shop",
    )
    ended = succeeds(database, "apply", "--dir", str(folder), "--no-backup", "--json", changes=changes)
    root = collecting.span("dbmigration apply")
    assert (root.trace, root.parent) == (TRACE, PARENT)
    assert json.loads(ended.out)["traceId"] == TRACE
    assert (root.resource["service.name"], root.resource["deployment.environment.name"]) == ("shop", "qa")
    assert {(headers["x-token"], headers["Content-Encoding"]) for headers in collecting.headers} == {("abc", "gzip")}


def test_a_trace_that_its_caller_does_not_sample_is_not_sent(database: Database, folder: Path, collecting: Collector) -> None:
    changes = asking(collecting, TRACEPARENT=f"00-{TRACE}-{PARENT}-00")
    ended = succeeds(database, "apply", "--dir", str(folder), "--no-backup", changes=changes)
    assert collecting.bodies == []
    assert "trace" not in ended.err


def test_a_failed_file_says_reason_and_sqlstate_and_nothing_of_its_text(database: Database, folder: Path, collecting: Collector) -> None:
    write(folder, "003_broken", f"INSERT INTO orders VALUES (2, '{SECRET}');\nINSERT INTO orders VALUES (1, '{SECRET}');")
    ended = dbmigration(database, "apply", "--dir", str(folder), "--no-backup", changes=asking(collecting))
    assert ended.status == 1
    root, file = collecting.span("dbmigration apply"), collecting.span("apply 003_broken.sql")
    for span in (root, file):
        assert (span.attributes["error.type"], span.attributes["db.response.status_code"]) == (Reason.SQL_FAILED, "23505")
        assert (span.attributes["dbmigration.failure.file"], span.attributes["dbmigration.failure.line"]) == ("003_broken.sql", 6)
        assert span.error is not None
    assert collecting.span("apply").error is not None
    assert collecting.span("apply 002_state.sql").error is None
    sent = b"".join(collecting.bodies)
    for hidden in (SECRET, PASSWORD, "INSERT", "(2, "):
        assert hidden.encode() not in sent


def test_a_wait_for_a_lock_is_an_event_that_names_who_held_it(database: Database, folder: Path, collecting: Collector) -> None:
    succeeds(database, "apply", "--dir", str(folder), "--no-backup", "--target", "001")
    with database.connect("nightly-report") as report:
        report.query("BEGIN")
        report.query("SELECT FROM orders")
        process = start_apply(database, folder, "--lock-timeout", "60s", environ=asking(collecting))
        assert process.stdout is not None
        assert any("nightly-report" in line for line in process.stdout), "the run ended without having waited"
        report.query("ROLLBACK")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    events = collecting.span("apply 002_state.sql").events
    names = [name for name, _ in events]
    assert names.index("lock wait") < names.index("lock wait over")
    assert "nightly-report" in dict(events)["lock wait"]["dbmigration.blocked_by"]
    assert dict(events)["lock wait over"]["dbmigration.lock_wait_ms"] >= 0


def test_a_collector_that_is_down_or_refuses_fails_no_run_and_is_one_line(database: Database, folder: Path, collecting: Collector) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    collecting.status = 401
    for endpoint, number in ((nobody, "001"), (collecting.endpoint, "002")):
        words = ("apply", "--dir", str(folder), "--no-backup", "--target", number)
        ended = succeeds(database, *words, changes={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        (line,) = ended.err.splitlines()
        assert line.startswith("trace not sent: ")
        assert f"version {number}" in ended.out


def test_a_collector_that_never_answers_is_left_behind(database: Database, folder: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        changes = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "OTEL_EXPORTER_OTLP_TIMEOUT": "200"}
        ended = succeeds(database, "apply", "--dir", str(folder), "--no-backup", changes=changes)
    (line,) = ended.err.splitlines()
    assert line.startswith("trace not sent: ")


def test_the_trace_of_a_job_begins_when_it_was_asked_for_and_shows_what_cannot_be_seen(
    collecting: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of a DatabaseRestore, whose server calls itself what a terminal would obey and no message can hold."""
    began = datetime.now(UTC)
    for name, value in asking(collecting, OTEL_RESOURCE_ATTRIBUTES="k8s.namespace.name=elsewhere").items():
        monkeypatch.setenv(name, value)
    trace = RunTrace(os.environ)
    asked_at, queued_since = began - timedelta(seconds=4), began - timedelta(seconds=60)
    trace.of_job(
        ResourceRef(namespace="apps", name="back", uid="u", cluster="rome"), "back-1", asked_at=asked_at, queued_since=queued_since
    )
    trace(Progress(Step.RESTORE, "restoring \x1b[2J\ud800", notice=True))
    report = RestoreReport(
        run_id="back-1",
        outcome=Outcome.FAILED,
        reason=Reason.RESTORE_FAILED,
        message="no \x1b[2J",
        failure=Failure(reason=Reason.RESTORE_FAILED, message="no", transient=False),
        started_at=began,
        finished_at=began,
    )
    trace_id = trace.end("restore", report)
    assert trace.send() is None
    root, queue, start, step = (collecting.span(name) for name in ("dbmigration restore", "queue", "pod start", "restore"))
    assert {span.trace for span in collecting.spans} == {trace_id}
    assert [round(span.end - span.start, -9) // 10**9 for span in (queue, start)] == [56, 4]
    assert (root.start, queue.end) == (queue.start, start.start)
    assert (root.error, step.error) == ("no \\u001b[2J", "no \\u001b[2J")
    assert root.attributes["error.type"] == Reason.RESTORE_FAILED
    assert step.events == [("notice", {"message": "restoring \\u001b[2J\\ud800"})]
    told = {"k8s.namespace.name": "apps", "k8s.job.name": "back-1", "k8s.cluster.name": "rome", "dbmigration.resource": "apps/back"}
    assert told.items() <= root.resource.items()


def test_grpc_is_refused_in_words(database: Database, folder: Path, collecting: Collector) -> None:
    changes = asking(collecting, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    ended = succeeds(database, "apply", "--dir", str(folder), "--no-backup", changes=changes)
    assert "http/protobuf" in ended.err
    assert collecting.bodies == []


def test_nothing_of_opentelemetry_is_imported_where_no_trace_is_asked_for(database: Database, folder: Path) -> None:
    code = (
        "import sys\nfrom dbmigration.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print('found', *sorted(n for n in sys.modules if n.startswith(('opentelemetry', 'dbmigration.run.t'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "apply", "--dir", str(folder), "--no-backup"],
        env=environment_of(database),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "found"
    assert "dbmigration.run.trace_settings" in loaded
    assert not [name for name in loaded if name.startswith(("opentelemetry", "dbmigration.run.tracing", "dbmigration.run.timeline"))]
