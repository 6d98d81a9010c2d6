"""The files are in an artifact of Flux: the operator watches it, and the run's pod gets it and compares it with its digest."""

import hashlib
import json
from typing import Any, Final

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.flux import install_source_kinds
from tests.cluster.interface import Cluster
from tests.e2e.file_server import SERVE_FILES, hand_over, start_server
from tests.e2e.studio import Studio
from tests.engine.archives import tar_of

FIRST: Final = {"migrations/001_first.sql": b"CREATE TABLE first (id int);", "app/main.py": b""}
SECOND: Final = {"migrations/002_second.sql": b"CREATE TABLE second (id int);"}
REFERENCE: Final = {"fluxRef": {"kind": "GitRepository", "name": "app"}}


@pytest.fixture(scope="session")
def flux(cluster: Cluster) -> None:
    """Flux's kinds of sources. An operator that runs already notices them."""
    install_source_kinds(cluster)


@pytest.fixture
def store(studio: Studio) -> None:
    start_server(studio, "artifacts", SERVE_FILES, 8080, {})


def put_repository(studio: Studio) -> None:
    spec = {"url": "https://git.example.com/app", "interval": "1h"}
    studio.put({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "app"}, "spec": spec})


def put_artifact(studio: Studio, revision: str, data: bytes, digest: str | None = None) -> None:
    """As source-controller does it."""
    hand_over(studio, "artifacts", {f"{revision}.tar.gz": data})
    artifact: dict[str, Any] = {
        "path": f"{revision}.tar.gz",
        "url": f"http://artifacts.{studio.namespace}:8080/{revision}.tar.gz",
        "revision": f"main@sha1:{revision}",
        "digest": digest or f"sha256:{hashlib.sha256(data).hexdigest()}",
        "lastUpdateTime": "2026-11-27T12:00:00Z",
    }
    patch = json.dumps({"status": {"artifact": artifact}})
    studio.kubectl("patch", "gitrepositories.source.toolkit.fluxcd.io", "app", "--subresource=status", "--type=merge", "-p", patch)


@pytest.mark.usefixtures("flux", "store")
def test_each_new_artifact_is_applied_once(studio: Studio) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=REFERENCE)
    studio.wait_reason(Reason.SOURCE_MISSING, stalled=False)
    put_repository(studio)
    studio.wait_reason(Reason.SOURCE_UNAVAILABLE, stalled=False, seconds=150)  # an operator that was there before Flux starts again first
    put_artifact(studio, "4d", tar_of(FIRST))
    first = studio.wait_ready(version="001")
    assert first.status.source is not None
    assert first.status.source.revision == "main@sha1:4d"

    put_artifact(studio, "5e", tar_of(FIRST | SECOND))
    second = studio.wait_ready(version="002")
    assert second.generation == first.generation
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
    assert len(studio.jobs()) == 2

    put_artifact(studio, "6f", tar_of(FIRST | SECOND), digest=f"sha256:{'0' * 64}")
    assert "has not the digest" in studio.wait_reason(Reason.SOURCE_CHANGING, stalled=False).message
