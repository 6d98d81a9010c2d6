"""The graph as an SVG of its own: cards and arrows, light or dark as the reader's page is, no font or program needed."""

import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from dbmigration.api.states import State
from dbmigration.pictures.colours import Colours, colours_of
from dbmigration.pictures.graph import Edge, Graph, Node
from dbmigration.pictures.layout import Layout, Measures, Point, lay_out

_MONO: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
_SANS: Final = "-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',Arial,sans-serif"
_NAME_PX: Final = 13
_TEXT_PX: Final = 11.5
_MONO_RATIO: Final = 0.61
"""The width of a monospaced character by its height; no common font is wider."""
_SANS_RATIO: Final = 0.57
"""The same of prose on average, in a wide font."""
_MARGIN: Final = 24
_PADDING: Final = 16
_LINE: Final = 17
_WIDTHS: Final = (200, 420)
_TITLE_LINES: Final = 2
_LEGEND_HEIGHT: Final = 34
_DOT: Final = 5
_DASHES: Final = ' stroke-dasharray="2 5" stroke-linecap="round"'


def as_svg(graph: Graph) -> str:
    """A whole SVG document. Ends with a line end."""
    card_width = _card_width(graph)
    cards = [_Card(node, card_width) for node in graph.nodes]
    rows = max((len(card.lines) for card in cards), default=0)
    measures = Measures(width=card_width, height=_PADDING * 2 + rows * _LINE - 2)
    layout = lay_out(graph, measures)
    legend = list(_legend(graph))
    legend_width = sum(_legend_width(text) for _, text in legend)
    width = max(layout.width, legend_width, 1) + 2 * _MARGIN
    top = _MARGIN + (_LEGEND_HEIGHT if legend else 0)
    height = layout.height + top + _MARGIN
    shift = Point((width - layout.width) / 2, top)
    return "\n".join([*_head(graph, width, height), *_draw_legend(legend), *_draw(graph, cards, layout, measures, shift), "</svg>", ""])


class _Card:
    """A node's words: (style, text) of each line."""

    def __init__(self, node: Node, width: float) -> None:
        self.node = node
        self.lines = [("name", _cut(f"{node.version} {node.short_name}", width - 2 * _PADDING, _NAME_PX * _MONO_RATIO))]
        room = int((width - 2 * _PADDING) / (_TEXT_PX * _SANS_RATIO))
        self.lines += [("title", line) for line in textwrap.wrap(node.title, room, max_lines=_TITLE_LINES, placeholder=" …")]
        detail = _state_line(node)
        if detail:
            self.lines.append(("state", _cut(detail, width - 2 * _PADDING - 3 * _DOT, _TEXT_PX * _SANS_RATIO)))


def _state_line(node: Node) -> str:
    if node.state is None:
        return f"only in {', '.join(node.environments)}" if node.environments else ""
    return f"{node.state} · {node.detail}" if node.detail else str(node.state)


def _card_width(graph: Graph) -> float:
    """Wide enough for every name and every state, within reason."""
    names = (len(f"{node.version} {node.short_name}") * _NAME_PX * _MONO_RATIO for node in graph.nodes)
    states = (len(_state_line(node)) * _TEXT_PX * _SANS_RATIO + 3 * _DOT for node in graph.nodes)
    return min(max([_WIDTHS[0], *names, *states]) + 2 * _PADDING, _WIDTHS[1])


def _head(graph: Graph, width: float, height: float) -> Iterator[str]:
    counts = ", ".join(f"{graph.count(state)} {state}" for state in State if graph.count(state))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'role="img" aria-labelledby="picture">'
    )
    yield f'<title id="picture">{len(graph.nodes)} migrations{f": {counts}" if counts else ""}</title>'
    yield "<style>"
    yield f"text {{ font: {_TEXT_PX}px {_SANS} }} .name {{ font: {_NAME_PX}px {_MONO} }} .number {{ font-weight: 700 }}"
    yield "@media (prefers-color-scheme: dark) {"
    yield "  .page { fill: #0d1117 } .arrow { stroke: #8b949e } .head { fill: #8b949e } .legend { fill: #e6edf3 }"
    for state in (None, *(state for state in State if graph.count(state))):
        colours, name = colours_of(state), _class(state)
        yield f"  .{name} rect.ground {{ fill: {colours.dark_fill} }} .{name} text {{ fill: {colours.dark_text} }}"
    yield "}"
    yield "</style>"
    yield '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    yield '<path class="head" d="M0,0.5 L8,4 L0,7.5 z" fill="#57606a"/></marker></defs>'
    yield f'<rect class="page" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'


