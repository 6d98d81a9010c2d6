"""The operator with many resources: what it takes and writes when all are finished, how it starts, and a hundred changed at once."""

import json
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from tests.bench.table import Row
from tests.cluster.choose import chosen_cluster
from tests.cluster.interface import Cluster
from tests.cluster.operator import install_operator
from tests.cluster.postgres import start_postgres
from tests.cluster.steps import wait_until
from tests.e2e.prometheus import Sample, parsed, scrape, total
from tests.e2e.restart import restart_operator

IDLE_SECONDS: Final = 600
FINISHED: Final = 1000
AT_ONCE: Final = 100
DEADLINE: Final = 1800
FILES: Final = {"001_first.sql": "CREATE TABLE first (id int);"}
Json = dict[str, Any]


def many_finished() -> Iterator[Row]:
    """One run makes the first; the others are copies of it, status and all, as a restored etcd would have them."""
    command = "make bench ONLY=many_finished"
    with _Place() as here:
        here.make(1)
        here.kubectl("wait", "dbm", "--all", "--for=condition=Ready", f"--timeout={DEADLINE}s")
        here.copy(FINISHED - 1)
        wait_until("the operator knows all", lambda: here.known() >= FINISHED, seconds=DEADLINE)
        here.wait_quiet()
        began = time.perf_counter()
        restart_operator(here.cluster, here.operator)
        wait_until("the operator knows all", lambda: here.known() >= FINISHED, seconds=DEADLINE)
        knows = time.perf_counter() - began
        here.wait_quiet()
        looked = time.perf_counter() - began
        memory = total(here.scrape(), "process_resident_memory_bytes") / 1e6
        before = here.status_writes()
        time.sleep(IDLE_SECONDS)
        at_server, own, jobs = here.status_writes() - before, here.own_writes(), len(here.items("jobs"))
        later = total(here.scrape(), "process_resident_memory_bytes") / 1e6
    what = f"{FINISHED:,} finished resources"
    yield Row(
        f"{what}: memory of the operator", "the operator", f"{memory:.0f} MB, {later:.0f} MB ten minutes later", "", "", "≤ 256 MB", command
    )
    started = f"{knows:.1f} s from the end of its pod until it knows all, {looked:.1f} s until it has looked at each"
    yield Row(f"{what}: start of the operator", "the operator", started, "", "", "", command)
    written = f"{at_server:.0f} of status (API server's count), {own:.0f} in all since its start (its own count), {jobs - 1} new Jobs"
    yield Row(f"{what}: writes in ten idle minutes", "the operator", written, "", "", "0", command)


def at_once() -> Iterator[Row]:
    """All are let go in the same moment. The peer is the same Jobs as the operator made, without it, on fresh databases."""
    with _Place() as here:
        here.make(AT_ONCE, suspend=True)
        here.kubectl("wait", "dbm", "--all", "--for=jsonpath={.status.observedGeneration}=1", f"--timeout={DEADLINE}s")
        here.wait_quiet()
        began = datetime.now(UTC)
        here.put([_resource(number, suspend=False) for number in range(AT_ONCE)])
        here.kubectl("wait", "dbm", "--all", "--for=condition=Ready", f"--timeout={DEADLINE}s")
        ready = [_seconds(began, item["status"]["lastSuccessAt"]) for item in here.items("dbm")]
        restarts = here.restarts()
        alone = [_alone(job) for job in here.items("jobs")]
        here.kubectl("delete", "dbm", "--all", "--cascade=foreground", f"--timeout={DEADLINE}s")
        here.make_databases(AT_ONCE)
        here.wait_quiet()
        began = datetime.now(UTC)
        here.put(alone)
        here.kubectl("wait", "jobs", "-l", "bench=peer", "--for=condition=Complete", f"--timeout={DEADLINE}s")
        jobs = [_seconds(began, item["status"]["completionTime"]) for item in here.items("jobs", "-l", "bench=peer")]
    ours, peer = _percentiles(ready), _percentiles(jobs)
    yield Row(
        f"{AT_ONCE} resources let go at once, to Ready",
        "DatabaseMigration",
        f"p50 {ours[0]:.0f} s, p99 {ours[1]:.0f} s, the operator restarted {restarts} times",
        f"their Jobs alone, at once on fresh databases, to Complete: p50 {peer[0]:.0f} s, p99 {peer[1]:.0f} s",
        f"{ours[0] / peer[0]:.2f}, {ours[1] / peer[1]:.2f}",
        "",
        "make bench ONLY=at_once",
    )


