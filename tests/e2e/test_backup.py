"""A backup that cannot be taken: nothing is applied, the resource says why, and it heals once there is room."""

import json
import secrets
from dataclasses import replace
from typing import Final

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from tests.cluster.interface import NodeDirectory
from tests.cluster.postgres import start_postgres
from tests.cluster.volumes import NO_CLASS, backup_volume, tiny_volume
from tests.e2e.databases import Server
from tests.e2e.studio import CLAIM_NAME, REQUIRE_BACKUP, Studio
from tests.e2e.volume import files_on_volume, run_on_volume
from tests.e2e.watch import Json

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
SECOND = {"002_second.sql": "CREATE TABLE second (id int);"}
DUMPER_NAME: Final = "studio-dumper"
FILL: Final = "CREATE TABLE ballast AS SELECT n, gen_random_uuid() AS text FROM generate_series(1, 200000) AS n"
"""Some 4 MB in a dump, since random values do not compress: more than the tiny volume holds."""


def test_full_volume_applies_nothing_and_heals_when_there_is_room(studio: Studio) -> None:
    studio.database.rows(FILL)
    studio.prepare(FIRST)
    tiny_volume(studio.cluster, studio.namespace, name=CLAIM_NAME)
    studio.put_resource(backup=REQUIRE_BACKUP)
    failed = studio.wait_reason(Reason.BACKUP_SPACE_LOW, stalled=False)
    assert failed.reconciling
    assert "make room there" in failed.message
    backed_up = failed.condition(ConditionType.BACKED_UP)
    assert backed_up is not None
    assert (backed_up.status, backed_up.reason) == ("False", Reason.BACKUP_FAILED)
    assert failed.status.backup is None
    assert nothing_applied(studio)

    # Something smaller fits: the next attempt finds room, and the failed ones have left nothing that takes it away.
    studio.database.rows("DROP TABLE ballast")
    seen = studio.wait_ready(version="001")
    assert seen.generation == failed.generation
    assert seen.status.backup is not None
    stored = [file.path for file in files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME)]
    assert [f"pvc://{CLAIM_NAME}/{path}" for path in stored if path.endswith(".dump")] == [seen.status.backup.uri]
    assert len(stored) == 3


def test_read_only_volume_applies_nothing_more(studio: Studio) -> None:
    """The volume of the first backup is mounted read-only for the second."""
    directory = node_directory(studio)
    studio.put(*claim_of(studio, CLAIM_NAME, directory))
    first = studio.start(FIRST, backup=REQUIRE_BACKUP)
    studio.put(*claim_of(studio, "read-only", directory, mountOptions=["ro"]))
    studio.put_resource(backup={"destination": {"persistentVolumeClaim": {"claimName": "read-only"}}})
    studio.put_files(FIRST | SECOND)
    failed = studio.wait_reason(Reason.BACKUP_FAILED, stalled=False)
    assert "read-only" in failed.message
    assert studio.database.history() == ["001_first.sql"]
    assert studio.database.tables() == ["first"]
    # The last good backup is still what the resource tells of, and is still there.
    assert failed.status.backup == first.status.backup
    assert first.status.backup is not None
    assert first.status.backup.sha256 in [file.sha256 for file in files_on_volume(studio.cluster, studio.namespace, CLAIM_NAME)]


def test_volume_of_somebody_else_applies_nothing(studio: Studio) -> None:
    """kubelet gives no hostPath to a pod's group, so the run may not write there."""
    directory = node_directory(studio)
    volume, claim = claim_of(studio, CLAIM_NAME, directory)
    del volume["spec"]["local"]
    volume["spec"]["hostPath"] = {"path": directory.path}
    studio.put(volume, claim)
    studio.prepare(FIRST)
    studio.put_resource(backup=REQUIRE_BACKUP)
    failed = studio.wait_reason(Reason.BACKUP_FAILED, stalled=False)
    assert "may not be written" in failed.message
    assert nothing_applied(studio)


def test_missing_claim_is_told_in_the_clusters_words_and_waited_for(studio: Studio) -> None:
    studio.prepare(FIRST)
    studio.put_resource(backup=REQUIRE_BACKUP)
    waiting = studio.wait_reason(Reason.UNSCHEDULABLE, stalled=False)
    assert f'"{CLAIM_NAME}" not found' in waiting.message
    assert nothing_applied(studio)

    backup_volume(studio.cluster, studio.namespace, CLAIM_NAME)
    seen = studio.wait_ready(version="001")
    assert seen.generation == waiting.generation
    assert len(studio.jobs()) == 1


def test_next_migration_takes_its_own_backup_of_what_the_first_made(studio: Studio) -> None:
    studio.put_volume()
    first = studio.start(FIRST, backup=REQUIRE_BACKUP)
    studio.database.rows("INSERT INTO first VALUES (42)")
    studio.put_files(FIRST | SECOND)
    second = studio.wait_ready(version="002")
    assert first.status.backup is not None
    assert second.status.backup is not None
    assert [run.backup_uri for run in second.status.runs] == [second.status.backup.uri, first.status.backup.uri]
    path = second.status.backup.uri.removeprefix(f"pvc://{CLAIM_NAME}/")
    table = run_on_volume(
        studio.cluster, studio.namespace, CLAIM_NAME, f"pg_restore --data-only --table=first --file=- /volume/{path} | grep -A1 '^COPY'"
    )
    assert table.splitlines() == ["COPY public.first (id) FROM stdin;", "42"]