def _draw(graph: Graph, cards: list[_Card], layout: Layout, measures: Measures, shift: Point) -> Iterator[str]:
    for edge, route in zip(graph.edges, layout.routes, strict=True):
        yield _arrow(edge, [Point(point.x + shift.x, point.y + shift.y) for point in route])
    for card, corner in zip(cards, layout.cards, strict=True):
        yield from _draw_card(card, Point(corner.x + shift.x, corner.y + shift.y), measures)


def _arrow(edge: Edge, route: list[Point]) -> str:
    """Curves between the layers, straight lines past a card. Both ends leave a gap to the cards."""
    points = [Point(route[0].x, route[0].y + 2), *route[1:-1], Point(route[-1].x, route[-1].y - 3)]
    path = [f"M{points[0].x:.1f},{points[0].y:.1f}"]
    for at, (start, end) in enumerate(pairwise(points)):
        if at % 2 or start.x == end.x:
            path.append(f"L{end.x:.1f},{end.y:.1f}")
        else:
            middle = (start.y + end.y) / 2
            path.append(f"C{start.x:.1f},{middle:.1f} {end.x:.1f},{middle:.1f} {end.x:.1f},{end.y:.1f}")
    dashes = "" if edge.declared else _DASHES
    return f'<path class="arrow" d="{" ".join(path)}" fill="none" stroke="#57606a" stroke-width="1.5"{dashes} marker-end="url(#head)"/>'


def _draw_card(card: _Card, corner: Point, measures: Measures) -> Iterator[str]:
    node, colours = card.node, colours_of(card.node.state)
    x, y, width, height = corner.x, corner.y, measures.width, measures.height
    dashes = ' stroke-dasharray="5 4"' if node.missing else ""
    yield f'<g class="{_class(node.state)}"><title>{_text(node.name)}{f": {_text(node.title)}" if node.title else ""}</title>'
    yield (
        f'<rect class="ground" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" fill="{colours.fill}" '
        f'stroke="{colours.line}" stroke-width="1.25"{dashes}/>'
    )
    # Fewer lines than the fullest card has: in the middle.
    line_y = y + (height - len(card.lines) * _LINE) / 2 + _LINE * 0.74
    for style, text in card.lines:
        yield from _draw_line(style, text, Point(x + _PADDING, line_y), colours)
        line_y += _LINE
    yield "</g>"


def _draw_line(style: str, text: str, at: Point, colours: Colours) -> Iterator[str]:
    if style == "name":
        number, _, name = text.partition(" ")
        number, name = _text(number), _text(name)
        yield f'<text class="name" x="{at.x:.1f}" y="{at.y:.1f}" fill="{colours.text}"><tspan class="number">{number}</tspan> {name}</text>'
        return
    x = at.x
    if style == "state":
        yield f'<circle cx="{at.x + _DOT - 1:.1f}" cy="{at.y - 4:.1f}" r="{_DOT - 1}" fill="{colours.line}"/>'
        x += 3 * _DOT
    opacity = ' fill-opacity="0.8"' if style == "title" else ""
    yield f'<text x="{x:.1f}" y="{at.y:.1f}" fill="{colours.text}"{opacity}>{_text(text)}</text>'


def _legend(graph: Graph) -> Iterator[tuple[State | None, str]]:
    """(state, words); None for the dashed arrow."""
    for state in State:
        if graph.count(state):
            yield state, f"{graph.count(state)} {state}"
    if not all(edge.declared for edge in graph.edges):
        yield None, "follows by number, no dependency named"


def _legend_width(text: str) -> float:
    return len(text) * _TEXT_PX * _SANS_RATIO + 44


def _draw_legend(legend: list[tuple[State | None, str]]) -> Iterator[str]:
    x, y = float(_MARGIN), _MARGIN + 4.0
    for state, text in legend:
        if state is None:
            yield f'<path class="arrow" d="M{x:.1f},{y:.1f} h22" fill="none" stroke="#57606a" stroke-width="1.5"{_DASHES}/>'
            indent = 30.0
        else:
            yield f'<circle cx="{x + _DOT:.1f}" cy="{y:.1f}" r="{_DOT}" fill="{colours_of(state).line}"/>'
            indent = 17.0
        yield f'<text class="legend" x="{x + indent:.1f}" y="{y + 4:.1f}" fill="#1f2328">{_text(text)}</text>'
        x += _legend_width(text)


def _class(state: State | None) -> str:
    return "unasked" if state is None else state.value.lower()


def _cut(text: str, width: float, character: float) -> str:
    room = int(width / character)
    return text if len(text) <= room else text[: room - 1] + "…"


def _text(text: str) -> str:
    """XML 1.0 has no control characters, not even escaped."""
    return escape("".join(character for character in text if character.isprintable()))
