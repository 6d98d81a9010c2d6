"""The CustomResourceDefinitions, generated from the models: `python -m dbmigration.kube.crd [--check] [DIRECTORY]`.

Kubernetes takes structural schemas only (API concepts, "Specifying a structural schema"): no $ref, no anyOf of types, no title.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dbmigration.api.approval import ApprovalSpec
from dbmigration.api.fields import REQUIRED_BY_RULE
from dbmigration.api.names import (
    APPROVAL_KIND,
    APPROVAL_PLURAL,
    GROUP,
    KIND,
    PLURAL,
    RESTORE_KIND,
    RESTORE_PLURAL,
    RESTORE_SHORT_NAME,
    SHORT_NAME,
    VERSION,
)
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status

FILE_NAME = f"{GROUP}_{PLURAL}.yaml"
APPROVAL_FILE_NAME = f"{GROUP}_{APPROVAL_PLURAL}.yaml"
RESTORE_FILE_NAME = f"{GROUP}_{RESTORE_PLURAL}.yaml"

_NOT_STRUCTURAL = ("title", "$defs", "additionalProperties")

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether the database is as the resource asks."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0, "Why."),
    ("Version", "string", ".status.version", 0, "Number of the newest applied file."),
    ("Pending", "integer", ".status.pending", 0, "How many files wait."),
    ("Progress", "string", ".status.progress.summary", 0, "Where the run is."),
    ("Backup", "string", '.status.conditions[?(@.type=="BackedUp")].reason', 0, "Whether the newest change was backed up before."),
    ("Environment", "string", ".spec.environment", 1, "Which environment the database is."),
    ("File", "string", ".status.progress.file", 1, "The file at work."),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1, "What happened and what to do."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Age of the resource."),
)


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A pydantic JSON schema as Kubernetes takes it: references inlined, `X or null` as X, defaults of None left out."""
    found = dict(schema)
    if "$ref" in found:
        target = definitions[found.pop("$ref").rsplit("/", 1)[1]]
        found = {**target, **found}
    variants = [v for v in found.get("anyOf", ()) if v != {"type": "null"}]
    if "anyOf" in found and len(variants) == 1:
        del found["anyOf"]
        return structural({**variants[0], **found}, definitions)
    if "allOf" in found and len(found["allOf"]) == 1:
        return structural({**found.pop("allOf")[0], **found}, definitions)
    if found.get("default", ...) is None:
        del found["default"]
    values = found.get("additionalProperties")
    result = {key: value for key, value in found.items() if key not in _NOT_STRUCTURAL}
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).split())
    if isinstance(values, dict):
        result["additionalProperties"] = structural(values, definitions)
    if "properties" in result:
        result["properties"] = {name: structural(value, definitions) for name, value in result["properties"].items()}
        optional = {name for name, value in result["properties"].items() if value.pop(REQUIRED_BY_RULE, False) or "default" in value}
        required = [name for name in result.get("required", ()) if name not in optional]
        result.pop("required", None)
        if required:
            result["required"] = required
    if isinstance(result.get("items"), dict):
        result["items"] = structural(result["items"], definitions)
    if result.get("default") == [] or (result.get("default") == {} and "additionalProperties" in result):
        del result["default"]
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    return result


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    raw = model.model_json_schema(by_alias=True)
    return structural(raw, raw.get("$defs", {}))


