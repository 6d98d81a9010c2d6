"""What the operator tells Prometheus: gauges of every resource, counters of what it did. docs/metrics.md names each.

A resource's series go when it goes. Labels are names of resources, and words of which there is a fixed number.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from threading import Lock
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dbmigration.api.report import Outcome
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.status import RunStatus, Status
from dbmigration.decide.figures import GAUGES, Figure, figures_of
from dbmigration.decide.restoring.figures import RESTORE_GAUGES, restore_figures_of
from dbmigration.handlers.index import ResourceKey, RestoreKey
from dbmigration.handlers.queue import WorkQueue
from dbmigration.kube.resources import read_status

_OF_RESOURCE: Final = ("namespace", "name")
_ALL_GAUGES: Final = (*GAUGES, *RESTORE_GAUGES)
_RUN_BUCKETS: Final = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_STEP_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 5, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


class Metrics(Collector):
    """All of them, in a registry of its own. Safe to use from several threads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter that nobody asks for
        self.registry = CollectorRegistry(auto_describe=False)
        self._lock = Lock()
        self._figures: dict[ResourceKey | RestoreKey, tuple[Figure, ...]] = {}
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self._runs = self._counter("dbmigration_runs", "Attempts that ended.", (*_OF_RESOURCE, "outcome", "reason"))
        self._lock_waits = self._counter("dbmigration_lock_waits", "Locks that a file waited a second or longer for.", _OF_RESOURCE)
        self._lock_wait_seconds = self._counter("dbmigration_lock_wait_seconds", "How long files waited for locks.", _OF_RESOURCE)
        self._run_seconds = self._histogram("dbmigration_run_duration_seconds", "From Job to stored result.", ("outcome",), _RUN_BUCKETS)
        for outcome in Outcome:
            self._run_seconds.labels(outcome.value)  # from 0 on: Prometheus sees no increase in a series that begins with its first event
        self._restores = self._counter(
            "dbmigration_restore_runs",
            "Attempts at a step of a DatabaseRestore that ended.",
            ("namespace", "migration", "step", "outcome", "reason"),
        )
        self._restore_seconds = self._histogram(
            "dbmigration_restore_run_duration_seconds", "From Job to stored result.", ("step", "outcome"), _RUN_BUCKETS
        )
        for step, outcome in product(RestoreStep, Outcome):
            self._restore_seconds.labels(step.value, outcome.value)
        self._step_seconds = self._histogram("dbmigration_run_step_duration_seconds", "Steps of runs.", ("step",), _STEP_BUCKETS)
        self._reconcile = self._histogram(
            "dbmigration_operator_reconcile_duration_seconds", "Looks at a resource.", ("result",), _REQUEST_BUCKETS
        )
        self._requests = self._counter(
            "dbmigration_operator_api_requests", "Requests to the API server, watches excepted.", ("verb", "resource", "code")
        )
        self._request_seconds = self._histogram(
            "dbmigration_operator_api_request_duration_seconds", "How long the API server took for them.", ("verb",), _REQUEST_BUCKETS
        )

    def resource_seen(self, key: ResourceKey, body: Mapping[str, Any]) -> None:
        """It is so now, as a watch event told."""
        environment = str((body.get("spec") or {}).get("environment", ""))
        figures = tuple(figures_of(read_status(Status, dict(body.get("status") or {})), environment))
        with self._lock:
            self._figures[key] = figures

    def resource_gone(self, key: ResourceKey) -> None:
        """Its series end."""
        with self._lock:
            self._figures.pop(key, None)
        labels = {"namespace": key.namespace, "name": key.name}
        for counter in (self._runs, self._lock_waits, self._lock_wait_seconds):
            counter.remove_by_labels(labels)
        self._restores.remove_by_labels({"namespace": key.namespace, "migration": key.name})

    def restore_seen(self, key: RestoreKey, body: Mapping[str, Any]) -> None:
        """It is so now, as a watch event told."""
        figures = tuple(restore_figures_of(read_status(RestoreStatus, dict(body.get("status") or {}))))
        with self._lock:
            self._figures[key] = figures

    def restore_gone(self, key: RestoreKey) -> None:
        """Its series end. What is counted stays with its DatabaseMigration."""
        with self._lock:
            self._figures.pop(key, None)

    def step_ended(self, migration: ResourceKey, run: RestoreRunStatus) -> None:
        """The result of a step of a DatabaseRestore is stored."""
        step, outcome = run.step.value, str(run.outcome)
        self._restores.labels(migration.namespace, migration.name, step, outcome, str(run.reason)).inc()
        if run.finished_at is not None:
            self._restore_seconds.labels(step, outcome).observe((run.finished_at - run.started_at).total_seconds())

    def run_ended(self, key: ResourceKey, run: RunStatus) -> None:
        """Its result is stored."""
        outcome, reason = str(run.outcome), str(run.reason)
        self._runs.labels(key.namespace, key.name, outcome, reason).inc()
        self._lock_waits.labels(key.namespace, key.name).inc(run.lock_waits)
        self._lock_wait_seconds.labels(key.namespace, key.name).inc(run.lock_wait_ms / 1000)
        if run.finished_at is not None:
            self._run_seconds.labels(outcome).observe((run.finished_at - run.started_at).total_seconds())
        for step, milliseconds in run.steps_ms.items():
            self._step_seconds.labels(step).observe(milliseconds / 1000)

    def reconciled(self, result: str, seconds: float) -> None:
        """`result`: done, gone, conflict, again or failed."""
        self._reconcile.labels(result).observe(seconds)

    def asked(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """The API server answered; `code` 0: it did not."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def watch_queue(self, queue: WorkQueue[Any]) -> None:
        """Tell how much is in it."""
        depth = Gauge("dbmigration_operator_queue_depth", "Resources that wait for a look.", registry=self.registry)
        depth.set_function(lambda: queue.depth)
        busy = Gauge("dbmigration_operator_queue_busy", "Resources that are looked at.", registry=self.registry)
        busy.set_function(lambda: queue.busy)

    def serve(self, port: int) -> None:
        """Answer on this port from now on, in a thread that ends with the process. Raises OSError for a port that is taken."""
        start_http_server(port, registry=self.registry)

    def collect(self) -> Iterator[Metric]:
        """The gauges of all resources as they are now."""
        with self._lock:
            found = tuple(self._figures.items())
        families = {gauge: GaugeMetricFamily(gauge.name, gauge.help, labels=(*_OF_RESOURCE, *gauge.labels)) for gauge in _ALL_GAUGES}
        for key, figures in found:
            for figure in figures:
                families[figure.gauge].add_metric((key.namespace, key.name, *figure.labels), figure.value)
        yield from families.values()
        known = sum(isinstance(key, ResourceKey) for key, _ in found)
        yield GaugeMetricFamily("dbmigration_operator_resources", "DatabaseMigrations that the operator knows.", value=known)

    def _counter(self, name: str, text: str, labels: Iterable[str]) -> Counter:
        return Counter(name, text, tuple(labels), registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        return Histogram(name, text, tuple(labels), buckets=tuple(buckets), registry=self.registry)
