"""One DatabaseMigration, called `studio`, with everything it refers to, in the namespace of one test. All through kubectl."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dbmigration.api.names import API_VERSION, KIND, RETRY_ANNOTATION, UID_LABEL
from dbmigration.api.reasons import Reason
from tests.cluster.cache import CHECKOUT
from tests.cluster.interface import Cluster
from tests.cluster.volumes import backup_volume
from tests.e2e.databases import Owned
from tests.e2e.seen import Seen
from tests.e2e.watch import Json, watch_until

NAME: Final = "studio"
FILES_NAME: Final = "studio-migrations"
SECRET_NAME: Final = "studio-db"
CLAIM_NAME: Final = "studio-backups"
PLATFORM: Final = CHECKOUT / "migrations"
RUN_SECONDS: Final = 90.0
"""Deadline for what one run does, on a slow machine; usually it takes three seconds."""

SKIP_BACKUP: Final[dict[str, Any]] = {"policy": "Skip"}
REQUIRE_BACKUP: Final[dict[str, Any]] = {"destination": {"persistentVolumeClaim": {"claimName": CLAIM_NAME}}}


@dataclass(frozen=True)
class Studio:
    """The resource in its namespace."""

    cluster: Cluster
    namespace: str
    database: Owned

    def kubectl(self, *args: str, **options: Any) -> str:
        """kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *args, **options)

    def put(self, *manifests: Json) -> None:
        """`kubectl apply --server-side` of objects, so that their size does not matter."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=listed, stderr=subprocess.STDOUT)

    def put_files(self, files: Mapping[str, str], name: str = FILES_NAME) -> None:
        """A ConfigMap that holds exactly these files."""
        self.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(files)})

    def put_secret(self, keys: Mapping[str, str]) -> None:
        """The Secret with exactly these keys."""
        self.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET_NAME}, "stringData": dict(keys)})

    def put_volume(self) -> None:
        """An empty volume for backups and its claim."""
        backup_volume(self.cluster, self.namespace, CLAIM_NAME)

    def put_resource(self, **spec: Any) -> None:
        """The resource, with these fields of its spec instead of the default ones; None leaves one out."""
        self.put(resource(**spec))

    def prepare(self, files: Mapping[str, str]) -> None:
        """Secret and files: what a resource without a backup needs."""
        self.put_secret(self.database.secret_keys())
        self.put_files(files)

    def start(self, files: Mapping[str, str], **spec: Any) -> Seen:
        """Secret, files and resource; returns when it is Ready."""
        self.prepare(files)
        self.put_resource(**spec)
        return self.wait_ready()

    def look(self) -> Seen:
        return Seen.of(json.loads(self.kubectl("get", "dbm", NAME, "-o", "json")))

    def wait(self, holds: Callable[[Seen], bool], what: str, *, seconds: float = RUN_SECONDS) -> Seen:
        """The first version of the resource for which `holds` is true."""
        found = watch_until(*(self.cluster, "dbm", self.namespace, lambda raw: holds(Seen.of(raw))), name=NAME, what=what, seconds=seconds)
        return Seen.of(found)

    def wait_ready(self, *, version: str | None = None) -> Seen:
        """Ready about the newest spec, and at `version` when one is given (an edited ConfigMap leaves no trace in the generation)."""
        return self.wait(
            lambda seen: seen.ready and seen.current and version in (None, seen.status.version), f"Ready at {version or 'any version'}"
        )

    def wait_reason(self, reason: Reason, *, stalled: bool | None = None, seconds: float = RUN_SECONDS) -> Seen:
        """Not Ready for this reason about the newest spec."""
        return self.wait(
            lambda seen: seen.reason == reason and seen.current and stalled in (None, seen.stalled),
            f"{reason}{'' if stalled is None else ', Stalled' if stalled else ', not Stalled'}",
            seconds=seconds,
        )

    def retry(self, value: str) -> None:
        """Set the annotation that asks for another run."""
        self.kubectl("annotate", "dbm", NAME, f"{RETRY_ANNOTATION}={value}", "--overwrite")

    def jobs(self) -> list[str]:
        """Names of the Jobs in the namespace, oldest first."""
        items = json.loads(self.kubectl("get", "jobs", "-o", "json", "--sort-by=.metadata.creationTimestamp"))["items"]
        return [job["metadata"]["name"] for job in items]

    def runner_pod(self, uid: str) -> str:
        """Name of the newest pod of the resource's runs."""
        found = self.kubectl("get", "pods", "-l", f"{UID_LABEL}={uid}", "-o", "json", "--sort-by=.metadata.creationTimestamp")
        return str(json.loads(found)["items"][-1]["metadata"]["name"])

    def events(self) -> list[tuple[str, str, str]]:
        """Type, reason and message of the resource's events."""
        items = json.loads(
            self.kubectl("get", "events", "-o", "json", f"--field-selector=involvedObject.kind={KIND},involvedObject.name={NAME}")
        )["items"]
        return [(event["type"], event["reason"], event["message"]) for event in items]

    def plugin(self, *words: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """`kubectl dbmigration` as a person calls it in a pipe, in the namespace, with kubectl's configuration."""
        command = [sys.executable, "-m", "dbmigration.cli.plugin.main", *words, "-n", self.namespace]
        environment = os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig_path)}
        return subprocess.run(command, check=False, timeout=seconds, env=environment, capture_output=True, text=True)

    def delete(self) -> None:
        """Delete the resource and wait until it and its Jobs are gone."""
        self.kubectl("delete", "dbm", NAME, f"--timeout={RUN_SECONDS:.0f}s")
        if self.jobs():
            self.kubectl("wait", "--for=delete", "jobs", "--all", f"--timeout={RUN_SECONDS:.0f}s")


def settle(studio: Studio) -> None:
    """Wait until the operator has worked on everything that happened before, also where it has nothing to say about it.

    Its watches tell in order, so once it has spoken of another resource, and then of another ConfigMap, it has seen what came before them.
    """
    name = f"bystander-{secrets.token_hex(3)}"
    bystander = resource(source={"configMaps": [{"name": name}]})
    bystander["metadata"] = {"name": name}
    studio.put(bystander)

    def says(reason: Reason) -> None:
        watch_until(
            *(studio.cluster, "dbm", studio.namespace, lambda raw: Seen.of(raw).reason == reason),
            name=name,
            what=reason,
            seconds=RUN_SECONDS,
        )

    says(Reason.SOURCE_MISSING)
    studio.put_files({"README.md": "no migration"}, name=name)
    says(Reason.SOURCE_INVALID)
    studio.kubectl("delete", f"dbm/{name}", f"configmap/{name}")


def resource(**spec: Any) -> Json:
    """The manifest: no backup, unless `backup` says otherwise; retries a second apart."""
    defaults: Json = {
        "database": {"secretRef": {"name": SECRET_NAME}},
        "source": {"configMaps": [{"name": FILES_NAME}]},
        "environment": "staging",
        "backup": SKIP_BACKUP,
        "retry": {"backoff": "1s"},
    }
    given = {name: value for name, value in {**defaults, **spec}.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": NAME}, "spec": given}


def platform_files(folder: Path = PLATFORM) -> dict[str, str]:
    """The platform's own migrations as they lie in the repository."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()) if path.suffix in (".sql", ".toml")}
