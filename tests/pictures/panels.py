"""A panel of a Grafana dashboard as SVG: numbers, lines, bars and a table of what its queries gave."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final, NamedTuple

Json = dict[str, Any]

BACKGROUND, PANEL, BORDER, GRID, TEXT, DIM = "#111217", "#181b1f", "#2a2d34", "#2a2d34", "#d5d8e0", "#8e93a0"
SERIES: Final = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#fade2a", "#37872d", "#c0d8ff")
NAMED: Final = {"green": "#56a64b", "yellow": "#d8a200", "orange": "#e0752d", "red": "#d33f4b", "blue": "#3274d9"}
LIGHT: Final = {"green": SERIES[0], "orange": SERIES[3]}
OUTCOMES: Final = {"Succeeded": SERIES[0], "Failed": SERIES[4], "Interrupted": SERIES[3]}
_ROUND_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_HEAD: Final = 30
_LETTER: Final = 6.4
"""About how wide a letter of 12 pixels is."""


class Place(NamedTuple):
    """Of a panel, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Series(NamedTuple):
    """What a query gave: `labels`, its name in the legend, and values at times (seconds since 1970)."""

    legend: str
    labels: dict[str, str]
    points: list[tuple[float, float]]
    target: str


def drawn(panel: Json, found: Sequence[Series], place: Place, start: float, end: float) -> str:
    """The whole panel. `found`: of all its queries."""
    if panel["type"] == "stat":
        return f'<g transform="translate({place.x} {place.y})">{_stat(panel, found, place)}</g>'
    if panel["type"] == "timeseries":
        inside = _lines(panel, found, place, start, end)
    else:
        inside = {"table": _table, "bargauge": _bars}[panel["type"]](panel, found, place)
    return (
        f'<g transform="translate({place.x} {place.y})"><rect width="{place.width}" height="{place.height}" rx="3" fill="{PANEL}" '
        f'stroke="{BORDER}"/>{_text(10, 20, panel["title"], weight=600)}{inside}</g>'
    )


def _stat(panel: Json, found: Sequence[Series], place: Place) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    value = found[0].points[-1][1] if found else float(defaults["noValue"])
    steps = defaults["thresholds"]["steps"]
    colour = NAMED[[step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]]
    number = f'<text x="{place.width / 2}" y="{place.height / 2 + 26}" font-size="44" font-weight="600" text-anchor="middle" fill="#fff">'
    box = f'<rect width="{place.width}" height="{place.height}" rx="3" fill="{colour}"/>'
    return f"{box}{_text(10, 20, panel['title'], weight=600, fill='#fff')}{number}{value:g}</text>"


def _lines(panel: Json, found: Sequence[Series], place: Place, start: float, end: float) -> str:
    highest = max((value for series in found for _, value in series.points), default=0.0)
    ticks = {tick: shown(tick, panel) for tick in _ticks(highest, panel)}
    left, right = 22 + max(len(text) for text in ticks.values()) * _LETTER, place.width - 16
    top, bottom = _HEAD + 10.0, place.height - 48
    scale = (right - left) / (end - start), (bottom - top) / max(ticks)
    parts = []
    for tick, text in ticks.items():
        y = bottom - tick * scale[1]
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y + 4, text, fill=DIM, anchor="end", size=11))
    moments = 5 if place.width > 400 else 3
    for number in range(moments):
        part = number / (moments - 1)
        moment = datetime.fromtimestamp(start + part * (end - start), UTC)
        anchor = {0.0: "start", 1.0: "end"}.get(part, "middle")
        parts.append(_text(left + part * (right - left), bottom + 16, f"{moment:%H:%M:%S}", fill=DIM, anchor=anchor, size=11))
    parts += [_path(series, _colour(series, number), start, left, bottom, scale) for number, series in enumerate(found)]
    if not found:
        parts.append(_text((left + right) / 2, (top + bottom) / 2, "No data", fill=DIM, anchor="middle"))
    return "".join([*parts, _legend(found, place)])


def _path(series: Series, colour: str, start: float, left: float, bottom: float, scale: tuple[float, float]) -> str:
    """A line; where samples are missing it is broken."""
    step = min((b[0] - a[0] for a, b in zip(series.points, series.points[1:], strict=False)), default=0.0)
    words, before = [], None
    for at, value in series.points:
        pen = "M" if before is None or at - before > 2.5 * step else "L"
        words.append(f"{pen}{left + (at - start) * scale[0]:.1f} {bottom - value * scale[1]:.1f}")
        before = at
    return f'<path d="{"".join(words)}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'


def _legend(found: Sequence[Series], place: Place) -> str:
    """One line; those that have no room in it are counted."""
    parts, x, y = [], 12.0, place.height - 12
    for number, series in enumerate(found):
        width = 22 + len(series.legend) * _LETTER
        left_out = len(found) - number
        if x + width + (60 if left_out > 1 else 0) > place.width - 8:
            parts.append(_text(x, y, f"+{left_out} more", fill=DIM, size=11))
            break
        parts.append(f'<rect x="{x}" y="{y - 6}" width="10" height="3" fill="{_colour(series, number)}"/>')
        parts.append(_text(x + 14, y, series.legend, size=11))
        x += width
    return "".join(parts)


