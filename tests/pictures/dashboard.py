"""The dashboard's queries, asked of a real Prometheus and drawn: `python -m tests.pictures.dashboard PROMETHEUS_URL MINUTES OUT.html`.

Grafana itself is no package that the tests could install. This draws what manifests/monitoring/dashboard.json asks for, panel by panel, at
the places that it names, so that a query that gives nothing, a wrong unit or a mislabelled legend is seen. It is no picture of Grafana.
"""

import html
import json
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).resolve().parents[2] / "manifests" / "monitoring" / "dashboard.json"
COLUMN, ROW, GAP = 58, 30, 6
COLOURS: Final = ("#3274d9", "#56a64b", "#ff780a", "#e02f44", "#8f3bb8", "#f2cc0c", "#37872d", "#1f60c4")
_KNOWN: Final = {"$__rate_interval": "2m", "$namespace": ".*", "$name": ".*"}

_STYLE: Final = """
body{margin:0;background:#f4f5f5;font:12px sans-serif;color:#24292e;position:relative}
h1{font-size:16px;margin:0;padding:10px}
.p{position:absolute;background:#fff;border:1px solid #dce0e3;border-radius:3px;overflow:hidden}
.p>b{display:block;padding:4px 8px}
.s{font-size:40px;text-align:center;color:#fff;height:100%;padding-top:10px}
td,th{padding:2px 10px;text-align:left;border-bottom:1px solid #eee}
"""


def main(url: str, minutes: float, out: Path) -> int:
    dashboard = json.loads(DASHBOARD.read_text())
    end = time.time()
    panels = "".join(_panel(panel, url, end - minutes * 60, end) for panel in dashboard["panels"])
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) * ROW + 70
    width = 24 * COLUMN + 2 * GAP
    out.write_text(
        f"<!doctype html><meta charset=utf-8><title>{dashboard['title']}</title><style>{_STYLE}"
        f"body{{width:{width}px;height:{height}px}}</style>"
        f"<h1>{dashboard['title']} — drawn from its queries, not by Grafana</h1>{panels}"
    )
    return 0


def _panel(panel: dict[str, Any], url: str, start: float, end: float) -> str:
    at = panel["gridPos"]
    place = f"left:{at['x'] * COLUMN + GAP}px;top:{at['y'] * ROW + 44}px;width:{at['w'] * COLUMN - GAP}px;height:{at['h'] * ROW - GAP}px"
    draw = {"stat": _stat, "timeseries": _lines, "table": _table, "bargauge": _bars}[panel["type"]]
    width, height = at["w"] * COLUMN - GAP, at["h"] * ROW - GAP - 26
    return f"<div class=p style='{place}'><b>{html.escape(panel['title'])}</b>{draw(panel, url, start, end, width, height)}</div>"


def _stat(panel: dict[str, Any], url: str, start: float, end: float, width: int, height: int) -> str:
    found = _instant(url, panel["targets"][0]["expr"], end)
    value = float(found[0]["value"][1]) if found else 0.0
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    return f"<div class=s style='background:{colour}'>{value:g}</div>"


def _bars(panel: dict[str, Any], url: str, start: float, end: float, width: int, height: int) -> str:
    target = panel["targets"][0]
    found = [(_legend(target, each["metric"]), float(each["value"][1])) for each in _instant(url, target["expr"], end)]
    top = max((value for _, value in found), default=1.0) or 1.0
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td><div style='background:{COLOURS[1]};height:12px;width:{value / top * (width - 220):.0f}px'></div>"
        f"<td>{_shown(value, panel)}"
        for name, value in found
    )
    return f"<table>{rows or '<tr><td>no data'}</table>"


def _table(panel: dict[str, Any], url: str, start: float, end: float, width: int, height: int) -> str:
    rows: dict[str, dict[str, str]] = {}
    named = panel["transformations"][1]["options"]["renameByName"]
    for target in panel["targets"]:
        for each in _instant(url, target["expr"], end):
            row = rows.setdefault(each["metric"]["name"], {})
            wanted = ("namespace", "name", "reason", "environment", "version", "server_version")
            row |= {named.get(label, label): value for label, value in each["metric"].items() if label in wanted}
            column = named.get(f"Value #{target['refId']}")
            if column:
                row[column] = f"{float(each['value'][1]):.0f}"
    heads = list(dict.fromkeys(head for row in rows.values() for head in row))
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(row.get(head, ''))}" for head in heads) for row in list(rows.values())[:9])
    more = f"<tr><td>… {len(rows) - 9} more" if len(rows) > 9 else ""
    return f"<table><tr>{''.join(f'<th>{html.escape(head)}' for head in heads)}{lines or '<tr><td>no data'}{more}</table>"


def _lines(panel: dict[str, Any], url: str, start: float, end: float, width: int, height: int) -> str:
    series: list[tuple[str, list[tuple[float, float]]]] = []
    for target in panel["targets"]:
        step = max((end - start) / 200, 5)
        query = {"query": _filled(target["expr"]), "start": start, "end": end, "step": step}
        for each in _asked(url, "query_range", query):
            points = [(float(at), float(value)) for at, value in each["values"] if value != "NaN"]
            series.append((_legend(target, each["metric"]), points))
    series = [each for each in series if each[1]]
    if not series:
        return "<p style='padding:8px'>no data</p>"
    top = max(value for _, points in series for _, value in points) or 1.0
    left, bottom = 70, height - 34
    drawn, legend = "", ""
    for number, (name, points) in enumerate(series[:60]):
        colour = COLOURS[number % len(COLOURS)]
        scale = (width - left - 12) / (end - start), (bottom - 8) / top
        path = " ".join(f"{left + (at - start) * scale[0]:.1f},{bottom - value * scale[1]:.1f}" for at, value in points)
        drawn += f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width=1.5 />"
        if number < 4:
            legend += f"<tspan fill='{colour}'>■ </tspan>{html.escape(name)} &#160; "
    more = f"and {len(series) - 4} more" if len(series) > 4 else ""
    axis = "".join(
        f"<line x1={left} x2={width - 12} y1={bottom - part * (bottom - 8):.0f} y2={bottom - part * (bottom - 8):.0f} stroke='#eee' />"
        f"<text x={left - 6} y={bottom - part * (bottom - 8) + 4:.0f} text-anchor=end>{_shown(top * part, panel)}</text>"
        for part in (0, 0.5, 1)
    )
    return f"<svg width={width} height={height} font-size=11>{axis}{drawn}<text x=8 y={height - 8}>{legend}{more}</text></svg>"


def _shown(value: float, panel: dict[str, Any]) -> str:
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"
    return f"{value:.3g}{'/s' if unit == 'reqps' else ''}"


def _legend(target: dict[str, Any], metric: dict[str, str]) -> str:
    text = str(target["legendFormat"])
    for label, value in metric.items():
        text = text.replace(f"{{{{{label}}}}}", value)
    return text


def _filled(query: str) -> str:
    for name, value in _KNOWN.items():
        query = query.replace(name, value)
    return query


def _instant(url: str, query: str, at: float) -> list[dict[str, Any]]:
    return _asked(url, "query", {"query": _filled(query), "time": at})


def _asked(url: str, what: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v1/{what}?{urllib.parse.urlencode(query)}", timeout=60) as answer:  # noqa: S310 - loopback
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])))
