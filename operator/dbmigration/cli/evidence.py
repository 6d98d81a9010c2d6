"""`dbmigration status --evidence`: what this database proves, as a ConfigMap for `spec.promotion.evidence` of another cluster."""

import json
import sys
from typing import TYPE_CHECKING, Final

from dbmigration.run.result import now

if TYPE_CHECKING:
    from dbmigration.api.evidence import EvidenceDocument
    from dbmigration.run.result import RunResult

_MOST_BYTES: Final = 900_000
"""A ConfigMap holds 1 MiB."""


def print_evidence(result: "RunResult", name: str, environment: str | None) -> None:
    """The manifest, for `kubectl apply -f -`. Nothing where there is no picture of the database to give."""
    from dbmigration.api.evidence import EVIDENCE_KEY

    document = evidence_of(result, environment)
    if document is None:
        return
    while len(document.to_json()) > _MOST_BYTES:
        document = document.model_copy(update={"files": document.files[len(document.files) // 4 :]})
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {EVIDENCE_KEY: document.sealed().to_json()},
    }
    sys.stdout.write(json.dumps(manifest, indent=2) + "\n")


def evidence_of(result: "RunResult", environment: str | None) -> "EvidenceDocument | None":
    """Names, checksums and states; no SQL and no value. None without a plan."""
    from dbmigration.api.evidence import EvidenceDocument, EvidenceFile
    from dbmigration.run.reporting import is_complete

    if result.plan is None or result.server is None or result.source_digest is None:
        return None
    lines = (*result.migrations(), *result.seeds())
    return EvidenceDocument(
        environment=environment,
        resource=result.owner,
        database=result.server.database,
        identity=result.server.identity,
        server_version=result.server.version,
        made_at=now(),
        source_digest=result.source_digest,
        complete=is_complete(result),
        refused=str(result.error)[:1024] if result.error else None,
        files=tuple(
            EvidenceFile(name=line.name, state=line.state, checksum=line.file.checksum if line.file else None, applied_at=line.applied_at)
            for line in lines
        ),
    )
