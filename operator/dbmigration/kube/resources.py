"""A resource as it was read: what decisions see of it, and its spec and status, which another version may have written."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from dbmigration.api.conditions import clip
from dbmigration.kube.client import JsonObject

Model = TypeVar("Model", bound=BaseModel)
Observation = TypeVar("Observation")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Observation]):
    """The resource as it was read: what `decide` may look at, and what writing back needs."""

    observed: Observation
    resource_version: str
    raw_status: JsonObject


def read_spec(model: type[Model], raw: JsonObject) -> tuple[Model | None, str | None]:
    """The spec, or why it cannot be read: the first fields that are wrong, without what was written in them."""
    try:
        return model.model_validate(raw), None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return None, clip("; ".join(f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in found[:5]))


def read_status(model: type[Model], raw: JsonObject) -> Model:
    """Fields that cannot be read (written by hand or by a newer operator) are left out; the others, above all `run`, still hold."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        unreadable = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
        return model.model_validate({key: value for key, value in raw.items() if key not in unreadable})
