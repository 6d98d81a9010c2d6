"""What can be said of the ways to install without a cluster: the chart's text follows the kustomize base, and its schema knows every value.

tests/e2e/test_chart.py renders both and compares every field. These are for whoever edits one of them and not the other.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmigration.api.rehearsal import RehearsalServer
from dbmigration.api.server_script import SCRIPT
from dbmigration.kube.rehearsal_server import server_container

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "manifests" / "base"
CHART = ROOT / "manifests" / "helm" / "dbmigration-operator"
Json = dict[str, Any]


def documents(path: Path) -> list[Json]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def template(name: str) -> str:
    return (CHART / "templates" / name).read_text()


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_charts_rules_are_the_bases() -> None:
    operator, _, *people = re.split(r"^---\n", (BASE / "rbac.yaml").read_text(), flags=re.MULTILINE)
    for document in (operator, *people):
        assert document[document.index("rules:\n") :].strip() in template("rbac.yaml")


def test_the_charts_admission_policy_is_the_bases() -> None:
    (policy, *_) = documents(BASE / "admission-policy.yaml")
    found = words(template("admission-policy.yaml"))
    for each in (*policy["spec"]["variables"], *policy["spec"]["validations"]):
        assert words(each["expression"]) in found


def test_the_policy_knows_the_command_of_the_rehearsals_server() -> None:
    server = server_container(RehearsalServer(image="postgres"))
    (inside,) = next(d for d in documents(BASE / "admission-policy.yaml") if d["kind"] == "PodTemplate")["template"]["spec"][
        "initContainers"
    ]
    assert inside["command"] == server["command"]
    assert (inside["name"], inside["restartPolicy"]) == (server["name"], server["restartPolicy"])
    assert words(SCRIPT) in words(template("admission-policy.yaml"))


def test_the_charts_pod_is_the_bases() -> None:
    """Variables, ports, arguments and probes of the base stand in the chart."""
    (deployment,) = documents(BASE / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    text = template("deployment.yaml")
    for variable in container["env"]:
        assert f"- name: {variable['name']}\n" in text
    for port in container["ports"]:
        assert f"- name: {port['name']}\n              containerPort: {port['containerPort']}\n" in text
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f"{probe}:\n            httpGet:\n              path: {container[probe]['httpGet']['path']}\n" in text


def test_the_schema_knows_every_value_and_its_default_fits() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = schema["properties"].keys() - {"global"}
    assert values.keys() == known
    for name, value in values.items():
        properties = schema["properties"][name].get("properties")
        if isinstance(value, dict) and properties:
            assert value.keys() <= properties.keys(), name


def test_every_value_is_used_and_every_used_one_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.(\w+)", text))
    assert used == set(values)


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version is not None
    assert chart["version"] == chart["appVersion"] == version[1]


@pytest.mark.parametrize("sample", sorted((ROOT / "manifests").rglob("*network-polic*.yaml")), ids=lambda path: path.parent.name)
def test_a_network_policy_bounds_both_ways(sample: Path) -> None:
    for policy in documents(sample):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule.get("ports") for rule in policy["spec"]["egress"])
