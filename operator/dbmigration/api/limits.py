"""Texts and lists cut to what their fields declare: the API server refuses a status with one that is longer, and goes on refusing it."""

from typing import Any, TypeVar

from annotated_types import MaxLen
from pydantic import BaseModel

from dbmigration.api.conditions import clip

Model = TypeVar("Model", bound=BaseModel)


def within_limits(model: Model) -> Model:
    """The same model when everything in it fits; else a copy with an ellipsis where a text was cut, and lists without their ends."""
    changed: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        most = next((each.max_length for each in field.metadata if isinstance(each, MaxLen)), None)
        fitted = _fitted(value, most)
        if fitted is not value:
            changed[name] = fitted
    return model.model_copy(update=changed) if changed else model


def _fitted(value: Any, most: int | None) -> Any:
    if isinstance(value, str):
        return value if most is None or len(value) <= most else clip(value, most)
    if isinstance(value, BaseModel):
        return within_limits(value)
    if isinstance(value, tuple):
        items = tuple(_fitted(each, None) for each in value[:most])
        return value if len(items) == len(value) and all(new is old for new, old in zip(items, value, strict=True)) else items
    return value
