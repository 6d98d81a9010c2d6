"""Ask for a DatabaseRestore, as a person with kubectl does."""

from dbmigration.api.names import API_VERSION, RESTORE_KIND, RESTORE_PLURAL
from dbmigration.api.restore import RestoreSpec
from dbmigration.kube.client import Api, namespaced

_LONGEST_NAME = 200


def make_restore(api: Api, namespace: str, name: str, spec: RestoreSpec) -> str:
    """Make one for the DatabaseMigration `name`; returns its own name. Raises ApiFailure."""
    body = {
        "apiVersion": API_VERSION,
        "kind": RESTORE_KIND,
        "metadata": {"generateName": f"{name[:_LONGEST_NAME]}-"},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
    }
    return str(api.create(namespaced(API_VERSION, namespace, RESTORE_PLURAL), body)["metadata"]["name"])
