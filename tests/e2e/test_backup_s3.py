"""Backups in a bucket of a real S3 server in the cluster."""

import json
import secrets
from typing import Any, Final

import pytest

from dbmigration.api.conditions import ConditionType
from dbmigration.api.names import RESTORE_UID_LABEL
from dbmigration.api.reasons import Reason
from tests.cluster.images import operator_image
from tests.cluster.local.programs import VERSITYGW, built
from tests.e2e.restores import Restore, suspend
from tests.e2e.studio import Studio

FIRST: Final = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND: Final = {"002_second.sql": "CREATE TABLE second (id int);"}
KEY: Final = "AKIAENDTOEND"
SECRET: Final = secrets.token_hex(20)
SECRET_NAME: Final = "studio-s3"
SERVE: Final = (
    "until [ -f /data/ready ]; do sleep 0.2; done; mkdir -p /data/store/backups; exec /data/versitygw --port :7070 posix /data/store"
)
RECEIVE: Final = "cat > /data/versitygw && chmod 755 /data/versitygw && touch /data/ready"


def destination(bucket: str = "backups", **more: Any) -> dict[str, Any]:
    s3 = {"bucket": bucket, "prefix": "prod", "endpoint": "http://s3:7070", "region": "us-east-1", "secretRef": {"name": SECRET_NAME}}
    return {"destination": {"s3": s3}} | more


def put_keys(studio: Studio, secret: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret}
    studio.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET_NAME}, "stringData": keys})


@pytest.fixture
def store(studio: Studio) -> None:
    """An S3 server in the test's namespace: Service `s3`, bucket `backups`."""
    container = {
        "name": "s3",
        "image": operator_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-euc", SERVE],
        "env": [{"name": "ROOT_ACCESS_KEY", "value": KEY}, {"name": "ROOT_SECRET_KEY", "value": SECRET}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"tcpSocket": {"port": 7070}, "periodSeconds": 1},
    }
    nobody = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 0,
        "securityContext": nobody,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "s3", "labels": {"app": "s3"}},
        "spec": spec,
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s3"},
        "spec": {"selector": {"app": "s3"}, "ports": [{"port": 7070}]},
    }
    studio.put(pod, service)
    studio.kubectl("wait", "pod/s3", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    with built(VERSITYGW).open("rb") as binary:
        studio.kubectl("exec", "-i", "s3", "--", "sh", "-c", RECEIVE, stdin=binary, timeout=120)
    studio.kubectl("wait", "pod/s3", "--for=condition=Ready", "--timeout=60s")


def objects(studio: Studio) -> list[str]:
    said = studio.kubectl(
        "exec", "s3", "--", "sh", "-c", "cd /data/store/backups && find . -type f -not -path './.sgwtmp/*' -printf '%P\\n' | sort"
    )
    return said.split()


@pytest.mark.usefixtures("store")
def test_backups_go_to_the_bucket_and_old_ones_go(studio: Studio) -> None:
    put_keys(studio, "wrong")
    studio.prepare(FIRST)
    studio.put_resource(backup=destination(retention={"keepLast": 1}))
    failed = studio.wait_reason(Reason.BACKUP_FAILED, stalled=False)
    assert "SignatureDoesNotMatch" in failed.message
    assert studio.database.tables() == []
    assert objects(studio) == []

    # Nothing but the Secret's content changes, and the next attempt finds it.
    put_keys(studio, SECRET)
    studio.retry("the key is right now")
    first = studio.wait_ready(version="001")
    assert first.status.backup is not None
    assert first.status.backup.uri.startswith(f"s3://backups/prod/{studio.namespace}/studio/")
    backed_up = first.condition(ConditionType.BACKED_UP)
    assert backed_up is not None
    assert backed_up.status == "True"

    studio.put_files(FIRST | SECOND)
    second = studio.wait_ready(version="002")
    assert second.status.backup is not None
    dump = second.status.backup.uri.removeprefix("s3://backups/")
    assert objects(studio) == [dump, dump.replace(".dump", ".globals.sql"), dump.replace(".dump", ".json")]
    shown = json.loads(studio.kubectl("exec", "s3", "--", "cat", f"/data/store/backups/{dump.replace('.dump', '.json')}"))
    assert shown["sha256"] == second.status.backup.sha256
    logs = "".join(studio.kubectl("logs", f"job/{name}") for name in studio.jobs())
    assert "removed outdated backup" in logs
    assert SECRET not in logs + studio.kubectl("get", "dbm,events,jobs,pods", "-l", "app!=s3", "-o", "yaml")


@pytest.mark.usefixtures("store")
def test_a_backup_in_the_bucket_comes_back_and_a_missing_one_leaves_nothing(studio: Studio) -> None:
    put_keys(studio, SECRET)
    studio.database.administer(f'ALTER ROLE "{studio.database.user}" CREATEDB')
    studio.start(
        FIRST | {"002_rows.sql": "INSERT INTO first SELECT generate_series(1, 500);"}, backup=destination(), lint={"failOn": "never"}
    )
    studio.put_files(FIRST | {"002_rows.sql": "INSERT INTO first SELECT generate_series(1, 500);", "003_lose.sql": "DELETE FROM first;"})
    studio.wait_ready(version="003")
    into = f"{studio.database.name}_restored"
    gone = Restore(studio, "gone")
    gone.make(into, {"uri": f"s3://backups/prod/{studio.namespace}/studio/nothing.dump"})
    assert "There is no backup" in gone.wait_stalled(Reason.RESTORE_FAILED).message
    assert studio.database.administer(f"SELECT count(*) FROM pg_database WHERE datname = '{into}'") == ["0"]

    back = Restore(studio, "back")
    back.make(into)
    restored = back.wait_ready(Reason.RESTORED)
    assert str(restored.status.backup_uri).startswith("s3://backups/prod/")
    suspend(studio)
    back.patch(swap=True)
    back.wait_ready(Reason.SWAPPED)
    assert studio.database.rows("SELECT count(*) FROM first") == ["500"]
    jobs = studio.kubectl("get", "jobs", "-o", "name", "-l", RESTORE_UID_LABEL).split()
    logs = "".join(studio.kubectl("logs", job, "--tail=-1") for job in jobs)
    assert "fetched s3://backups/prod/" in logs
    assert SECRET not in logs + studio.kubectl("get", "dbr,events,jobs", "-o", "yaml")
