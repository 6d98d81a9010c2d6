"""A trace of a run for OpenTelemetry, where its variables ask for one: off by default, and nothing of it is imported then.

The spans are made and sent when the run is over, in one go: a collector that is slow or down cannot hold a run up. docs/traces.md names
every span and attribute. No SQL text is among them, and no value: names, numbers, reasons, and the messages that stand in the status.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from dbmigration.api.report import Outcome, Report
from dbmigration.api.restore_report import RestoreReport
from dbmigration.run.progress import OnProgress, Progress, Step
from dbmigration.run.timeline import Span, Timeline, Value
from dbmigration.run.trace_settings import PROTOCOL, protocol, timeout_s

if TYPE_CHECKING:
    from dbmigration.api.request import ResourceRef
    from dbmigration.postgres.conninfo import ConnInfo
    from dbmigration.run.otlp import Told, Trace
    from dbmigration.run.result import Done, RunResult

Attributes = dict[str, Value | None]

EXTRA: Final = "pip install 'dbmigration-operator[traces]'"
_SERVICE: Final = "dbmigration"
_CALLED: Final = {Step.BACKUP: "backup", Step.REHEARSE: "rehearsal"}


class RunTrace:
    """Is told every Progress of one run, and makes its trace at the end.

    `environ` has W3C's TRACEPARENT and TRACESTATE where the run is part of somebody's trace.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._timeline = Timeline()
        self._began = time.time_ns()
        self._asked_at = self._queued_since = self._began
        self._resource: dict[str, str] = {}
        self._trace: Trace | None = None
        self._problem: str | None = None

    def __call__(self, progress: Progress) -> None:
        self._timeline(progress)

    def beside(self, other: OnProgress) -> OnProgress:
        """Tells both."""

        def told(progress: Progress) -> None:
            self._timeline(progress)
            other(progress)

        return told

    def of_job(self, resource: "ResourceRef", job: str, *, asked_at: datetime | None, queued_since: datetime | None = None) -> None:
        """It runs for this resource. `asked_at`: when the operator made the Job, `queued_since`: since when it had waited for its turn."""
        self._asked_at = min(_ns(asked_at) if asked_at is not None else self._began, self._began)
        self._queued_since = min(_ns(queued_since) if queued_since is not None else self._asked_at, self._asked_at)
        self._resource = {
            "k8s.namespace.name": resource.namespace,
            "k8s.job.name": job,
            "dbmigration.resource": f"{resource.namespace}/{resource.name}",
        }
        if resource.cluster:
            self._resource["k8s.cluster.name"] = resource.cluster

    def end(
        self,
        work: str,
        report: Report | RestoreReport | Callable[[], Report],
        *,
        result: "RunResult | None" = None,
        conninfo: "ConnInfo | None" = None,
        attributes: Attributes | None = None,
    ) -> str | None:
        """The run is over. Returns the trace's id, None where there is none: `send` then says why, or the sampler left it out.

        `work`: what it did, like "apply". `result` has more about each file than the report. Whatever goes wrong fails no run.
        """
        self._timeline.end()
        ended = time.time_ns()
        if (asked := protocol(self._environ)) != PROTOCOL:
            self._problem = f"OTEL_EXPORTER_OTLP_PROTOCOL is {asked}, and only {PROTOCOL} is spoken here (a collector's port 4318)"
            return None
        try:
            from dbmigration.run.otlp import make_trace
        except ImportError:
            self._problem = f"OpenTelemetry is not installed: {EXTRA}"
            return None
        parent = {name: self._environ[name.upper()] for name in ("traceparent", "tracestate") if self._environ.get(name.upper())}
        try:
            told = report() if callable(report) else report
            root = self._root(work, ended, _About(told, result, conninfo), attributes or {})
            self._trace = make_trace(root, self._resource, {"service.name": _SERVICE}, parent)
        except Exception as error:  # noqa: BLE001 - what was done to the database is what counts
            self._problem = f"{type(error).__name__} while it was made"
            return None
        return self._trace.trace_id

    def send(self) -> str | None:
        """Why the collector does not have it, in one line; None when it does, or where there is nothing to send."""
        return self._trace.send(timeout_s(self._environ)) if self._trace is not None else self._problem

    def _root(self, work: str, ended: int, about: "_About", attributes: Attributes) -> "Told":
        from dbmigration.run.otlp import Told

        queued, asked = self._queued_since, self._asked_at
        waits = [Told("queue", queued, asked)] if queued < asked else []
        waits += [Told("pod start", asked, self._began)] if asked < self._began else []
        spans = self._timeline.spans
        steps = [about.step(span, last=span is spans[-1]) for span in spans]
        left_out: Attributes = {"dbmigration.files.left_out": self._timeline.left_out or None}
        whole = about.whole() | attributes | left_out
        return Told(f"dbmigration {work}", queued, ended, attributes=whole, children=[*waits, *steps], error=about.error)


