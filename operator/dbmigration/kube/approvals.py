"""MigrationApprovals: read those of one resource, make one."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import ValidationError

from dbmigration.api.approval import ApprovalSpec, MigrationRef
from dbmigration.api.names import API_VERSION, APPROVAL_KIND, APPROVAL_PLURAL, KIND
from dbmigration.decide.observed import Approved
from dbmigration.kube.client import Api, JsonObject, namespaced

_LONGEST_NAME = 200


def read_approvals(api: Api, namespace: str, name: str) -> tuple[Approved, ...]:
    """Every approval in the namespace that names the DatabaseMigration `name`. Raises ApiFailure."""
    return tuple(_of_resource(api.items(_path(namespace)), name))


def make_approval(api: Api, resource: JsonObject, plan_hash: str, *, approved_by: str | None, comment: str | None) -> str:
    """Approve this plan of the DatabaseMigration `resource`; it is removed with it. Returns the approval's name. Raises ApiFailure."""
    metadata = resource["metadata"]
    spec = ApprovalSpec(migration_ref=MigrationRef(name=metadata["name"]), plan_hash=plan_hash, approved_by=approved_by, comment=comment)
    made = api.create(
        _path(metadata["namespace"]),
        {
            "apiVersion": API_VERSION,
            "kind": APPROVAL_KIND,
            "metadata": {
                "generateName": f"{metadata['name'][:_LONGEST_NAME]}-",
                "ownerReferences": [{"apiVersion": API_VERSION, "kind": KIND, "name": metadata["name"], "uid": metadata["uid"]}],
            },
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
    )
    return str(made["metadata"]["name"])


def who_am_i(api: Api) -> str:
    """The user that the API server takes us for. Raises ApiFailure."""
    version = "authentication.k8s.io/v1"
    asked = api.create(f"/apis/{version}/selfsubjectreviews", {"apiVersion": version, "kind": "SelfSubjectReview"})
    return str(asked["status"]["userInfo"].get("username", "unknown"))[:256]


def _path(namespace: str) -> str:
    return namespaced(API_VERSION, namespace, APPROVAL_PLURAL)


def _of_resource(items: list[JsonObject], name: str) -> Iterator[Approved]:
    for item in items:
        try:
            spec = ApprovalSpec.model_validate(item.get("spec"))
        except ValidationError:
            continue  # of a newer version: what we do not understand approves nothing
        if spec.migration_ref.name == name and "deletionTimestamp" not in item["metadata"]:
            metadata = item["metadata"]
            yield Approved(metadata["name"], spec.plan_hash, spec.approved_by, datetime.fromisoformat(metadata["creationTimestamp"]))
