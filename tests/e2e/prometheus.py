"""What the operator tells Prometheus, read through the API server."""

import json
import re
from typing import NamedTuple

from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator

METRICS_PORT = 8081
_SAMPLE = re.compile(r"^([a-z_:]+)(?:\{(.*)\})? ([^ ]+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


def scrape(cluster: Cluster, operator: InstalledOperator) -> list[Sample]:
    """Of the operator's pod, through the API server's proxy."""
    pods = json.loads(cluster.kubectl("get", "pods", "-n", operator.namespace, "-l", operator.selector, "-o", "json"))["items"]
    (pod,) = [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return parsed(cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{operator.namespace}/pods/{pod}:{METRICS_PORT}/proxy/metrics"))


def parsed(text: str) -> list[Sample]:
    """Prometheus's text format."""
    found = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return [Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])) for match in found if match]


def total(samples: list[Sample], name: str, /, **labels: str) -> float:
    """The sum of all samples of that name with these labels."""
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())
