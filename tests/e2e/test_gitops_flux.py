"""Flux's own kustomize-controller applies our manifests from an artifact: it is done when the database is, and never before."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dbmigration.api.reasons import Reason
from tests.cluster.cache import CHECKOUT
from tests.cluster.flux import install_kustomization_kind, install_source_kinds, kustomize_controller
from tests.cluster.interface import Cluster
from tests.e2e.studio import NAME, SKIP_BACKUP, Studio, resource
from tests.e2e.watch import Json, watch_until
from tests.engine.archives import FileServer, file_server, tar_of

SHIPPED: Final = CHECKOUT / "manifests" / "gitops"
FIRST: Final = {"001_first.sql": "CREATE TABLE first (id int);"}
SLOW: Final = {"002_second.sql": "CREATE TABLE second AS SELECT 1 AS id FROM pg_sleep(4);"}
THIRD: Final = {"003_third.sql": "CREATE TABLE third (id int);"}
BROKEN: Final = {"003_third.sql": "CREATE TABLE third (id int); SELECT 1/0;"}
SECONDS: Final = 150.0


@pytest.fixture(scope="module")
def controller(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    install_source_kinds(cluster)
    install_kustomization_kind(cluster)
    with kustomize_controller(cluster, tmp_path_factory.mktemp("flux") / "log"):
        yield


def half_a_year_away() -> dict[str, str]:
    """A window that is closed now."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return {"schedule": f"0 0 1 {month} *", "duration": "1m"}


@dataclass
class Deployment:
    """A repository that Flux follows, and the Kustomization that applies it."""

    studio: Studio
    server: FileServer
    revisions: int = 0
    manifests: dict[str, bytes] = field(default_factory=dict)

    def push(self, files: dict[str, str], **spec: Any) -> str:
        """A new commit of the migrations and the resource; says its revision."""
        kustomization = yaml.safe_load((SHIPPED / "kustomize" / "kustomization.yaml").read_text())
        kustomization["configMapGenerator"][0]["files"] = sorted(files)
        made = resource(**{"source": {"configMaps": [{"name": "studio-migrations"}]}, "backup": SKIP_BACKUP, **spec})
        return self.push_all(
            {
                "deploy/kustomization.yaml": yaml.safe_dump(kustomization),
                "deploy/namereference.yaml": (SHIPPED / "kustomize" / "namereference.yaml").read_text(),
                "deploy/databasemigration.yaml": yaml.safe_dump(made),
                **{f"deploy/{name}": text for name, text in files.items()},
            }
        )

    def push_all(self, files: dict[str, str]) -> str:
        self.revisions += 1
        data = tar_of({name: text.encode() for name, text in files.items()})
        path = f"/{self.studio.namespace}/{self.revisions}.tar.gz"
        self.server.held[path] = data
        revision = f"main@sha1:{self.revisions:040d}"
        artifact = {
            "path": path,
            "url": f"http://127.0.0.1:{self.server.port}{path}",
            "revision": revision,
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "lastUpdateTime": "2026-11-27T12:00:00Z",
        }
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-11-27T12:00:00Z"}
        patch = json.dumps({"status": {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}})
        self.studio.kubectl("patch", "gitrepositories.source.toolkit.fluxcd.io", NAME, "--subresource=status", "--type=merge", "-p", patch)
        return revision

    def start(self) -> None:
        spec = yaml.safe_load((SHIPPED / "flux" / "kustomization.yaml").read_text())["spec"]
        spec |= {"interval": "1h", "retryInterval": "1h", "timeout": "2m", "targetNamespace": self.studio.namespace}
        source = {"url": "https://git.example.com/studio", "interval": "1h"}
        self.studio.put(
            {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": NAME}, "spec": source},
            {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": NAME}, "spec": spec},
        )

    def patch(self, spec: Json) -> None:
        patch = json.dumps({"spec": spec})
        self.studio.kubectl("patch", "kustomizations.kustomize.toolkit.fluxcd.io", NAME, "--type=merge", "-p", patch)

    def wait(self, revision: str, status: str) -> Json:
        """What Flux says of Ready about the revision, as soon as it says True or False."""

        def told(raw: Json) -> Json | None:
            conditions = raw.get("status", {}).get("conditions") or []
            about = raw.get("status", {}).get("lastAttemptedRevision") == revision
            return next((c for c in conditions if c["type"] == "Ready" and c["status"] == status), None) if about else None

        kind = "kustomizations.kustomize.toolkit.fluxcd.io"
        found = watch_until(
            *(self.studio.cluster, kind, self.studio.namespace, lambda raw: told(raw) is not None),
            name=NAME,
            what=f"Flux says {status} of {revision}",
            seconds=SECONDS,
        )
        condition = told(found)
        assert condition is not None
        return condition


@pytest.fixture
def deployment(studio: Studio, controller: None) -> Iterator[Deployment]:
    studio.put_secret(studio.database.secret_keys())
    with file_server() as server:
        found = Deployment(studio, server)
        found.start()
        yield found
        # Its finalizer needs the controller.
        studio.kubectl("delete", "kustomizations.kustomize.toolkit.fluxcd.io", "--all", "--timeout=60s")


def test_flux_is_done_when_the_database_is(deployment: Deployment) -> None:
    studio = deployment.studio
    deployment.wait(deployment.push(FIRST), "True")
    assert studio.look().status.version == "001"

    said = deployment.wait(deployment.push(FIRST | SLOW), "True")
    after = studio.look()
    assert after.status.version == "002"
    assert after.status.run is not None
    assert after.status.run.finished_at is not None
    assert datetime.fromisoformat(said["lastTransitionTime"]) >= after.status.run.finished_at, "not before the run was over"
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
    assert len(studio.jobs()) == 2

    failed = deployment.wait(deployment.push(FIRST | SLOW | BROKEN), "False")
    assert failed["reason"] == "HealthCheckFailed"
    assert "timeout" not in failed["message"].lower(), "it failed when the resource was Stalled"
    assert studio.look().reason == Reason.SQL_FAILED
    assert studio.database.tables() == ["first", "second"]


def test_a_closed_window_a_suspended_and_a_pruned_resource(deployment: Deployment) -> None:
    studio = deployment.studio
    deployment.wait(deployment.push(FIRST), "True")
    deployment.wait(deployment.push(FIRST | THIRD, window=half_a_year_away()), "True")
    assert studio.look().reason == Reason.WINDOW_CLOSED
    assert studio.database.tables() == ["first"]

    deployment.patch({"suspend": True})
    opened = deployment.push(FIRST | THIRD)
    deployment.patch({"suspend": False})
    deployment.wait(opened, "True")
    assert studio.database.history() == ["001_first.sql", "003_third.sql"]

    deployment.wait(deployment.push_all({"deploy/kustomization.yaml": yaml.safe_dump({"resources": []})}), "True")
    assert studio.kubectl("get", "dbm,configmaps", "-l", "kustomize.toolkit.fluxcd.io/name", "-o", "name") == ""
    assert studio.database.tables() == ["first", "third"]


def test_the_sample_is_what_kustomize_makes_of_it(cluster: Cluster, tmp_path: Path) -> None:
    """The suffix of the ConfigMap's content reaches the spec."""
    rendered = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(SHIPPED / "kustomize"))))
    names = {each["kind"]: each for each in rendered}
    suffixed = names["ConfigMap"]["metadata"]["name"]
    assert suffixed.startswith("studio-migrations-")
    assert names["DatabaseMigration"]["spec"]["source"]["configMaps"] == [{"name": suffixed}]
