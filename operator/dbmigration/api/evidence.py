"""What one database proves to another cluster: written by `dbmigration status --evidence`, read by the operator from a ConfigMap."""

import hashlib
from datetime import datetime
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dbmigration.api.states import State

EVIDENCE_KEY: Final = "evidence.json"
"""The ConfigMap's key."""


class _Part(BaseModel):
    """camelCase outside; unknown fields are an error: what was not understood proves nothing."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class EvidenceFile(_Part):
    """A migration or a seed as it stands there."""

    name: str
    state: State
    checksum: str | None = None
    applied_at: datetime | None = None


class EvidenceDocument(_Part):
    """`resource`: the DatabaseMigration that has claimed the database, None where nobody has. `source_digest`: of the folder that it was
    compared with; `complete`: all of its files are applied or skipped. `refused`: why a run there would be refused. `hash`: SHA-256 over
    all the rest; it shows that a copy is damaged, and not who wrote it.
    """

    version: Literal[1] = 1
    environment: str | None = None
    resource: str | None = None
    database: str
    identity: str
    server_version: str
    made_at: datetime
    source_digest: str
    complete: bool
    refused: str | None = Field(default=None, max_length=1024)
    files: tuple[EvidenceFile, ...]
    hash: str = ""

    def sealed(self) -> Self:
        """The same with its hash."""
        return self.model_copy(update={"hash": self._own_hash()})

    @property
    def intact(self) -> bool:
        return self.hash == self._own_hash()

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def _own_hash(self) -> str:
        return hashlib.sha256(self.model_copy(update={"hash": ""}).to_json().encode()).hexdigest()