def build_crd() -> dict[str, Any]:
    """The whole CustomResourceDefinition as a JSON object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["dbmigration"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(_COLUMNS),
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "A PostgreSQL database and the migrations it is to have: backed up, migrated and proved.",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": schema_of(Spec),
                                "status": _status_of(Status),
                            },
                        }
                    },
                }
            ],
        },
    }


def _status_of(model: type[BaseModel]) -> dict[str, Any]:
    status = schema_of(model)
    # No tool may take a resource nobody has looked at yet for finished (kstatus compares this with metadata.generation).
    status["default"] = {"observedGeneration": -1}
    return status


_RESTORE_COLUMNS = (
    ("Migration", "string", ".spec.migrationRef.name", 0, "Whose database it is."),
    ("Into", "string", ".spec.into", 0, "The new database."),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether what was asked for is done."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0, "Why."),
    ("Taken", "date", ".status.backup.startedAt", 0, "How old the backup is: what was written since is not in it."),
    ("Rows", "integer", ".status.restored.rows", 0, "Rows that were compared with the backup."),
    ("Swapped", "string", '.status.conditions[?(@.type=="Swapped")].status', 0, "Whether it has the place of the database in use."),
    ("Old", "string", ".status.swapped.oldDatabase", 1, "Where the old database is."),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1, "What happened and what to do."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Age of the resource."),
)


def build_restore_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of the DatabaseRestore as a JSON object."""
    crd = build_crd()
    crd["metadata"]["name"] = f"{RESTORE_PLURAL}.{GROUP}"
    crd["spec"]["names"] |= {
        "kind": RESTORE_KIND,
        "listKind": f"{RESTORE_KIND}List",
        "plural": RESTORE_PLURAL,
        "singular": RESTORE_KIND.lower(),
        "shortNames": [RESTORE_SHORT_NAME],
    }
    version = crd["spec"]["versions"][0]
    version["additionalPrinterColumns"] = _columns(_RESTORE_COLUMNS)
    whole = version["schema"]["openAPIV3Schema"]
    whole["description"] = "A backup of a DatabaseMigration's database, restored beside it and, if asked, put in its place."
    whole["properties"] |= {"spec": schema_of(RestoreSpec), "status": _status_of(RestoreStatus)}
    return crd


def _columns(given: tuple[tuple[str, str, str, int, str], ...]) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": text}
        for name, kind, path, priority, text in given
    ]


_APPROVAL_COLUMNS = (
    ("Migration", ".spec.migrationRef.name", 0, "Whose plan it is."),
    ("Plan", ".spec.planHash", 0, "The plan that is agreed to."),
    ("By", ".spec.approvedBy", 0, "Who approves, as they say."),
    ("Comment", ".spec.comment", 1, "Why."),
)


def build_approval_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of the MigrationApproval as a JSON object."""
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "string", "jsonPath": path, "priority": priority, "description": text}
        for name, path, priority, text in _APPROVAL_COLUMNS
    ]
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 0, "description": "When it was given."}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{APPROVAL_PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": APPROVAL_KIND,
                "listKind": f"{APPROVAL_KIND}List",
                "plural": APPROVAL_PLURAL,
                "singular": APPROVAL_KIND.lower(),
                "categories": ["dbmigration"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [*columns, age],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "A person's agreement to one plan of a DatabaseMigration.",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": schema_of(ApprovalSpec),
                            },
                        }
                    },
                }
            ],
        },
    }


def render(crd: Mapping[str, Any]) -> str:
    """A CRD as YAML, with a line that says where it comes from."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Without anchors: what two fields share is written twice."""

        def ignore_aliases(self, data: object) -> bool:
            del data
            return True

    text = yaml.dump(dict(crd), Dumper=Plain, sort_keys=False, width=140, allow_unicode=True)
    return f"# Generated by `python -m dbmigration.kube.crd`: change the models in operator/dbmigration/api instead.\n{text}"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when --check finds the file stale."""
    parser = argparse.ArgumentParser(prog="python -m dbmigration.kube.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not what the models say")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("crds"))
    given = parser.parse_args(arguments)
    stale = False
    for name, crd in ((FILE_NAME, build_crd()), (APPROVAL_FILE_NAME, build_approval_crd()), (RESTORE_FILE_NAME, build_restore_crd())):
        path, text = given.directory / name, render(crd)
        if not given.check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} is stale: run `python -m dbmigration.kube.crd` and commit it\n")
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
