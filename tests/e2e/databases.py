"""One PostgreSQL for the session, and a database with an owner of its own for each test."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from tests.cluster.interface import Cluster
from tests.cluster.postgres import Database, psql
from tests.cluster.steps import wait_until

CLOSED_GATE: Final = "CREATE TABLE IF NOT EXISTS gate (opened boolean);"
WAIT_AT_GATE: Final = """\
DO $wait$
BEGIN
    WHILE NOT EXISTS (SELECT FROM public.gate) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$wait$;
"""
"""SQL that waits until `Owned.open_gate`. Each look is a snapshot of its own, and no lock is waited for, so no lock timeout ends it."""


@dataclass(frozen=True)
class Owned:
    """A database and the role that owns it, which is no superuser. `admin` is the server's superuser in the same database."""

    cluster: Cluster
    admin: Database
    user: str
    password: str = field(repr=False)

    @property
    def name(self) -> str:
        return self.admin.database

    @property
    def host(self) -> str:
        """The server as pods of every namespace know it."""
        return f"{self.admin.name}.{self.admin.namespace}.svc"

    def secret_keys(self) -> dict[str, str]:
        """What a Secret for this database holds."""
        return {"host": self.host, "port": "5432", "dbname": self.name, "user": self.user, "password": self.password}

    def rows(self, sql: str) -> list[str]:
        """Run SQL as the owner; its rows, with | between columns."""
        return psql(self.cluster, replace(self.admin, user=self.user), sql).splitlines()

    def administer(self, sql: str) -> list[str]:
        """Run SQL as the server's superuser; its rows."""
        return psql(self.cluster, self.admin, sql).splitlines()

    def history(self, table: str = "dbmigration.schema_migrations") -> list[str]:
        """Names in the history table, in the order they were applied; none when there is no such table."""
        if self.rows(f"SELECT to_regclass('{table}') IS NOT NULL") != ["t"]:
            return []
        return self.rows(f"SELECT migration_name FROM {table} ORDER BY id")

    def tables(self) -> list[str]:
        """Tables of schema public but the gate."""
        return self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'gate' ORDER BY 1")

    def close_gate(self) -> None:
        """Make WAIT_AT_GATE wait."""
        self.rows(f"{CLOSED_GATE} TRUNCATE gate;")

    def open_gate(self) -> None:
        """Let everything through that waits at the gate."""
        self.rows("INSERT INTO gate VALUES (true)")

    def wait_for_runner_at_gate(self, *, seconds: float = 60) -> None:
        """Wait until a run is in the middle of its file."""
        wait_until("a run at the gate", lambda: self.runners("query LIKE '%public.gate%' AND state = 'active'") == 1, seconds=seconds)

    def wait_for_no_runner(self, *, seconds: float = 60) -> None:
        """Wait until no session of a run is left on the server."""
        wait_until("no run's session on the server", lambda: self.runners("true") == 0, seconds=seconds)

    def runners(self, condition: str) -> int:
        """How many sessions of runs there are in this database."""
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbmigration/%'"
        return int(self.administer(f"{sql} AND {condition}")[0])

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Hold an ACCESS EXCLUSIVE lock on a table while the context lasts: pg_dump waits for it."""
        mark = f"holding {table}"
        sql = f"/* {mark} */ BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600);"
        where = f"FROM pg_stat_activity WHERE query LIKE '/* {mark} */%' AND pid <> pg_backend_pid() AND datname = current_database()"
        pod = ["-n", self.admin.namespace, f"{self.admin.name}-0", "--"]
        connect = [f"--username={self.admin.user}", "--host=/tmp", f"--dbname={self.name}", f"--command={sql}"]
        holder = self.cluster.start_kubectl("exec", *pod, "psql", "--no-psqlrc", *connect)
        try:
            wait_until(
                f"the lock on {table}",
                lambda: (
                    self.administer(
                        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted "
                        f"AND relation = '{table}'::regclass AND pid IN (SELECT pid {where})"
                    )
                    == ["1"]
                ),
                seconds=20,
            )
            yield
        finally:
            self.administer(f"SELECT pg_terminate_backend(pid) {where}")
            try:
                holder.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                holder.kill()
                holder.communicate()


@dataclass(frozen=True)
class Server:
    """The session's PostgreSQL."""

    cluster: Cluster
    admin: Database

    def new_database(self, *, password: str | None = None) -> Owned:
        """An empty database of an owner of its own."""
        name = f"e2e_{secrets.token_hex(4)}"
        chosen = password or secrets.token_urlsafe(12)
        quoted = "'" + chosen.replace("'", "''") + "'"
        # One statement after the other: CREATE DATABASE takes no transaction.
        psql(self.cluster, self.admin, f"CREATE ROLE {name} LOGIN PASSWORD {quoted};\nCREATE DATABASE {name} OWNER {name};")
        return Owned(self.cluster, replace(self.admin, database=name), name, chosen)
