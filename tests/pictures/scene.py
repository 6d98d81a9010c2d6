"""What the picture of the dashboard is taken of: resources in two namespaces that succeed, fail, wait and are blocked."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from tests.cluster.interface import Cluster
from tests.cluster.postgres import start_postgres
from tests.cluster.steps import wait_until
from tests.cluster.volumes import backup_volume, release_volumes

PRODUCTION, STAGING, SERVER = "shop-production", "shop-staging", "shop-postgres"
CLAIM: Final = "backups"
ROUNDS: Final = 7
SCRAPED_S: Final = 6
"""Until Prometheus has seen it."""
PAUSE_S: Final = 12
"""Between two rounds: a picture of four minutes shows each as one step."""
WITHIN_S: Final = 180
_HEADER: Final = "-- Migration: {name}\n-- Purpose: a picture\n-- Dependencies: none\n-- Rollback: rollback-{number:03}.sql\n"
_TABLE: Final = (
    "CREATE TABLE items (id bigint PRIMARY KEY, note text);\nINSERT INTO items SELECT g, md5(g::text) FROM generate_series(1, {rows}) AS g;"
)
_MORE: Final = "INSERT INTO items SELECT g + {number} * 10000000, md5(g::text) FROM generate_series(1, {rows}) AS g;"
Json = dict[str, Any]


@dataclass(frozen=True)
class App:
    """One resource. `rows`: how many each of its files writes."""

    namespace: str
    name: str
    rows: int
    backed_up: bool = True

    @property
    def environment(self) -> str:
        return self.namespace.partition("-")[2]

    @property
    def database(self) -> str:
        return f"{self.name}_{self.environment}"


ORDERS, CUSTOMERS = App(PRODUCTION, "orders", 150_000), App(PRODUCTION, "customers", 60_000)
BILLING, SEARCH, MAIL = App(PRODUCTION, "billing", 20_000), App(PRODUCTION, "search", 10_000), App(PRODUCTION, "mail", 10_000)
STAGED = App(STAGING, "orders", 15_000, backed_up=False), App(STAGING, "customers", 6_000, backed_up=False)
APPS: Final = (ORDERS, CUSTOMERS, BILLING, SEARCH, MAIL, *STAGED)


class Scene:
    """A context manager: namespaces, databases and resources, which are gone at its end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._files: dict[App, dict[str, str]] = {app: {} for app in APPS}

    def __enter__(self) -> Self:
        for name in (SERVER, PRODUCTION, STAGING):
            self._cluster.kubectl("create", "namespace", name)
            self._cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=60s")
        self._server = start_postgres(self._cluster, SERVER, user="postgres", arguments=["-c", "max_connections=200"], timeout_seconds=300)
        backup_volume(self._cluster, PRODUCTION, CLAIM)
        for app in APPS:
            self._sql("postgres", f"CREATE DATABASE {app.database}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in (PRODUCTION, STAGING, SERVER):
            self._cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        release_volumes(self._cluster, PRODUCTION)

    @contextmanager
    def played(self) -> Iterator[None]:
        """All of it; within the context a run is blocked, and all else has come to rest."""
        for app in APPS:
            self._grow(app)
            self._put_app(app)
        self._wait_ready(ORDERS, CUSTOMERS, BILLING, SEARCH, *STAGED)
        self._restore("customers-lost", CUSTOMERS, {"uri": f"pvc://{CLAIM}/nowhere/gone.dump"})
        for number in range(ROUNDS):
            for app in (ORDERS, CUSTOMERS, *STAGED)[number % 2 :: 2]:
                self._grow(app)
            if number == 2:
                self._file(SEARCH, "INSERT INTO absent VALUES (1);")
            if number == 3:
                self._put_app(BILLING, approval={"required": True})
                self._grow(BILLING)
            if number == 4:
                self._restore("orders-monday", ORDERS, {"latest": True})
                self._blocked_for_a_while(CUSTOMERS)
            # A picture of some minutes has to take them.
            time.sleep(PAUSE_S)
        self._wait_ready(ORDERS, *STAGED)
        with self._locked(CUSTOMERS):
            self._file(CUSTOMERS, "ALTER TABLE items ADD COLUMN kept boolean;")
            self._wait_blocked(CUSTOMERS)
            time.sleep(SCRAPED_S)
            yield

    def _blocked_for_a_while(self, app: App) -> None:
        with self._locked(app):
            self._file(app, "ALTER TABLE items ADD COLUMN seen boolean;")
            self._wait_blocked(app)
        self._wait_ready(app)

    def _wait_blocked(self, app: App) -> None:
        wait_until("a run that is blocked", lambda: "blocked" in self._progress(app), seconds=WITHIN_S)

    def _grow(self, app: App) -> None:
        body = _MORE if self._files[app] else _TABLE
        self._file(app, body.format(rows=app.rows, number=len(self._files[app]) + 1))

    def _file(self, app: App, body: str) -> None:
        """One more file."""
        files = self._files[app]
        number = len(files) // 2 + 1
        name = f"{number:03}_step.sql"
        files[name] = f"{_HEADER.format(name=name, number=number)}{body}\n"
        files[f"rollback-{number:03}.sql"] = "SELECT 1;\n"
        self._put(app.namespace, _object("ConfigMap", f"{app.name}-migrations", data=files))

    def _put_app(self, app: App, **more: Any) -> None:
        keys = {"host": f"{self._server.name}.{SERVER}.svc", "user": "postgres", "password": self._server.password, "dbname": app.database}
        backup: Json = {"policy": "Skip"}
        if app.backed_up:
            backup = {"destination": {"persistentVolumeClaim": {"claimName": CLAIM}}}
        spec: Json = {
            "database": {"secretRef": {"name": f"{app.name}-db"}},
            "source": {"configMaps": [{"name": f"{app.name}-migrations"}]},
            "environment": app.environment,
            "backup": backup,
            "execution": {"lockTimeout": "120s"},
            "suspend": app is MAIL,
        }
        resource = {
            "apiVersion": "dbmigration.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": app.name},
            "spec": spec | more,
        }
        self._put(app.namespace, _object("Secret", f"{app.name}-db", stringData=keys), resource)

    def _restore(self, name: str, app: App, backup: Json) -> None:
        spec = {"migrationRef": {"name": app.name}, "backup": backup, "into": f"{app.name}_restored"}
        self._put(
            app.namespace, {"apiVersion": "dbmigration.dev/v1alpha1", "kind": "DatabaseRestore", "metadata": {"name": name}, "spec": spec}
        )

    @contextmanager
    def _locked(self, app: App) -> Iterator[None]:
        """A report of the application reads a table until the context ends."""
        statement = f"BEGIN; LOCK TABLE items IN ACCESS SHARE MODE; SELECT pg_sleep({WITHIN_S}); COMMIT;"
        reading = self._cluster.start_kubectl(*self._psql(app.database, statement))
        try:
            yield
        finally:
            self._sql(
                app.database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND pid <> pg_backend_pid()",
            )
            reading.communicate(timeout=60)

    def _wait_ready(self, *apps: App) -> None:
        for app in apps:
            self._cluster.kubectl(
                *("wait", f"dbm/{app.name}", "-n", app.namespace, "--for=condition=Ready", f"--timeout={WITHIN_S}s"),
                stderr=subprocess.STDOUT,
            )

    def _progress(self, app: App) -> str:
        return self._cluster.kubectl("get", "dbm", app.name, "-n", app.namespace, "-o", "jsonpath={.status.progress.summary}")

    def _sql(self, database: str, statement: str) -> None:
        self._cluster.kubectl(*self._psql(database, statement))

    def _psql(self, database: str, statement: str) -> tuple[str, ...]:
        there = ("exec", f"{self._server.name}-0", "-n", SERVER, "--")
        return (*there, "psql", "-q", "--username=postgres", "--host=/tmp", f"--dbname={database}", f"--command={statement}")

    def _put(self, namespace: str, *objects: Json) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self._cluster.kubectl(
            "apply", "-n", namespace, "--server-side", "--force-conflicts", "-f", "-", input=listed, stderr=subprocess.STDOUT
        )


def _object(kind: str, name: str, **content: Mapping[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}
