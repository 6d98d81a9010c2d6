"""What each gate adds to a run: from `kubectl apply` to Ready with a gate that is open already, against the same run without one."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from dbmigration.api.names import API_VERSION, APPROVAL_KIND
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.plan import hash_of
from tests.bench.cluster import MIGRATIONS, new_namespace, timed
from tests.bench.measure import Sample, Series, in_turns
from tests.bench.table import Row
from tests.cluster.choose import chosen_cluster
from tests.cluster.images import postgres_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import install_operator
from tests.cluster.postgres import Database, psql, start_postgres
from tests.cluster.volumes import backup_volume

ROUNDS: Final = 3
ENVIRONMENT: Final = "production"
_READY: Final = ("--for=condition=Ready", "dbm/bench")

Gate = Callable[[Cluster, str, Database], dict[str, Any]]
"""Prepares what opens it before the clock starts, and returns what the spec says of it."""


def gates() -> Iterator[Row]:
    """001-004 on an empty database, no backup. A gate that is open needs no run that only plans, so what is left is a few reads.

    Backup and rehearsal, of an empty database too: what they take before there is anything to copy.
    """
    cluster = chosen_cluster()
    started_here = not cluster.running()
    cluster.create()
    cluster.load_images()
    install_operator(cluster)
    ways: dict[str, Gate] = {
        "no gate": _none,
        "approval": _approved,
        "promotion": _promoted,
        "window": _open,
        "other files": _promoted_by_name,
        "backup": _backed_up,
        "rehearsal": _rehearsed,
        "rehearsal in the pod": _rehearsed_in_pod,
    }
    try:
        series = in_turns({name: partial(_run, cluster, gate) for name, gate in ways.items()}, rounds=ROUNDS)
    finally:
        if started_here:
            cluster.delete()
    free = series["no gate"]
    told = {
        "approval": "an approval that was given before",
        "promotion": "promotion, the same files applied in staging",
        "window": "a window that is open",
        "other files": "promotion, staging has a file more: one run plans, a second applies",
    }
    for name, what in told.items():
        yield _row(what, series[name], "the same without a gate", free)
    yield _row("a verified backup to a volume", series["backup"], "the same without", free)
    for name, where in {"rehearsal": "the same server", "rehearsal in the pod": "a server in the pod"}.items():
        yield _row(f"a verified backup and its rehearsal on {where}", series[name], "the same without the rehearsal", series["backup"])


def _row(what: str, ours: Series, without: str, peer: Series) -> Row:
    return Row(
        f"`kubectl apply` to Ready, 001-004 with {what}",
        "DatabaseMigration",
        f"{ours.seconds:.2f} s ({ours.spread})",
        f"{without}: {peer.seconds:.2f} s ({peer.spread})",
        f"{ours.ratio_to(peer):.2f}",
        "",
        "make bench ONLY=gates",
    )


def _run(cluster: Cluster, gate: Gate) -> Sample:
    namespace = new_namespace(cluster)
    database = start_postgres(cluster, namespace)
    cluster.kubectl("create", "configmap", "files", "-n", namespace, f"--from-file={MIGRATIONS}")
    asked = gate(cluster, namespace, database)
    return timed(cluster, namespace, _resource("bench", ENVIRONMENT, database.name, "files", **asked), *_READY)


def _none(_: Cluster, __: str, ___: Database) -> dict[str, Any]:
    return {}


def _approved(cluster: Cluster, namespace: str, _: Database) -> dict[str, Any]:
    files = [file for file in read_set(MIGRATIONS).files if file.runs_in(ENVIRONMENT)]
    approval = {
        "apiVersion": API_VERSION,
        "kind": APPROVAL_KIND,
        "metadata": {"name": "before"},
        "spec": {"migrationRef": {"name": "bench"}, "planHash": hash_of(ENVIRONMENT, files)},
    }
    _apply(cluster, namespace, approval)
    return {"approval": {"required": True}}


def _open(_: Cluster, __: str, ___: Database) -> dict[str, Any]:
    return {"window": {"schedule": "* * * * *", "duration": "1h"}}


def _promoted(cluster: Cluster, namespace: str, database: Database, *more: str) -> dict[str, Any]:
    """Staging: a database of its own on the same server, Ready before the clock starts."""
    psql(cluster, database, "CREATE DATABASE staging;")
    keys = {"host": database.name, "dbname": "staging", "user": database.user, "password": database.password}
    _apply(cluster, namespace, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "staging"}, "stringData": keys})
    files = "files"
    if more:
        files = "more"
        cluster.kubectl("create", "configmap", files, "-n", namespace, f"--from-file={MIGRATIONS}", *more)
    _apply(cluster, namespace, _resource("staging", "staging", "staging", files))
    cluster.kubectl("wait", "--for=condition=Ready", "dbm/staging", "-n", namespace, "--timeout=180s")
    return {"promotion": {"after": {"name": "staging"}}}


def _promoted_by_name(cluster: Cluster, namespace: str, database: Database) -> dict[str, Any]:
    return _promoted(cluster, namespace, database, "--from-literal=005_more.sql=CREATE TABLE more (id int);")


def _backed_up(cluster: Cluster, namespace: str, _: Database) -> dict[str, Any]:
    backup_volume(cluster, namespace, "backups")
    return {"backup": {"destination": {"persistentVolumeClaim": {"claimName": "backups"}}}}


def _rehearsed(cluster: Cluster, namespace: str, database: Database) -> dict[str, Any]:
    return _backed_up(cluster, namespace, database) | {"rehearsal": {"mode": "OnBackup"}}


def _rehearsed_in_pod(cluster: Cluster, namespace: str, database: Database) -> dict[str, Any]:
    return _backed_up(cluster, namespace, database) | {"rehearsal": {"where": "Pod", "server": {"image": postgres_image()}}}


def _resource(name: str, environment: str, secret: str, files: str, **asked: Any) -> dict[str, Any]:
    spec = {
        "database": {"secretRef": {"name": secret}},
        "source": {"configMaps": [{"name": files}]},
        "environment": environment,
        "backup": {"policy": "Skip"},
    }
    return {"apiVersion": API_VERSION, "kind": "DatabaseMigration", "metadata": {"name": name}, "spec": spec | asked}


def _apply(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(manifest))
