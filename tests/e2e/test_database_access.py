"""The Secret and what is behind it: what is missing or wrong heals by itself once it is mended, with no edit of the resource."""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import pytest

from dbmigration.api.names import UID_LABEL
from dbmigration.api.reasons import Reason
from tests.cluster.operator import InstalledOperator, operator_logs
from tests.cluster.steps import wait_until
from tests.e2e.databases import Owned, Server
from tests.e2e.studio import NAME, REQUIRE_BACKUP, Studio

FILES = {"001_first.sql": "CREATE TABLE first (id int);"}
SPECIAL: Final = "p@ss:/?#%&'\" \\ end"


def test_missing_secret_is_waited_for(studio: Studio) -> None:
    studio.put_files(FILES)
    studio.put_resource()
    waiting = studio.wait_reason(Reason.SECRET_MISSING, stalled=False)
    assert waiting.reconciling
    assert studio.database.tables() == []

    studio.put_secret(studio.database.secret_keys())
    healed = studio.wait_ready(version="001")
    assert healed.generation == waiting.generation
    assert studio.database.history() == ["001_first.sql"]


def test_missing_key_is_waited_for(studio: Studio) -> None:
    keys = studio.database.secret_keys()
    studio.put_files(FILES)
    studio.put_secret({name: value for name, value in keys.items() if name != "password"})
    studio.put_resource()
    waiting = studio.wait_reason(Reason.SECRET_INVALID, stalled=False)
    assert "password" in waiting.message

    studio.put_secret(keys)
    studio.wait_ready(version="001")


def test_wrong_password_heals_when_it_is_right(studio: Studio) -> None:
    keys = studio.database.secret_keys()
    studio.put_files(FILES)
    studio.put_secret(keys | {"password": "not the password"})
    studio.put_resource()
    waiting = studio.wait_reason(Reason.AUTHENTICATION_FAILED, stalled=False)
    assert waiting.reconciling
    assert "not the password" not in studio.kubectl("get", "dbm,events", "-o", "yaml")

    studio.put_secret(keys)
    healed = studio.wait_ready(version="001")
    assert healed.generation == waiting.generation
    # It was announced once, however often it was tried.
    assert [reason for kind, reason, _ in studio.events() if kind == "Warning"] == [Reason.AUTHENTICATION_FAILED]


def test_database_that_is_down_heals_when_it_is_up(studio: Studio, server: Server) -> None:
    """A Service with nobody behind it is a server that is down; an endpoint starts it."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "later"}, "spec": {"ports": [{"name": "pg", "port": 5432}]}}
    studio.put(service)
    studio.put_files(FILES)
    studio.put_secret(studio.database.secret_keys() | {"host": "later"})
    studio.put_resource()
    waiting = studio.wait_reason(Reason.DATABASE_UNAVAILABLE, stalled=False)
    assert waiting.reconciling

    pod = json.loads(studio.cluster.kubectl("get", "pod", f"{server.admin.name}-0", "-n", server.admin.namespace, "-o", "json"))
    studio.put(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "later", "labels": {"kubernetes.io/service-name": "later"}},
            "addressType": "IPv4",
            "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
            "endpoints": [{"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}}],
        }
    )
    assert studio.wait_ready(version="001").generation == waiting.generation


def as_keys(database: Owned) -> dict[str, str]:
    return database.secret_keys()


def as_uri(database: Owned) -> dict[str, str]:
    return {"uri": f"postgresql://{database.user}:{quote(database.password, safe='')}@{database.host}:5432/{database.name}"}


@pytest.mark.parametrize("secret_of", [as_keys, as_uri])
def test_password_with_special_characters_connects_and_is_nowhere(
    studio: Studio, server: Server, operator: InstalledOperator, secret_of: Callable[[Owned], dict[str, str]]
) -> None:
    """Not in logs, events, conditions, Jobs, pods, nor in the arguments of any process, in no spelling."""
    database = server.new_database(password=f"{SPECIAL}{server.admin.namespace}")
    keys = secret_of(database)
    database.rows("CREATE TABLE here (id int)")
    studio.put_volume()
    studio.put_files(FILES | {"002_second.sql": "SELECT 1 / 0;"})
    studio.put_secret(keys)
    with database.locked("here"):
        # pg_dump waits for the lock: its arguments and its parent's can be read.
        studio.put_resource(backup=REQUIRE_BACKUP)
        uid = studio.look().uid
        wait_until("pg_dump at the lock", lambda: _dumps(database) == 1, seconds=60)
        pod = studio.runner_pod(uid)
        arguments = studio.kubectl("exec", pod, "-c", "runner", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\000' '\\n'")
        assert "pg_dump" in arguments
    seen = studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    assert database.history() == ["001_first.sql"]

    logs = studio.kubectl("logs", pod, "-c", "runner")
    operators = operator_logs(studio.cluster, operator)
    objects = studio.kubectl("get", "dbm,events,jobs,pods,configmaps", "-o", "yaml") + studio.kubectl("describe", "dbm", NAME)
    # Each text is what it is taken for, so that looking for something in it means something.
    assert "002_second.sql" in logs
    assert f"{studio.namespace}/{NAME}" in operators
    assert seen.uid in objects
    assert f"{UID_LABEL}: {uid}" in objects
    everything = "\n".join([arguments, logs, operators, objects])
    for spelling in spellings(database.password):
        assert spelling not in everything


def spellings(password: str) -> set[str]:
    """How a password may look in a log: as it is, percent-encoded, in JSON, in YAML, in Python's repr, in a shell."""
    encoded = {quote(password, safe=""), quote(password), json.dumps(password)[1:-1], repr(password)[1:-1], password.replace("'", "''")}
    return {password, *encoded, SPECIAL, SPECIAL[:8], quote(SPECIAL, safe="")[:12]}


def _dumps(database: Owned) -> int:
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'"
    )
    return int(database.administer(sql)[0])
