"""The way back that docs/disaster.md describes: a migration loses data, the backup before it brings every row back."""

import json
from typing import Any, Final

import pytest
import yaml

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from tests.cluster.cache import CHECKOUT
from tests.cluster.images import operator_image
from tests.cluster.volumes import backup_volume
from tests.e2e.studio import CLAIM_NAME, REQUIRE_BACKUP, SECRET_NAME, Studio
from tests.e2e.volume import files_on_volume

SAMPLE: Final = CHECKOUT / "manifests" / "samples" / "restore-job.yaml"
FIRST: Final = {
    "001_orders.sql": "CREATE TABLE orders (id int PRIMARY KEY, what text);\n"
    "INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 1000) AS g;"
}
LOSES: Final = {"002_tidy.sql": "DELETE FROM orders WHERE id > 10;\nALTER TABLE orders DROP COLUMN what;"}
MENDED: Final = {"002_tidy.sql": "ALTER TABLE orders ADD COLUMN note text;"}
NO_LINT: Final[dict[str, Any]] = {"failOn": "never"}


def run_job(studio: Studio, name: str, *args: str) -> str:
    """The sample's Job with these arguments; what it printed."""
    job = yaml.safe_load(SAMPLE.read_text())
    job["metadata"] = {"name": name, "namespace": studio.namespace}
    pod = job["spec"]["template"]["spec"]
    pod["containers"][0] |= {"image": operator_image(), "imagePullPolicy": "IfNotPresent", "args": list(args)}
    studio.kubectl("create", "-f", "-", input=json.dumps(job))
    try:
        studio.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=90s")
    finally:
        said = studio.kubectl("logs", f"job/{name}")
    return said


@pytest.fixture
def may_make_databases(studio: Studio) -> None:
    studio.database.administer(f'ALTER ROLE "{studio.database.user}" CREATEDB')


@pytest.mark.usefixtures("may_make_databases")
def test_a_migration_loses_data_and_every_row_comes_back(studio: Studio) -> None:
    assert SECRET_NAME in SAMPLE.read_text()
    assert CLAIM_NAME in SAMPLE.read_text()
    backup_volume(studio.cluster, studio.namespace, name=CLAIM_NAME)
    database = studio.database
    keep_one = REQUIRE_BACKUP | {"retention": {"keepLast": 1}}
    studio.start(FIRST, backup=keep_one, lint=NO_LINT)
    whole = database.rows("SELECT id, what FROM orders ORDER BY id")
    studio.put_files(FIRST | LOSES)
    lost = studio.wait_ready(version="002")
    assert database.rows("SELECT count(*) FROM orders") == ["10"]
    assert lost.status.backup is not None
    assert lost.status.database is not None
    assert lost.status.database.claim == f"{studio.namespace}/studio"

    # Retention: the backup before 001 went when the one before 002 was verified.
    dumps = [file.path for file in files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME) if file.path.endswith(".dump")]
    assert [f"pvc://{CLAIM_NAME}/{path}" for path in dumps] == [lost.status.backup.uri]

    studio.kubectl("patch", "dbm", "studio", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    copy = f"{database.name}_restored"
    said = run_job(studio, "studio-restore", "restore", f"/backup/{dumps[0]}", "--into", copy)
    assert "every row, object and owner is as in the backup" in said
    assert database.rows("SELECT count(*) FROM orders") == ["10"], "the database in use is not touched"

    said = run_job(studio, "studio-swap", "swap", copy, "--yes")
    assert f"Database {database.name} is what {copy} was." in said
    assert database.rows("SELECT id, what FROM orders ORDER BY id") == whole
    assert database.history() == ["001_orders.sql"]

    studio.put_files(FIRST | MENDED)
    studio.kubectl("patch", "dbm", "studio", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    studio.retry("restored")
    seen = studio.wait(lambda each: each.ready and each.current and each.status.last_handled_retry == "restored", "Ready after the restore")
    assert database.rows("SELECT count(*), count(what), count(note) FROM orders") == ["1000|1000|0"]
    assert seen.status.database is not None
    assert seen.status.database.claim == f"{studio.namespace}/studio"
    assert seen.status.database.identity != lost.status.database.identity
    ready = seen.condition(ConditionType.READY)
    assert ready is not None
    assert ready.reason == Reason.UP_TO_DATE
    kept = database.administer(f"SELECT datname FROM pg_database WHERE datname LIKE '{database.name}\\_before\\_%'")
    assert len(kept) == 1
    database.administer(f'DROP DATABASE "{kept[0]}"')
