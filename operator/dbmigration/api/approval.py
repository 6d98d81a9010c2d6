"""The MigrationApproval: a person agrees to one plan. A kind of its own, so that its rights are its own and no tool that owns `spec` of
the DatabaseMigration ever takes it back."""

from typing import Annotated

from pydantic import ConfigDict, Field

from dbmigration.api.fields import ObjectName, PlanHash, SpecModel, rule, rules

_FOR_GOOD = "an approval cannot be changed: delete it, and make one that names the other plan"


class MigrationRef(SpecModel):
    """A DatabaseMigration of the approval's own namespace."""

    name: ObjectName
    """Name of the DatabaseMigration."""


class ApprovalSpec(SpecModel):
    """What is agreed to, and who says so."""

    model_config = ConfigDict(json_schema_extra=rules(rule("self == oldSelf", _FOR_GOOD)))

    migration_ref: MigrationRef
    """Whose plan it is."""
    plan_hash: PlanHash
    """The plan: status.plan.hash of the DatabaseMigration, or what `dbmigration plan` shows."""
    approved_by: Annotated[str, Field(max_length=256)] | None = None
    """Who approves, as they say themselves. Who really made this object is in the API server's audit log."""
    comment: Annotated[str, Field(max_length=1024)] | None = None
    """Why, or the number of a change."""
