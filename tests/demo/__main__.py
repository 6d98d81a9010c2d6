"""`python -m tests.demo up|down`: the whole path on a real cluster, shown step by step."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.cluster.choose import chosen_cluster
from tests.cluster.errors import ClusterError
from tests.cluster.images import operator_image
from tests.cluster.interface import Cluster
from tests.cluster.operator import install_operator
from tests.cluster.postgres import Database, psql, start_postgres
from tests.cluster.volumes import backup_volume, release_volumes
from tests.demo.view import NotReachedError, condition, is_current, watch_until

ROOT: Final = Path(__file__).resolve().parents[2]
MIGRATIONS: Final = ROOT / "migrations"
SAMPLE: Final = ROOT / "manifests" / "samples" / "databasemigration.yaml"
NAMESPACE: Final = "studio"
NAME: Final = "studio"
BROKEN: Final = """\
-- ============================================
-- Migration: 005 - Add Project Limits
-- ============================================
-- Purpose: Show what a refusal looks like: the second statement names a column that is not there
--
-- Dependencies:
--   - 001_create_platform_schema.sql
--
-- Rollback:
--   See rollback-005.sql
-- ============================================

BEGIN;

ALTER TABLE platform.projects ADD COLUMN max_databases INTEGER DEFAULT 10;

CREATE INDEX idx_projects_owner ON platform.projects (owner_id);

COMMIT;
"""


def up() -> None:
    """Cluster, operator, PostgreSQL, the platform's migrations, and a broken one at the end."""
    started = time.monotonic()
    cluster = chosen_cluster()
    say("1. A cluster with our images (about 15 min the first time without Docker, 15 s from the cache)")
    cluster.create()
    cluster.load_images()

    say("2. The operator: kubectl apply -k manifests/base")
    install_operator(cluster)

    say("3. A namespace with a PostgreSQL, its Secret, the migrations as a ConfigMap, and a volume for backups")
    database = prepare(cluster)
    show(cluster, "get", "secret,configmap,persistentvolumeclaim,pod", "-n", NAMESPACE)

    say("4. kubectl apply -f manifests/samples/databasemigration.yaml")
    print(SAMPLE.read_text())
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(SAMPLE))
    watch_until(cluster, NAMESPACE, NAME, lambda r: is_current(r) and condition(r, "Ready").get("status") == "True", seconds=300)
    show(cluster, "get", "dbm", "-n", NAMESPACE)

    say("5. The history, as the migrations' README has it")
    print(psql(cluster, database, "SELECT id, migration_name, applied_at FROM platform.schema_migrations ORDER BY id"))

    say("6. The backup on its volume, and its checksum as the resource says it")
    print(backup_on_volume(cluster))
    show(cluster, "get", "dbm", NAME, "-n", NAMESPACE, "-o", "jsonpath={.status.backup}")

    say("7. A broken 005 arrives: the second statement names a column that is not there")
    put_migrations(cluster, {"005_add_project_limits.sql": BROKEN})
    watch_until(cluster, NAMESPACE, NAME, lambda r: bool(condition(r, "Stalled")), seconds=300)
    show(cluster, "get", "dbm", "-n", NAMESPACE)
    show(cluster, "describe", "dbm", NAME, "-n", NAMESPACE)

    say(f"Done in {time.monotonic() - started:.0f} s. 004 is in, 005 was rolled back whole. Look around:")
    print(
        f"""
  export KUBECONFIG={cluster.kubeconfig_path}
  alias kubectl={cluster.kubectl_path}
  kubectl get dbm -n {NAMESPACE} -w
  kubectl describe dbm {NAME} -n {NAMESPACE}
  kubectl logs -n {NAMESPACE} job/$(kubectl get dbm {NAME} -n {NAMESPACE} -o jsonpath='{{.status.run.jobName}}')
  kubectl exec -it -n {NAMESPACE} {database.name}-0 -- psql -h /tmp -U {database.user} {database.database}

  Mend it:  kubectl create configmap studio-migrations -n {NAMESPACE} --from-file=migrations/ --dry-run=client -o yaml | kubectl apply -f -
  End it:   make demo-down
"""
    )


def down() -> None:
    """Remove the demo, and the cluster when it is ours."""
    cluster = chosen_cluster()
    if cluster.running():
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        release_volumes(cluster, NAMESPACE)
    cluster.delete()


def prepare(cluster: Cluster) -> Database:
    """A fresh namespace with everything the sample refers to."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    release_volumes(cluster, NAMESPACE)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(namespace))
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", NAMESPACE, "--timeout=30s")
    database = start_postgres(cluster, NAMESPACE, name="studio-db", user="studio", database="studio")
    backup_volume(cluster, NAMESPACE, "studio-backups")
    put_migrations(cluster, {})
    return database


def put_migrations(cluster: Cluster, more: dict[str, str]) -> None:
    """The ConfigMap from migrations/ and some more files."""
    with tempfile.TemporaryDirectory() as folder:
        for file in MIGRATIONS.iterdir():
            shutil.copy(file, folder)
        for name, text in more.items():
            (Path(folder) / name).write_text(text)
        manifest = cluster.kubectl(
            *["create", "configmap", "studio-migrations", f"--from-file={folder}", "--dry-run=client", "-o", "json"], "-n", NAMESPACE
        )
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=manifest)


def backup_on_volume(cluster: Cluster) -> str:
    """What a pod that mounts the volume sees: the files and their SHA-256."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "look-at-backups"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "look",
                    "image": operator_image(),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "cd /backup && ls -l */ && sha256sum */*.dump"],
                    "securityContext": security,
                    "volumeMounts": [{"name": "backup", "mountPath": "/backup", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "backup", "persistentVolumeClaim": {"claimName": "studio-backups"}}],
        },
    }
    cluster.kubectl("create", "-n", NAMESPACE, "-f", "-", input=json.dumps(pod))
    cluster.kubectl("wait", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "pod/look-at-backups", "--timeout=60s")
    said = cluster.kubectl("logs", "-n", NAMESPACE, "look-at-backups")
    cluster.kubectl("delete", "pod", "-n", NAMESPACE, "look-at-backups", "--wait=false")
    return said


def say(what: str) -> None:
    print(f"\n=== {what}\n", flush=True)


def show(cluster: Cluster, *args: str) -> None:
    """A kubectl command as a user would type it, and its answer."""
    print(f"$ kubectl {' '.join(args)}\n{cluster.kubectl(*args).rstrip()}\n", flush=True)


if __name__ == "__main__":
    try:
        {"up": up, "down": down}[sys.argv[1]]()
    except (ClusterError, NotReachedError) as failed:
        sys.exit(f"error: {failed}")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"error: {failed}\n{failed.stderr or failed.output or ''}")
