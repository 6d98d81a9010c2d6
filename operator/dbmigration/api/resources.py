"""What a container of the run's pod may use, as a person says it."""

from pydantic import Field

from dbmigration.api.fields import Quantities, SpecModel


class Resources(SpecModel):
    """Compute resources of a container, as in a pod."""

    requests: Quantities = Field(default_factory=dict)
    """What the scheduler reserves."""
    limits: Quantities = Field(default_factory=dict)
    """What the container may use at most."""
