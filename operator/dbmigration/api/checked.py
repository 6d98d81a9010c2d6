"""What a run found out about the files of its plan, for the checklist."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Checked(BaseModel):
    """What was found out about the files of a plan with anything to do. `to`: number of the newest; `dependencies` of their headers were
    looked up; `parsed`: PostgreSQL's own grammar read them, and `syntax` is the first thing that it could not; `no_rollback`: the first of
    the `no_rollback_count` migrations without a rollback script.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, defer_build=True)

    files: int
    to: str | None = None
    dependencies: int = 0
    parsed: bool = False
    syntax: str | None = Field(default=None, max_length=300)
    no_rollback: tuple[str, ...] = ()
    no_rollback_count: int = 0
