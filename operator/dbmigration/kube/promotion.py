"""The database that goes first, as `spec.promotion` names it: a DatabaseMigration, or evidence in a ConfigMap."""

from dbmigration.api.conditions import ConditionType, find
from dbmigration.api.evidence import EVIDENCE_KEY, EvidenceDocument
from dbmigration.api.gates import Promotion
from dbmigration.api.names import KIND
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.observed import Stage
from dbmigration.kube.classify import ApiFailure
from dbmigration.kube.client import Api, JsonObject, namespaced, resource_path
from dbmigration.kube.resources import read_status
from dbmigration.migrations.prefix import prefix_digests
from dbmigration.migrations.seeds import PREFIX

_FORBIDDEN = 403


def read_stage(api: Api, namespace: str, name: str, spec: Spec | None) -> Stage | None:
    """None where nothing has to go first. What cannot be read is said in `problem`. Raises ApiFailure for what another try may mend."""
    wanted = spec.promotion if spec is not None and spec.rollback is None else None
    if wanted is None:
        return None
    return _of_config_map(api, namespace, wanted) if wanted.after is None else _of_resource(api, namespace, name, wanted)


def stage_of(label: str, resource: JsonObject) -> Stage:
    """What a DatabaseMigration says of its database."""
    spec = resource.get("spec") or {}
    status = read_status(Status, resource.get("status") or {})
    return Stage(
        label,
        not_ready=_not_ready(status, resource["metadata"].get("generation", 0)),
        environment=str(spec.get("environment") or "") or None,
        digest=status.source.digest if status.source else None,
        complete=status.source is not None and status.source.complete,
        files={each.name: (each.state, each.checksum) for each in (*status.migrations, *status.seeds)},
        prefixes=frozenset(each.prefix_digest for each in status.migrations if each.prefix_digest),
    )


def stage_of_evidence(label: str, text: str) -> Stage:
    """What the document says, if it is whole."""
    try:
        found = EvidenceDocument.model_validate_json(text)
    except ValueError:
        return Stage(label, problem=f"its key {EVIDENCE_KEY} is not what `dbmigration status --evidence` of this version prints")
    if not found.intact:
        return Stage(label, problem="it was changed since it was printed (its hash is another): print and apply it again")
    return Stage(
        label,
        not_ready=found.refused,
        environment=found.environment,
        digest=found.source_digest,
        complete=found.complete,
        files={each.name: (each.state, each.checksum) for each in found.files},
        prefixes=_prefixes(found),
    )


def _prefixes(found: EvidenceDocument) -> frozenset[str]:
    """A document that had to leave its oldest files out has none that fits."""
    listed = [(each.name, each.state, each.checksum) for each in found.files]
    seeds = [each for each in listed if each[0].startswith(PREFIX)]
    files = [each for each in listed if not each[0].startswith(PREFIX)]
    return frozenset(digest for digest, done in prefix_digests(files, seeds) if done)


def _of_resource(api: Api, namespace: str, name: str, wanted: Promotion) -> Stage:
    after = wanted.after
    assert after is not None, "the other kind is read elsewhere"  # noqa: S101 - for mypy
    there = after.namespace or namespace
    label = f"{KIND} {there}/{after.name}"
    if (there, after.name) == (namespace, name):
        return Stage(label, problem="spec.promotion.after names this resource itself")
    try:
        resource = api.get_or_none(resource_path(there, after.name))
    except ApiFailure as failure:
        if failure.status != _FORBIDDEN:
            raise
        remedy = "let it (get on databasemigrations), or use spec.promotion.evidence"
        return Stage(label, problem=f"the operator may not read {KIND}s in namespace {there}: {remedy}")
    return stage_of(label, resource) if resource is not None else Stage(label, problem="it does not exist")


def _of_config_map(api: Api, namespace: str, wanted: Promotion) -> Stage:
    assert wanted.evidence is not None, "exactly one of the two"  # noqa: S101 - for mypy
    name = wanted.evidence.config_map_ref.name
    label = f"ConfigMap {name}"
    found = api.get_or_none(namespaced("v1", namespace, "configmaps", name))
    if found is None:
        return Stage(label, problem="it does not exist: `dbmigration status --evidence` prints it")
    return stage_of_evidence(label, str((found.get("data") or {}).get(EVIDENCE_KEY, "")))


def _not_ready(status: Status, generation: int) -> str | None:
    ready = find(status.conditions, ConditionType.READY)
    if ready is None or status.observed_generation != generation:
        return "its newest spec was not looked at yet"
    return None if ready.status == "True" else ready.reason