class _Place:
    """A namespace with a server, in a cluster with the operator."""

    def __init__(self) -> None:
        self.cluster: Cluster = chosen_cluster()
        self._started_here = not self.cluster.running()
        self.cluster.create()
        self.cluster.load_images()
        self.operator = install_operator(self.cluster)
        self._name = f"bench-{secrets.token_hex(3)}"

    def __enter__(self) -> Self:
        self.cluster.kubectl("create", "namespace", self._name)
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        self._database = start_postgres(
            self.cluster, self._name, user="postgres", arguments=["-c", "max_connections=300"], timeout_seconds=300
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cluster.kubectl("delete", "namespace", self._name, "--wait=false")
        if self._started_here:
            self.cluster.delete()

    def kubectl(self, *words: str, **options: Any) -> str:
        return self.cluster.kubectl("-n", self._name, *words, **options)

    def make(self, number: int, *, suspend: bool = False) -> None:
        """So many resources, each with a database of its own on the one server."""
        self.make_databases(number)
        keys = {"host": self._database.name, "user": "postgres", "password": self._database.password}
        secret = [_object("Secret", f"m{at}", stringData=keys | {"dbname": f"m{at}"}) for at in range(number)]
        self.put([_object("ConfigMap", "files", data=FILES), *secret])
        self.put([_resource(at, suspend=suspend) for at in range(number)])

    def make_databases(self, number: int) -> None:
        """Empty ones, whatever was there before."""
        made = [f"--command={verb} m{at}" for at in range(number) for verb in ("DROP DATABASE IF EXISTS", "CREATE DATABASE")]
        self.kubectl(
            "exec", f"{self._database.name}-0", "--", "psql", "-q", "--username=postgres", "--host=/tmp", "--dbname=postgres", *made
        )

    def copy(self, number: int) -> None:
        """So many more, as the first is: the status before the spec could be looked at, since it is suspended until then."""
        (first,) = self.items("dbm")
        for start in range(0, number, 100):
            names = [f"copy-{at}" for at in range(start, min(start + 100, number))]
            made = [{**_resource(0, suspend=False), "metadata": {"name": name}} for name in names]
            paused = [{**item, "spec": item["spec"] | {"suspend": True}} for item in made]
            self.put(paused)
            finished = [{**item, "status": first["status"]} for item in paused]
            self.put(finished, "--subresource=status")
            self.put(made)

    def put(self, objects: Sequence[Json], *words: str) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", *words, "-f", "-", input=listed)

    def items(self, kind: str, *words: str) -> list[Json]:
        found: list[Json] = json.loads(self.kubectl("get", kind, "-o", "json", *words))["items"]
        return found

    def restarts(self) -> int:
        """How often kubelet has ended the operator: a busy node is no reason to."""
        pods = self.cluster.kubectl("get", "pods", "-n", self.operator.namespace, "-l", self.operator.selector, "-o", "json")
        return sum(each["restartCount"] for pod in json.loads(pods)["items"] for each in pod["status"]["containerStatuses"])

    def wait_quiet(self) -> None:
        """Nothing waits and nothing is looked at, twice in a row."""
        seen: list[float] = []

        def quiet() -> bool:
            samples = self.scrape()
            seen.append(sum(total(samples, f"dbmigration_operator_queue_{what}") for what in ("depth", "busy")))
            return seen[-2:] == [0.0, 0.0]

        wait_until("an empty queue", quiet, seconds=DEADLINE)

    def known(self) -> float:
        return total(self.scrape(), "dbmigration_operator_resources")

    def own_writes(self) -> float:
        samples = self.scrape()
        return sum(total(samples, "dbmigration_operator_api_requests_total", verb=verb) for verb in ("create", "patch", "delete"))

    def status_writes(self) -> float:
        """As the API server counts them: only the operator patches this."""
        samples = parsed(self.cluster.kubectl("get", "--raw", "/metrics"))
        return total(samples, "apiserver_request_total", verb="PATCH", resource="databasemigrations", subresource="status")

    def scrape(self) -> list[Sample]:
        return scrape(self.cluster, self.operator)


def _resource(number: int, *, suspend: bool) -> Json:
    spec = {
        "database": {"secretRef": {"name": f"m{number}"}},
        "source": {"configMaps": [{"name": "files"}]},
        "environment": "staging",
        "backup": {"policy": "Skip"},
        "suspend": suspend,
    }
    return {"apiVersion": "dbmigration.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": f"m{number}"}, "spec": spec}


def _alone(job: Json) -> Json:
    """A copy of a Job that the operator does not know: nobody's, and without what the API server wrote into it."""
    template = job["spec"]["template"]
    labels = {"bench": "peer"}
    kept = {name: value for name, value in job["spec"].items() if name not in ("selector", "template")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"peer-{job['metadata']['name']}"[:63], "labels": labels},
        # Without the operator's limits a hundred overrun the server, and some have to try again.
        "spec": kept | {"backoffLimit": 6, "template": template | {"metadata": {"labels": labels}}},
    }


def _object(kind: str, name: str, **content: object) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


def _seconds(began: datetime, ended: str) -> float:
    """The API server's times are whole seconds."""
    return (datetime.fromisoformat(ended) - began).total_seconds()


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98]
