"""`kubectl apply` on an empty database: a backup, the platform's own migrations, and what the resource says of it."""

import json
from datetime import UTC, datetime

from dbmigration.api.conditions import ConditionType
from dbmigration.api.names import UID_LABEL
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from tests.e2e.studio import CLAIM_NAME, NAME, REQUIRE_BACKUP, SECRET_NAME, Studio, platform_files
from tests.e2e.volume import files_on_volume, run_on_volume

HISTORY = "platform.schema_migrations"
FILES = (
    "001_create_platform_schema.sql",
    "002_platform_billing_schema.sql",
    "003_user_management_and_permissions.sql",
    "004_create_lancio_org.sql",
)


def test_production_gets_004_after_a_proven_backup(studio: Studio) -> None:
    """`kubectl wait`, the printer columns, the conditions, the history rows, the tables, the dump on the volume with its checksum."""
    before = datetime.now(UTC).replace(microsecond=0)
    studio.put_volume()
    studio.prepare(platform_files())
    studio.put_resource(environment="production", backup=REQUIRE_BACKUP)

    said = studio.kubectl("wait", "--for=condition=Ready", f"dbm/{NAME}", "--timeout=120s")
    assert said.strip() == f"databasemigration.dbmigration.dev/{NAME} condition met"

    heads, values = (line.split() for line in studio.kubectl("get", "dbm").splitlines())
    assert heads == ["NAME", "READY", "REASON", "VERSION", "PENDING", "PROGRESS", "BACKUP", "AGE"]
    assert values[:-1] == [NAME, "True", "UpToDate", "004", "0", "BackupVerified"]  # a finished run has no progress

    seen = studio.look()
    assert seen.current
    assert not seen.reconciling
    assert not seen.stalled
    assert seen.states == dict.fromkeys(FILES, State.APPLIED)
    assert (seen.status.applied, seen.status.pending, seen.status.skipped) == (4, 0, 0)
    verified = seen.condition(ConditionType.VERIFIED)
    assert verified is not None
    assert (verified.status, verified.reason) == ("True", Reason.VERIFY_PASSED)

    assert tuple(studio.database.history(HISTORY)) == FILES
    columns = studio.database.rows(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'platform' AND table_name = 'schema_migrations' ORDER BY ordinal_position"
    )
    assert columns == ["id|integer|NO", "migration_name|text|NO", "applied_at|timestamp with time zone|NO"]
    assert studio.database.rows("SELECT slug FROM platform.organizations") == ["lancio"]

    record = seen.status.backup
    assert record is not None
    assert record.verified
    assert before <= record.started_at <= record.completed_at
    dump, roles, note = files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME)
    assert record.uri == f"pvc://{CLAIM_NAME}/{dump.path}"
    assert dump.path.startswith(f"{NAME}/{studio.database.name}-")
    assert (dump.size, dump.sha256, dump.mode) == (record.bytes, record.sha256, "600")
    assert (roles.sha256, roles.mode, note.mode) == (record.globals_sha256, "600", "600")
    assert json.loads(run_on_volume(studio.cluster, studio.namespace, CLAIM_NAME, f"cat /volume/{note.path}"))["sha256"] == record.sha256

    assert len(studio.jobs()) == 1


def test_staging_stops_at_003_and_shows_004_as_skipped(studio: Studio) -> None:
    seen = studio.start(platform_files(), environment="staging")
    assert seen.status.version == "003"
    assert seen.states == {**dict.fromkeys(FILES[:3], State.APPLIED), FILES[3]: State.SKIPPED}
    assert (seen.status.applied, seen.status.pending, seen.status.skipped) == (3, 0, 1)
    assert tuple(studio.database.history(HISTORY)) == FILES[:3]
    assert studio.database.rows("SELECT count(*) FROM platform.organizations") == ["0"]
    backed_up = seen.condition(ConditionType.BACKED_UP)
    assert backed_up is not None
    assert (backed_up.status, backed_up.reason) == ("False", Reason.BACKUP_SKIPPED)


def test_the_runs_pod_is_admitted_where_restricted_pod_security_is_enforced(studio: Studio) -> None:
    """The namespace enforces it, so admission was the judge; the pod that ran has no token and mounts the Secret for its user alone."""
    seen = studio.start({"001_first.sql": "CREATE TABLE first (id int);"})
    labels = json.loads(studio.cluster.kubectl("get", "namespace", studio.namespace, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    studio.kubectl("wait", "pod", "-l", f"{UID_LABEL}={seen.uid}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    (pod,) = json.loads(studio.kubectl("get", "pods", "-l", f"{UID_LABEL}={seen.uid}", "-o", "json"))["items"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    mounted = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert not [path for path in mounted if path.startswith("/var/run/secrets")]
    (secret,) = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
    assert (secret["secretName"], secret["defaultMode"]) == (SECRET_NAME, 0o440)
