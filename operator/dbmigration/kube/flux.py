"""The artifact of a source of Flux: its address and digest, as source-controller wrote them into status."""

import re
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.api.request import ArtifactRequest, FetchRequest
from dbmigration.api.sources import FluxKind, FluxRef
from dbmigration.decide.observed import FetchedSource, MissingSource
from dbmigration.kube.classify import Answer, ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced

GROUP: Final = "source.toolkit.fluxcd.io"
VERSION: Final = "v1"
PLURALS: Final = {FluxKind.GIT_REPOSITORY: "gitrepositories", FluxKind.OCI_REPOSITORY: "ocirepositories", FluxKind.BUCKET: "buckets"}

_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{32,128}")
_LONGEST: Final = 1024


def read_artifact(api: Api, namespace: str, reference: FluxRef) -> FetchedSource | MissingSource:
    """What the run's pod is to get. Raises ApiFailure."""
    where = reference.namespace or namespace
    label = f"{reference.kind} {where}/{reference.name}"
    try:
        found = api.get_or_none(namespaced(f"{GROUP}/{VERSION}", where, PLURALS[reference.kind], reference.name))
    except ApiFailure as failure:
        if failure.answer is not Answer.REFUSED:
            raise
        return MissingSource(f"{label} cannot be read: {failure.message}", Reason.SOURCE_UNAVAILABLE)
    if found is None:
        return MissingSource(f"{label} does not exist: make it, or name another in spec.source.fluxRef ({GROUP}/{VERSION})")
    return artifact_of(found, reference, label)


def artifact_of(found: JsonObject, reference: FluxRef, label: str) -> FetchedSource | MissingSource:
    """Of the object as it was read. Flux keeps the last good artifact while a newer one fails, and so do we."""
    artifact = (found.get("status") or {}).get("artifact") or {}
    url, digest, revision = (str(artifact.get(key) or "")[:_LONGEST] for key in ("url", "digest", "revision"))
    if not url.startswith(("http://", "https://")) or not _DIGEST.fullmatch(digest):
        return MissingSource(f"{label} has no artifact{_why(found)}", Reason.SOURCE_UNAVAILABLE)
    request = ArtifactRequest(url=url, digest=digest, revision=revision, path=reference.path, source=label)
    return FetchedSource(f"artifact {digest} {reference.path}", FetchRequest(artifact=request))


def _why(found: JsonObject) -> str:
    conditions = (found.get("status") or {}).get("conditions") or ()
    ready = next((each for each in conditions if each.get("type") == "Ready"), None)
    return f": {ready.get('reason')}: {ready.get('message')}"[:500] if ready else " yet"