def test_a_newer_server_than_debians_is_backed_up_and_restored_by_the_images_clients_of_its_major(studio: Studio) -> None:
    """As a folder that several connections wrote, with a compression that Debian's client does not know; the rehearsal restores it."""
    admin = start_postgres(studio.cluster, studio.namespace, name="newer", user="admin", database="postgres", newer=True)
    studio = replace(studio, database=Server(studio.cluster, admin).new_database())
    studio.database.administer(f"ALTER ROLE {studio.database.user} CREATEDB")
    studio.put_volume()
    folder = REQUIRE_BACKUP | {"format": "Directory", "jobs": 2, "compression": "zstd:1"}
    seen = studio.start(FIRST, backup=folder, rehearsal={"mode": "OnBackup"})
    record = seen.status.backup
    assert record is not None
    assert (record.format, record.compression, record.verified) == ("Directory", "zstd:1", True)
    assert (record.dump_version or "").partition(".")[0] == (record.server_version or "").partition(".")[0] == "18"
    assert record.restored_at is not None
    path = record.uri.removeprefix(f"pvc://{CLAIM_NAME}/")
    said = run_on_volume(studio.cluster, studio.namespace, CLAIM_NAME, f"cd /volume/{path} && sha256sum -c --quiet SHA256SUMS && ls -A ..")
    assert sorted(said.split()) == sorted(path.rpartition("/")[2].replace(".dump", ending) for ending in (".dump", ".globals.sql", ".json"))
    # How the next one is to be made starts no run.
    studio.put_resource(backup=REQUIRE_BACKUP, rehearsal={"mode": "OnBackup"})
    assert studio.wait_ready(version="001").status.run == seen.status.run


def test_the_dump_is_taken_by_its_own_role_and_of_the_migrated_database_only(studio: Studio) -> None:
    """The role that migrates may not read everything; the one that dumps has a Secret that names the wrong database first."""
    studio.put_volume()
    studio.prepare(FIRST)
    dumper, password = f"{studio.database.user}_dumper", secrets.token_hex(20)
    studio.database.administer(f"CREATE ROLE {dumper} LOGIN PASSWORD '{password}' IN ROLE pg_read_all_data; CREATE TABLE theirs (id int)")
    try:
        right = studio.database.secret_keys() | {"user": dumper, "password": password}
        put_dumper(studio, right | {"dbname": "postgres"})
        studio.put_resource(backup=REQUIRE_BACKUP | {"secretRef": {"name": DUMPER_NAME}})
        refused = studio.wait_reason(Reason.BACKUP_DATABASE_MISMATCH, stalled=False)
        assert any(DUMPER_NAME in step for step in refused.status.next_steps)
        assert nothing_applied(studio)
        put_dumper(studio, right)
        studio.retry("the right database")
        seen = studio.wait_ready(version="001")
    finally:
        studio.database.administer(f"DROP ROLE {dumper}")
    assert seen.status.backup is not None
    logs = "".join(studio.kubectl("logs", f"job/{name}") for name in studio.jobs())
    assert password not in logs + studio.kubectl("get", "dbm,events,jobs,pods", "-o", "yaml")


def put_dumper(studio: Studio, keys: dict[str, str]) -> None:
    studio.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": DUMPER_NAME}, "stringData": keys})


def test_a_backup_that_somebody_else_takes_is_shown_as_declared_and_never_as_proved(studio: Studio) -> None:
    external = {"provider": "pgBackRest, stanza studio", "recoveryPoint": "5m", "restoreTestedOn": "2026-11-01"}
    seen = studio.start(FIRST, backup={"policy": "External", "external": external})
    backed_up = seen.condition(ConditionType.BACKED_UP)
    assert backed_up is not None
    assert (backed_up.status, backed_up.reason) == ("Unknown", Reason.BACKUP_DECLARED)
    assert all(word in backed_up.message for word in ("pgBackRest, stanza studio", "not proved", "5m", "2026-11-01"))
    declared = seen.status.declared_backup
    assert declared is not None
    assert studio.database.rows(f"SELECT '{declared.lsn}'::pg_lsn < pg_current_wal_lsn()") == ["t"]
    assert seen.status.backup is None
    assert ("Normal", "BackupDeclared") in [(kind, reason) for kind, reason, _ in studio.events()]

    # Another word for the same starts no run.
    studio.put_resource(backup={"policy": "External", "external": external | {"provider": "barman"}})
    assert studio.wait_ready(version="001").status.run == seen.status.run


def nothing_applied(studio: Studio) -> bool:
    """No migration's table, and nothing of ours in the database."""
    schemas = studio.database.rows("SELECT nspname FROM pg_namespace WHERE nspname = 'dbmigration'")
    return studio.database.history() == [] and "first" not in studio.database.tables() and schemas == []


def node_directory(studio: Studio) -> NodeDirectory:
    found = studio.cluster.node_directory(f"{studio.namespace}-shared")
    assert found is not None, "this test needs a node that can be reached"
    return found


def claim_of(studio: Studio, name: str, directory: NodeDirectory, **more: object) -> tuple[Json, Json]:
    """A volume that is this directory of the node, and a claim for it."""
    volume_name = f"{studio.namespace}-{name}"
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [directory.node]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name, "labels": {"dbmigration.dev/test-namespace": studio.namespace}},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": NO_CLASS,
            "claimRef": {"namespace": studio.namespace, "name": name},
            "local": {"path": directory.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            **more,
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": studio.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": NO_CLASS,
            "volumeName": volume_name,
        },
    }
    return json.loads(json.dumps(volume)), claim
