"""A PostgreSQL server in a namespace of the test cluster."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from tests.cluster.images import postgres_image
from tests.cluster.interface import Cluster

MANIFEST: Final = Path(__file__).resolve().parent / "manifests" / "postgres.yaml"


@dataclass(frozen=True)
class Database:
    """A database inside the cluster. Its Secret has the name of its Service: host, port, dbname, user, password."""

    namespace: str
    name: str
    user: str
    database: str
    password: str

    def uri(self, host: str | None = None, port: int = 5432) -> str:
        """The connection string, as seen from a pod of the namespace, or with the host and port of a forwarded port."""
        return f"postgresql://{self.user}:{self.password}@{host or self.name}:{port}/{self.database}"


def postgres_manifest(database: Database, image: str, arguments: Sequence[str] = (), *, newer: bool = False) -> str:
    """Secret, Service and StatefulSet; `arguments` go to postgres, such as `-c wal_level=logical`. `newer`: PostgreSQL 18, not 15."""
    values = {
        "name": database.name,
        "image": image,
        "user": database.user,
        "database": database.database,
        "password": database.password,
        "arguments": list(arguments),
        "newer": "yes" if newer else "no",
    }
    return Template(MANIFEST.read_text()).substitute({name: json.dumps(value) for name, value in values.items()})


def start_postgres(
    cluster: Cluster,
    namespace: str,
    *,
    name: str = "postgres",
    user: str = "app",
    database: str = "app",
    password: str | None = None,
    arguments: Sequence[str] = (),
    newer: bool = False,
    timeout_seconds: int = 60,
) -> Database:
    """Start a server and wait until it is ready: two or three seconds. Its data lasts as long as its pod. `newer`: 18, not 15."""
    started = Database(namespace, name, user, database, password or secrets.token_urlsafe(12))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=postgres_manifest(started, postgres_image(), arguments, newer=newer))
    cluster.kubectl("rollout", "status", f"statefulset/{name}", "-n", namespace, f"--timeout={timeout_seconds}s")
    return started


def psql(cluster: Cluster, database: Database, sql: str) -> str:
    """Run SQL as the database's owner inside its pod; rows come back unaligned, without headers."""
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    return cluster.kubectl(
        *["exec", "-i", "-n", database.namespace, f"{database.name}-0", "--"],
        *[*command, f"--username={database.user}", "--host=/tmp", f"--dbname={database.database}"],
        input=sql,
    )
