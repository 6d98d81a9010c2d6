"""`python -m tests.pictures.dashboard`: docs/pictures/dashboard.svg, what manifests/monitoring/dashboard.json shows of a real operator.

A cluster (the running one, else its own), the operator, a dozen resources that succeed, fail, wait and are blocked, and a real Prometheus
that scrapes the operator meanwhile: about four minutes. Then every panel's own queries are asked and drawn at the panel's place. A query
that gives nothing ends it without a picture. Grafana itself is no package that this could install: it is drawn alike.
"""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.cluster.choose import chosen_cluster
from tests.cluster.interface import Cluster
from tests.cluster.operator import InstalledOperator, install_operator
from tests.cluster.steps import wait_until
from tests.e2e.prometheus import METRICS_PORT
from tests.engine.s3 import free_port
from tests.pictures.panels import BACKGROUND, DIM, TEXT, Place, Series, drawn
from tests.pictures.scene import Scene

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARD: Final = ROOT / "manifests" / "monitoring" / "dashboard.json"
PICTURE: Final = ROOT / "docs" / "pictures" / "dashboard.svg"
COLUMN, ROW, GAP, HEAD = 58, 30, 8, 46
SCRAPE_S: Final = 2
STEP_S: Final = 2.0
_KNOWN: Final = {"$__rate_interval": "20s", "$namespace": ".*", "$name": ".*"}

Json = dict[str, Any]


class NoData(Exception):
    """A query of the dashboard gave nothing."""


def main() -> int:
    cluster = chosen_cluster()
    started_here = not cluster.running()
    try:
        cluster.create()
        cluster.load_images()
        operator = install_operator(cluster)
        with _prometheus(cluster, operator) as url, Scene(cluster) as scene:
            began = time.time()
            with scene.played():
                PICTURE.write_text(_picture(json.loads(DASHBOARD.read_text()), url, began, time.time()), encoding="utf-8")
    except NoData as missing:
        sys.stderr.write(f"no picture: {missing}\n")
        return 1
    finally:
        if started_here:
            cluster.delete()
    return 0


@contextmanager
def _prometheus(cluster: Cluster, operator: InstalledOperator) -> Iterator[str]:
    """One that scrapes the operator, as docs/metrics.md says."""
    port = free_port()
    with (
        cluster.port_forward(f"deployment/{operator.deployment}", METRICS_PORT, "-n", operator.namespace) as metrics,
        TemporaryDirectory() as folder,
    ):
        job = {"job_name": "dbmigration", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]}
        config = Path(folder) / "prometheus.json"
        config.write_text(json.dumps({"global": {"scrape_interval": f"{SCRAPE_S}s"}, "scrape_configs": [job]}))
        log = Path(folder) / "log"
        with log.open("w") as out:
            server = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=out,
                stderr=out,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until("Prometheus to see the operator", lambda: _sees_operator(url), seconds=60)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _sees_operator(url: str) -> bool:
    try:
        return bool(_asked(url, "query", {"query": "dbmigration_operator_resources"}))
    except (urllib.error.URLError, ConnectionError):
        return False


def _picture(dashboard: Json, url: str, start: float, end: float) -> str:
    panels = dashboard["panels"]
    height = HEAD + max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW + GAP
    width = 24 * COLUMN + GAP
    parts = [drawn(panel, list(_found(panel, url, start, end)), _place(panel), start, end) for panel in panels]
    told = f"drawn from {DASHBOARD.relative_to(ROOT)} and a Prometheus that scraped a real operator for {(end - start) / 60:.0f} minutes"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="Inter, Helvetica, Arial, sans-serif"><rect width="{width}" height="{height}" fill="{BACKGROUND}"/>'
        f'<text x="{GAP}" y="28" fill="{TEXT}" font-size="18" font-weight="600">{dashboard["title"]}</text>'
        f'<text x="{width - GAP}" y="28" fill="{DIM}" font-size="12" text-anchor="end">{told}</text>{"".join(parts)}</svg>\n'
    )


def _place(panel: Json) -> Place:
    at = panel["gridPos"]
    return Place(at["x"] * COLUMN + GAP, at["y"] * ROW + HEAD, at["w"] * COLUMN - GAP, at["h"] * ROW - GAP)


def _found(panel: Json, url: str, start: float, end: float) -> Iterator[Series]:
    """Of all queries of the panel. Raises NoData for one that gives nothing where the panel does not say what that means."""
    for target in panel["targets"]:
        query = _filled(target["expr"])
        if panel["type"] == "timeseries":
            found = _asked(url, "query_range", {"query": query, "start": start, "end": end, "step": STEP_S})
        else:
            found = [each | {"values": [each["value"]]} for each in _asked(url, "query", {"query": query, "time": end})]
        if not found and "noValue" not in panel["fieldConfig"]["defaults"]:
            raise NoData(f"panel {panel['title']!r}: {query}")
        for each in found:
            points = [(float(at), float(value)) for at, value in each["values"] if value != "NaN"]
            if points:
                yield Series(_legend(target, each["metric"]), each["metric"], points, target["refId"])


def _legend(target: Json, metric: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: metric.get(label[1], ""), target["legendFormat"])


def _filled(query: str) -> str:
    for name, value in _KNOWN.items():
        query = query.replace(name, value)
    return query


def _asked(url: str, what: str, query: Json) -> list[Json]:
    with urllib.request.urlopen(f"{url}/api/v1/{what}?{urllib.parse.urlencode(query)}", timeout=60) as answer:  # noqa: S310 - loopback
        found: list[Json] = json.load(answer)["data"]["result"]
        return found


if __name__ == "__main__":
    sys.exit(main())