class _About:
    """What the report says of the whole, of a step and of a file."""

    def __init__(self, report: Report | RestoreReport, result: "RunResult | None", conninfo: "ConnInfo | None") -> None:
        self._report = report
        failed = report.outcome is not Outcome.SUCCEEDED
        self._failure = report.failure
        self.error = report.message if failed else None
        self._database: Attributes = {"db.system.name": "postgresql"}
        if report.database is not None:
            self._database["db.namespace"] = report.database.name
        if conninfo is not None:
            port = str(conninfo.parameters.get("port", ""))
            self._database |= {"server.address": conninfo.parameters.get("host"), "server.port": int(port) if port.isdecimal() else None}
        self._checksums: dict[str, str | None] = {}
        if isinstance(report, Report):
            self._checksums = {each.name: each.checksum for each in (*report.migrations, *report.seeds)}
        self._done = _files_done(result) if result is not None else {}

    def whole(self) -> Attributes:
        report, failure = self._report, self._failure
        found: Attributes = {
            **self._database,
            "dbmigration.run.id": report.run_id,
            "dbmigration.outcome": report.outcome.value,
            "dbmigration.reason": report.reason.value,
            "dbmigration.server_version": report.database.server_version if report.database else None,
            "dbmigration.database.identity": report.database.identity if report.database else None,
        }
        if isinstance(report, Report):
            found |= {
                "dbmigration.environment": report.environment,
                "dbmigration.version": report.version,
                "dbmigration.plan.hash": report.plan_hash,
                "dbmigration.files.applied": len(report.applied_now),
                "dbmigration.files.rolled_back": len(report.rolled_back_now),
                "dbmigration.files.pending": report.pending,
                "dbmigration.source.digest": report.source_digest,
                "dbmigration.source.revision": report.source_revision,
            }
        return found | (self._failed(failure.file) if failure is not None else {})

    def step(self, span: Span, *, last: bool) -> "Told":
        from dbmigration.run.otlp import Told

        children = [self.file(each) for each in span.children]
        failed = self.error is not None and last and not span.finished
        error = self.error if failed else next((each.error for each in children if each.error is not None), None)
        attributes = self._of_step(span.step) | (self._failed(None) if failed and not children else {})
        name = _CALLED.get(span.step, span.name) if span.step is not None else span.name
        return Told(name, span.start, span.end, attributes=attributes, events=span.events, children=children, error=error)

    def file(self, span: Span) -> "Told":
        from dbmigration.run.otlp import Told

        name = span.file or ""
        attributes: Attributes = {**self._database, "dbmigration.file.name": name, "dbmigration.file.checksum": self._checksums.get(name)}
        done = self._done.get((span.step, name)) if span.step is not None else None
        if done is not None:
            attributes |= {
                "dbmigration.file.statements": done.statements,
                "dbmigration.file.attempts": done.attempts,
                "dbmigration.file.duration_ms": done.duration_ms,
                "dbmigration.file.transactional": done.transactional,
                "dbmigration.file.verified": done.verified,
                "dbmigration.file.held": "; ".join(map(str, done.held)) or None,
            }
        cut = not span.finished and self.error is not None
        if cut:
            attributes |= self._failed(name)
        error = self.error if cut else None
        return Told(span.name, span.start, span.end, attributes=attributes, events=span.events, error=error, client=True)

    def _failed(self, file: str | None) -> Attributes:
        """What stopped it. `file`: whose span it is."""
        failure = self._failure
        if failure is None:
            return {"error.type": self._report.reason.value}
        found: Attributes = {"error.type": failure.reason.value, "db.response.status_code": failure.sqlstate}
        if file is not None and failure.file is not None:
            found |= {"dbmigration.failure.file": failure.file, "dbmigration.failure.line": failure.line}
        return found

    def _of_step(self, step: Step | None) -> Attributes:
        report = self._report
        record = report.backup
        if step in (Step.BACKUP, Step.RESTORE) and record is not None:
            return {
                "dbmigration.backup.uri": record.uri,
                "dbmigration.backup.bytes": record.bytes,
                "dbmigration.backup.sha256": record.sha256,
                "dbmigration.backup.verified": record.verified,
            }
        if isinstance(report, Report) and step is Step.LINT:
            return {"dbmigration.lint.findings": report.lint_count}
        if isinstance(report, Report) and step is Step.DRIFT and report.schema_compared:
            return {"dbmigration.schema.differences": report.drift_count}
        if isinstance(report, Report) and step is Step.REHEARSE and report.rehearsal is not None:
            tried = report.rehearsal
            return {"dbmigration.rehearsal.passed": tried.passed, "dbmigration.rehearsal.restore_ms": tried.restore_ms}
        return {}


def _files_done(result: "RunResult") -> "dict[tuple[Step, str], Done]":
    by_step = {
        Step.APPLY: result.applied,
        Step.SEED: result.seeded,
        Step.ROLLBACK: (*result.rolled_back, *result.undone),
        Step.REHEARSE: result.rehearsal.files if result.rehearsal is not None else (),
    }
    return {(step, done.name): done for step, files in by_step.items() for done in files}


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
