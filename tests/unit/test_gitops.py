"""What we ship for kustomize, Flux and Argo CD fits the resource, and Argo CD's verdict is right for every reason."""

import json
import re
from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml

from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.decide.rules import decide
from dbmigration.kube.crd import build_approval_crd, build_crd
from tests.unit.observing import NOW, ended, failure_report, job, report, run, seen

GITOPS = Path(__file__).parents[2] / "manifests" / "gitops"
LUA = (GITOPS / "argocd" / "health.lua").read_text()
WAITS = (Reason.WINDOW_CLOSED, Reason.APPROVAL_PENDING, Reason.APPROVAL_STALE, Reason.PROMOTION_PENDING, Reason.SUSPENDED)


def health(status: Status | None, generation: int = 1) -> str:
    """Argo CD's verdict on a resource with this status, as its Lua says it."""
    raw: dict[str, Any] = {"metadata": {"generation": generation}}
    if status is not None:
        raw["status"] = json.loads(status.to_json())
    lua = lupa.LuaRuntime()
    lua.globals()["obj"] = lua.table_from(raw, recursive=True)
    found = lua.execute(LUA)
    assert found["message"]
    return str(found["status"])


def told(verdict: Verdict) -> Status:
    return Status(observed_generation=1, conditions=set_conditions((), verdict, generation=1, now=NOW))


@pytest.mark.parametrize("reason", Reason)
def test_argo_cds_verdict_of_every_reason(reason: Reason) -> None:
    assert health(told(Verdict(True, Work.IDLE, reason, "done"))) == "Healthy"
    assert health(told(Verdict(False, Work.STALLED, reason, "no"))) == "Degraded"
    assert health(told(Verdict(False, Work.RECONCILING, reason, "at work"))) == "Progressing"
    assert health(told(Verdict(False, Work.IDLE, reason, "waits"))) == "Suspended"
    assert health(told(Verdict(True, Work.IDLE, reason, "of the spec before")), generation=2) == "Progressing"


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.PREPARED, Reason.WINDOW_CLOSED}))  # with these a run ends well
def test_argo_cds_verdict_of_a_run_that_failed(reason: Reason) -> None:
    """argo-healthy-while-failed: of what the operator itself makes of a report."""
    for transient, expected in ((True, "Progressing"), (False, "Degraded")):
        failed = ended(failure_report(reason, transient=transient))
        status = decide(seen(status=Status(run=run()), jobs=(failed,)), NOW).status
        assert health(status) == expected


def test_argo_cds_verdict_from_a_new_resource_to_the_end() -> None:
    assert health(None) == "Progressing"
    assert health(Status()) == "Progressing"
    started = decide(seen(), NOW).status
    assert health(started) == "Progressing"
    under_way = started.model_copy(update={"run": run()})
    assert health(decide(seen(status=under_way, jobs=(job(),)), NOW).status) == "Progressing"
    assert health(decide(seen(status=under_way, jobs=(ended(report()),)), NOW).status) == "Healthy"


def test_the_patch_of_argocd_cm_holds_the_same_text() -> None:
    patch = yaml.safe_load((GITOPS / "argocd" / "argocd-cm-patch.yaml").read_text())
    assert patch["data"]["resource.customizations.health.dbmigration.dev_DatabaseMigration"] == LUA


def test_every_name_reference_is_a_field_of_ours() -> None:
    schemas = {}
    for crd in (build_crd(), build_approval_crd()):
        schemas[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for reference in yaml.safe_load((GITOPS / "kustomize" / "namereference.yaml").read_text())["nameReference"]:
        for field in reference["fieldSpecs"]:
            at = schemas[field["kind"]]
            for part in field["path"].split("/"):
                at = at.get("items", at)["properties"][part]
            assert at["type"] == "string", field["path"]


def test_flux_takes_the_reasons_that_wait_for_a_person_or_a_clock() -> None:
    shipped = yaml.safe_load((GITOPS / "flux" / "kustomization.yaml").read_text())["spec"]["healthCheckExprs"][0]
    assert re.findall(r"'(\w+)'", shipped["current"])[2:] == [reason.value for reason in WAITS]
