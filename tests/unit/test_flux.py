"""What source-controller says of its artifact, and what a run's pod is told to get."""

from typing import Any

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.sources import FluxRef, GitSource
from dbmigration.decide.observed import FetchedSource, MissingSource
from dbmigration.kube.flux import artifact_of
from dbmigration.kube.source import git_source

REFERENCE = FluxRef.model_validate({"kind": "GitRepository", "name": "app"})
DIGEST = f"sha256:{'4d' * 32}"


def source(artifact: dict[str, Any] | None, **ready: str) -> FetchedSource | MissingSource:
    conditions = [{"type": "Ready", "status": "False", **ready}] if ready else []
    return artifact_of({"status": {"artifact": artifact, "conditions": conditions}}, REFERENCE, "GitRepository studio/app")


def artifact(**changes: str) -> dict[str, Any]:
    return {"url": "http://source-controller.flux-system/app.tar.gz", "digest": DIGEST, "revision": "main@sha1:4d", **changes}


def test_the_pod_is_told_address_digest_and_revision() -> None:
    found = source(artifact())
    assert isinstance(found, FetchedSource)
    assert found.request.artifact is not None
    assert (found.request.artifact.digest, found.request.artifact.revision) == (DIGEST, "main@sha1:4d")


def test_the_last_good_artifact_counts_while_a_newer_one_fails() -> None:
    assert isinstance(source(artifact(), reason="GitOperationFailed", message="no route to host"), FetchedSource)


def test_the_same_bytes_from_another_address_are_the_same_question() -> None:
    one, two = source(artifact()), source(artifact(url="http://elsewhere/app.tar.gz", revision="main@sha1:5e"))
    assert isinstance(one, FetchedSource)
    assert isinstance(two, FetchedSource)
    assert one.identity == two.identity


@pytest.mark.parametrize("given", [None, {}, artifact(url="file:///etc/passwd"), artifact(digest="4d"), artifact(digest="")])
def test_without_an_artifact_flux_own_words_are_told(given: dict[str, Any] | None) -> None:
    found = source(given, reason="GitOperationFailed", message="no route to host")
    assert isinstance(found, MissingSource)
    assert found.reason is Reason.SOURCE_UNAVAILABLE
    assert "GitOperationFailed: no route to host" in found.message


def git(**changes: Any) -> str:
    given = {"url": "https://git.example.com/app", "ref": {"commit": "4d" * 20}, **changes}
    return git_source(GitSource.model_validate(given)).identity


def test_a_commit_is_the_same_wherever_it_is_got_from() -> None:
    assert git() == git(url="ssh://git@mirror/app", secretRef={"name": "key"})
    assert git() != git(path="sql")
    assert git(ref={"branch": "main"}) != git(ref={"branch": "main"}, url="https://git.example.com/other")
    assert git(ref={"branch": "v1"}) != git(ref={"tag": "v1"})
