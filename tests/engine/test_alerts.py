"""The alerts that are shipped, tried by Prometheus's own promtool: each fires when it should, and is silent when it should be."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.engine.server import install

ROOT = Path(__file__).parents[2]
RULES = ROOT / "manifests" / "monitoring" / "rules.yaml"
CASES = Path(__file__).parent / "alerts.yaml"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Root installs it where it is missing."""
    found = shutil.which("promtool")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install("prometheus")
        found = shutil.which("promtool")
    assert found is not None, "the alerts are tried with promtool: apt-get install prometheus"
    return found


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The groups as Prometheus reads them, without the wrapping of the Prometheus Operator."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    return path


def test_the_rules_are_valid(promtool: str, rules: Path) -> None:
    said = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(rules))
    assert f"SUCCESS: {len(alerts())} rules found" in said


def test_each_alert_fires_when_it_should_and_only_then(promtool: str, rules: Path) -> None:
    cases = yaml.safe_load(CASES.read_text()) | {"rule_files": [str(rules)]}
    path = rules.with_name("cases.yaml")
    path.write_text(yaml.safe_dump(cases, sort_keys=False))
    assert "SUCCESS" in run(promtool, "test", "rules", str(path))


def test_every_alert_is_seen_to_fire() -> None:
    fired = {
        test["alertname"] for case in yaml.safe_load(CASES.read_text())["tests"] for test in case["alert_rule_test"] if test["exp_alerts"]
    }
    assert fired == alerts()


def alerts() -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]}


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
