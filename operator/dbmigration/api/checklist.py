"""The checklist before a migration, as `status.checklist` shows it, and what a person declares of it in `spec.declared`."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from dbmigration.api.fields import SpecModel, Version
from dbmigration.api.reported import Shown

EVIDENCE_LIMIT: Final = 512
"""Bytes of an item's evidence."""


class Item(StrEnum):
    """A box of the list, in the order in which they are shown."""

    TESTED_IN_DEVELOPMENT = "TestedInDevelopment"
    TESTED_IN_STAGING = "TestedInStaging"
    REVIEWED = "Reviewed"
    BACKUP_CREATED = "BackupCreated"
    ROLLBACK_PREPARED = "RollbackPrepared"
    DEPENDENCIES_VERIFIED = "DependenciesVerified"
    NO_SYNTAX_ERRORS = "NoSyntaxErrors"
    MAINTENANCE_WINDOW = "MaintenanceWindow"
    MONITORING_ALERTS = "MonitoringAlerts"
    VERIFIED_AFTERWARDS = "VerifiedAfterwards"


class DeclaredItem(StrEnum):
    """The boxes that a person may answer for: what we can see ourselves is not declared."""

    TESTED_IN_DEVELOPMENT = "TestedInDevelopment"
    TESTED_IN_STAGING = "TestedInStaging"
    REVIEWED = "Reviewed"
    ROLLBACK_PREPARED = "RollbackPrepared"
    MAINTENANCE_WINDOW = "MaintenanceWindow"
    MONITORING_ALERTS = "MonitoringAlerts"
    VERIFIED_AFTERWARDS = "VerifiedAfterwards"


class CheckState(StrEnum):
    PROVED = "Proved"
    DECLARED = "Declared"
    WAITING = "Waiting"
    FAILED = "Failed"
    NOT_REQUIRED = "NotRequired"


class Declaration(SpecModel):
    """What somebody says of one box of the checklist. It is shown as Declared, and proves and opens nothing."""

    item: DeclaredItem
    """The box."""
    where: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """Where it can be looked up: a pull request, a rule's name, a link."""
    up_to: Version | None = None
    """The newest file that it is about, as "005". Later files make it wait again. Without it, it is said of every file to come."""


class Check(Shown):
    """One box."""

    model_config = ConfigDict(frozen=True)

    item: Item
    """The box."""
    state: CheckState
    """Proved: evidence was seen. Declared: a person says so. Waiting: asked for and not there yet. Failed. NotRequired: the spec does not
    ask for it, and nothing was looked at."""
    evidence: str = Field(default="", max_length=EVIDENCE_LIMIT)
    """What was seen, where it is declared, or what is missing."""
