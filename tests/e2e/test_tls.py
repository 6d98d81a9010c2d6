"""The connection is encrypted and the server is known, as `database.tls` asks: for the run, and for its pg_dump."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.local.certificates import Authority, Identity
from tests.cluster.steps import wait_until
from tests.e2e.databases import Owned, Server
from tests.e2e.studio import REQUIRE_BACKUP, SECRET_NAME, Studio

FILES = {"001_first.sql": "CREATE TABLE encrypted AS SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();"}
FOLDER = "/data/pgdata"


@pytest.fixture
def authority(server: Server, studio: Studio, tmp_path: Path) -> Iterator[Authority]:
    """The session's server with a certificate of this authority, while the test lasts."""
    found = Authority(tmp_path / "authority")
    identity = found.issue("server", common_name="postgres", alternative_names=(f"DNS:{studio.database.host}",))
    switch_tls_on(server, identity)
    wait_until("TLS on the server", lambda: studio.database.administer("SHOW ssl") == ["on"], seconds=10)
    yield found
    # One statement a call: ALTER SYSTEM takes no transaction.
    studio.database.administer("ALTER SYSTEM RESET ssl")
    studio.database.administer("SELECT pg_reload_conf()")
    wait_until("no TLS on the server", lambda: studio.database.administer("SHOW ssl") == ["off"], seconds=10)


def test_server_of_another_authority_is_refused_until_the_right_one_is_named(studio: Studio, authority: Authority, tmp_path: Path) -> None:
    studio.put_volume()
    studio.prepare(FILES)
    put_authority(studio, Authority(tmp_path / "another"))
    database = {"secretRef": {"name": SECRET_NAME}, "tls": {"mode": "verify-full", "caRef": {"configMap": {"name": "authority"}}}}
    studio.put_resource(database=database, backup=REQUIRE_BACKUP)
    waiting = studio.wait_reason(Reason.DATABASE_UNAVAILABLE, stalled=False)
    assert "certificate" in waiting.message
    assert studio.database.tables() == []

    put_authority(studio, authority)
    seen = studio.wait_ready(version="001")
    assert seen.generation == waiting.generation
    assert seen.status.backup is not None
    assert encrypted(studio.database)


def test_server_without_tls_is_refused_where_tls_is_required(studio: Studio) -> None:
    studio.prepare(FILES)
    studio.put_resource(database={"secretRef": {"name": SECRET_NAME}, "tls": {"mode": "require"}})
    waiting = studio.wait_reason(Reason.DATABASE_UNAVAILABLE, stalled=False)
    assert "SSL" in waiting.message

    studio.put_resource(database={"secretRef": {"name": SECRET_NAME}, "tls": {"mode": "prefer"}})
    studio.wait_ready(version="001")
    assert not encrypted(studio.database)


def encrypted(database: Owned) -> bool:
    """Whether the session that ran 001 was."""
    return database.rows("SELECT ssl FROM encrypted") == ["t"]


def put_authority(studio: Studio, authority: Authority) -> None:
    certificate = {"ca.crt": authority.certificate.read_text()}
    studio.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": certificate})


def switch_tls_on(server: Server, identity: Identity) -> None:
    """Give the server its key and certificate; a reload is enough."""
    pod = ["-n", server.admin.namespace, f"{server.admin.name}-0", "--"]
    for name, path in (("server.key", identity.key), ("server.crt", identity.certificate)):
        write = f"umask 077; rm -f {FOLDER}/{name}; cat > {FOLDER}/{name}"
        server.cluster.kubectl("exec", "-i", *pod, "sh", "-c", write, input=path.read_text())
    for sql in ("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"):
        server.cluster.kubectl(
            "exec", *pod, "psql", "--host=/tmp", f"--username={server.admin.user}", "--dbname=postgres", "--command", sql
        )
