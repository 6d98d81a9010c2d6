"""One cluster for the whole session, one namespace for each test, and what was in it when a test fails."""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import pytest

from tests.cluster.choose import chosen_cluster
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, install_operator, operator_installed, operator_logs, uninstall_operator
from tests.cluster.postgres import start_postgres
from tests.cluster.volumes import release_volumes
from tests.e2e.databases import Server
from tests.e2e.leaks import left_behind, secret_values, shown_in
from tests.e2e.processes import CommandLines
from tests.e2e.studio import Studio

KEEP: Final = "DBMIGRATION_KEEP_CLUSTER"
FAILED: Final = pytest.StashKey[bool]()
PASSWORDS: Final = pytest.StashKey[set[str]]()
OF_THE_OPERATOR: Final = "deployments,replicasets,pods,services,serviceaccounts,configmaps,events"
"""Not `all`: kubectl takes that from what it once knew of the cluster, kinds that are gone included."""
LONGEST_NAMESPACE: Final = 40  # leaves room for what names derived from it add


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with our images: the one `python -m tests.cluster up` started, else a new one.

    A cluster that had to be started ends with the session, unless DBMIGRATION_KEEP_CLUSTER=1.
    """
    chosen = chosen_cluster()
    found = chosen.running()
    if not found:
        chosen.create()
    try:
        chosen.load_images()
        yield chosen
    finally:
        if not found and os.environ.get(KEEP) != "1":
            chosen.delete()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own that enforces the restricted Pod Security standard."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")
    with new_namespace(cluster, words[:LONGEST_NAMESPACE].strip("-")) as name:
        yield name
        if request.node.stash.get(FAILED, False):
            request.node.add_report_section("teardown", "namespace", describe_namespace(cluster, name))


@contextmanager
def new_namespace(cluster: Cluster, words: str) -> Iterator[str]:
    """A namespace named after `words` that enforces the restricted Pod Security standard. It ends with the context."""
    name = f"{words}-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "dbmigration.dev/test": "true"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(wanted))
    try:
        # The service account comes a moment after the namespace; a pod made before it is refused.
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        release_volumes(cluster, name)


@pytest.fixture(scope="session")
def operator(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[InstalledOperator]:
    """The operator, as the checkout has it. One that was there before the session stays.

    At its end all that is left in the cluster is searched for every password of the session, and so is every command line that was seen.
    """
    found = operator_installed(cluster)
    try:
        with CommandLines() as commands:
            installed = install_operator(cluster)
            yield installed
        everything = {
            "command lines": commands.text(),
            "the operator's log": operator_logs(cluster, installed),
            "what it knows of itself": cluster.kubectl("get", OF_THE_OPERATOR, "-n", installed.namespace, "-o", "json"),
            "resources": cluster.kubectl("get", "databasemigrations,migrationapprovals", "-A", "-o", "json"),
            "events": cluster.kubectl("get", "events", "-A", "-o", "json"),
        }
        seen: set[str] = request.config.stash.get(PASSWORDS, set[str]())
        shown = shown_in(everything, seen)
        assert cluster.provider == "current" or "dbmigration operator" in commands.text(), "who sees no process sees no password either"
        assert not shown, f"a value of a Secret is to be seen in: {', '.join(shown)}"
    finally:
        if not found and os.environ.get(KEEP) != "1":
            uninstall_operator(cluster)


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Iterator[Server]:
    """One PostgreSQL for the session."""
    name = f"e2e-postgres-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    try:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        yield Server(cluster, start_postgres(cluster, name, user="admin", database="postgres", arguments=["-c", "max_connections=200"]))
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def studio(
    cluster: Cluster, operator: InstalledOperator, server: Server, namespace: str, request: pytest.FixtureRequest
) -> Iterator[Studio]:
    """An empty database, and a namespace in which nothing refers to it yet. What the test leaves there is searched for its passwords."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    yield Studio(cluster, namespace, server.new_database())
    logs = operator_logs(cluster, operator, since=started)
    if request.node.stash.get(FAILED, False):
        request.node.add_report_section("teardown", "operator", logs[-20_000:])
    values = secret_values(cluster, namespace)
    request.config.stash.setdefault(PASSWORDS, set()).update(values)
    shown = shown_in({**left_behind(cluster, namespace), "the operator's log": logs}, values)
    assert not shown, f"a value of a Secret is to be seen in: {', '.join(shown)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember on the test that it failed, for fixtures that say more then."""
    report = yield
    if report.when in ("setup", "call") and report.failed:
        item.stash[FAILED] = True
    return report


def describe_namespace(cluster: Cluster, name: str) -> str:
    """What is in a namespace, for the output of a failed test: resources, pods, their logs, events. Never a Secret."""
    kinds = "pods,jobs,statefulsets,deployments,services,configmaps,persistentvolumeclaims"
    return "\n".join(
        [
            f"=== namespace {name}",
            _tried(cluster, "get", kinds, "-n", name, "-o", "wide"),
            _tried(cluster, "get", "databasemigrations.dbmigration.dev", "-n", name, "-o", "yaml"),
            _tried(cluster, "describe", "pods,jobs", "-n", name),
            *(
                _tried(cluster, "logs", pod, "-n", name, "--all-containers", "--prefix", "--tail=60")
                for pod in _tried(cluster, "get", "pods", "-n", name, "-o", "name").split()
                if pod.startswith("pod/")
            ),
            _tried(cluster, "get", "events", "-n", name, "--sort-by=.lastTimestamp"),
        ]
    )


def _tried(cluster: Cluster, *args: str) -> str:
    """kubectl's output, or its complaint: a report about a failure must not fail itself."""
    try:
        return cluster.kubectl(*args, stderr=subprocess.STDOUT)
    except subprocess.CalledProcessError as failed:
        return f"kubectl {' '.join(args)}: {failed.output}"
