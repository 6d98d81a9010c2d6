"""How what runs and the operator say is written: in reports, and in status."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Reported(BaseModel):
    """camelCase outside. Unknown fields are ignored: an older operator may read a newer runner's report."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, defer_build=True)


class Shown(Reported):
    """Part of the status as it is: the docstrings of its fields are what `kubectl explain` prints."""

    model_config = ConfigDict(use_attribute_docstrings=True)
