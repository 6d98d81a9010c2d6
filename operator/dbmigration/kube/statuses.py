"""Reading a status that may have been written by another version."""

from pydantic import ValidationError

from dbmigration.api.status import Status
from dbmigration.kube.client import JsonObject


def read_status(raw: JsonObject) -> Status:
    """Fields that cannot be read (written by hand or by a newer operator) are left out; the others, above all `run`, still hold."""
    try:
        return Status.model_validate(raw)
    except ValidationError as error:
        unreadable = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
        return Status.model_validate({key: value for key, value in raw.items() if key not in unreadable})