def _bars(panel: Json, found: Sequence[Series], place: Place) -> str:
    rows = [(series.legend, series.points[-1][1]) for series in found]
    longest = max((value for _, value in rows), default=1.0) or 1.0
    height = min((place.height - _HEAD - 10) / max(len(rows), 1), 24.0)
    name, number = 12 + max((len(each) for each, _ in rows), default=0) * _LETTER, 62.0
    parts = []
    for index, (legend, value) in enumerate(rows):
        y = _HEAD + 4 + index * height
        width = place.width - name - number - 22
        parts.append(_text(12, y + height / 2 + 4, legend, size=11))
        parts.append(f'<rect x="{name + 6}" y="{y + 2:.1f}" width="{width}" height="{height - 5:.1f}" fill="#22252b"/>')
        parts.append(
            f'<rect x="{name + 6}" y="{y + 2:.1f}" width="{value / longest * width:.1f}" height="{height - 5:.1f}" fill="{SERIES[0]}"/>'
        )
        parts.append(_text(place.width - 10, y + height / 2 + 4, shown(value, panel), anchor="end", size=11))
    return "".join(parts)


def _table(panel: Json, found: Sequence[Series], place: Place) -> str:
    """Joined by the labels that Grafana joins by, with its columns' names and units."""
    organised = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    renamed, hidden = organised["renameByName"], organised.get("excludeByName", {})
    rows: dict[tuple[str, str], Json] = {}
    for series in found:
        row = rows.setdefault((series.labels["namespace"], series.labels["name"]), {})
        cells: Json = {label: value for label, value in series.labels.items() if label != "__name__"}
        cells[f"Value #{series.target}"] = series.points[-1][1]
        for column, value in cells.items():
            if not hidden.get(column):
                row[renamed.get(column, column)] = value
    order = organised.get("indexByName", {})
    heads = sorted({head for row in rows.values() for head in row}, key=lambda head: _position(head, renamed, order))
    width = place.width / max(len(heads), 1)
    parts = [_text(12 + index * width, _HEAD + 14, head, fill="#6e9fff", weight=600) for index, head in enumerate(heads)]
    shown_rows = int((place.height - _HEAD - 24) / 22)
    for number, row in enumerate(list(rows.values())[:shown_rows]):
        y = _HEAD + 36 + number * 22
        parts.append(f'<path d="M8 {y - 16}H{place.width - 8}" stroke="{GRID}"/>')
        for index, head in enumerate(heads):
            text, fill = _cell(panel, head, row.get(head))
            parts.append(_text(12 + index * width, y, text, fill=fill))
    if len(rows) > shown_rows:
        parts.append(_text(place.width - 12, 20, f"{shown_rows} of {len(rows)}", fill=DIM, anchor="end"))
    return "".join(parts)


def _position(head: str, renamed: dict[str, str], order: dict[str, int]) -> tuple[int, str]:
    original = next((name for name, new in renamed.items() if new == head), head)
    return order.get(original, len(order)), head


def _cell(panel: Json, head: str, value: Any) -> tuple[str, str]:
    """Its text and colour."""
    if value is None or isinstance(value, str):
        return value or "", TEXT
    overrides = [each["properties"] for each in panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == head]
    properties = {each["id"]: each["value"] for each in (overrides[0] if overrides else ())}
    for mapping in properties.get("mappings", ()):
        mapped = mapping["options"].get(f"{value:g}")
        if mapped is not None:
            return mapped["text"], LIGHT[mapped["color"]]
    return (_in_unit(value, properties["unit"]) if "unit" in properties else f"{value:,.0f}"), TEXT


def shown(value: float, panel: Json) -> str:
    """With the panel's unit."""
    return _in_unit(value, panel["fieldConfig"]["defaults"].get("unit"))


def _in_unit(value: float, unit: str | None) -> str:
    if unit == "bytes":
        return _scaled(value, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")))
    if unit in ("s", "dtdurations"):
        return _scaled(value, ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")))
    return f"{value:.3g}{' req/s' if unit == 'reqps' else ''}"


def _scaled(value: float, units: Iterable[tuple[float, str]]) -> str:
    for size, name in units:
        if value >= size:
            return f"{value / size:.3g} {name}"
    return "0" if value == 0 else f"{value:.2g}"


def _ticks(highest: float, panel: Json) -> list[float]:
    """From 0 to a little above the highest, at most six round steps."""
    unit = panel["fieldConfig"]["defaults"].get("unit")
    if highest <= 0:
        return [0.0, 1.0]
    if unit == "s" and highest > 5:
        steps: Iterable[float] = _ROUND_SECONDS
    else:
        base = 1024.0 if unit == "bytes" else 1000.0
        power = base ** math.floor(math.log(highest, base))
        steps = [power * each for each in (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 25, 50, 100, 200, 250)]
    step = next(each for each in steps if highest / each <= 5)
    return [step * number for number in range(math.ceil(highest / step * 1.001) + 1)]


def _colour(series: Series, number: int) -> str:
    return OUTCOMES.get(series.legend, SERIES[number % len(SERIES)])


def _text(x: float, y: float, text: str, *, fill: str = TEXT, anchor: str = "start", size: int = 12, weight: int = 400) -> str:
    style = f'fill="{fill}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
