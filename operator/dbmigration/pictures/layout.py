"""Where the cards of a graph stand: in layers from above to below, each card over those that need it, with few crossings.

The method of Sugiyama, Tagawa and Toda (1981): layers by the longest way from a root, bends for arrows that pass a layer, an order in
each layer by the middle of the neighbours, and then the places nearest to what the neighbours ask for that keep that order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from dbmigration.pictures.graph import Graph

_SWEEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Measures:
    """In pixels: a card's size, the free space beside and below it, and the space that a passing arrow takes."""

    width: float
    height: float
    beside: float = 36
    below: float = 40
    bend: float = 28


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """`cards`: the upper left corner of each node's card. `routes`: for each edge its points from card to card. Sizes in pixels."""

    cards: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


@dataclass(slots=True)
class _Vertex:
    """A node, or a bend of an edge (`width` of one)."""

    width: float
    layer: int
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0  # its middle


def lay_out(graph: Graph, measures: Measures) -> Layout:
    """Time and memory grow with nodes, edges and the layers that edges pass."""
    if not graph.nodes:
        return Layout((), (), 0, 0)
    vertices = [_Vertex(measures.width, layer) for layer in _layers(graph)]
    chains = [_chain(vertices, edge.before, edge.after, measures.bend) for edge in graph.edges]
    rows = list[list[int]]([] for _ in range(max(vertex.layer for vertex in vertices) + 1))
    for index, vertex in enumerate(vertices):
        rows[vertex.layer].append(index)
    _order(vertices, rows)
    _place(vertices, rows, measures.beside)

    left = min(vertex.x - vertex.width / 2 for vertex in vertices)
    right = max(vertex.x + vertex.width / 2 for vertex in vertices)
    step = measures.height + measures.below
    cards = tuple(Point(vertex.x - vertex.width / 2 - left, vertex.layer * step) for vertex in vertices[: len(graph.nodes)])
    routes = tuple(_route(vertices, chain, left, measures) for chain in chains)
    return Layout(cards, routes, right - left, len(rows) * step - measures.below)


def _layers(graph: Graph) -> list[int]:
    """Edges lead from lower to higher places, so one pass is enough."""
    layers = [0] * len(graph.nodes)
    for edge in sorted(graph.edges, key=lambda edge: edge.after):
        layers[edge.after] = max(layers[edge.after], layers[edge.before] + 1)
    return layers


def _chain(vertices: list[_Vertex], before: int, after: int, width: float) -> list[int]:
    """The vertices of an edge; a bend is made in each layer between its ends."""
    chain = [before]
    for layer in range(vertices[before].layer + 1, vertices[after].layer):
        vertices.append(_Vertex(width, layer))
        chain.append(len(vertices) - 1)
    chain.append(after)
    for upper, lower in pairwise(chain):
        vertices[upper].below.append(lower)
        vertices[lower].above.append(upper)
    return chain


def _order(vertices: list[_Vertex], rows: list[list[int]]) -> None:
    """Sort each layer by the middle of the places of its neighbours, downwards and upwards in turn."""
    place = [0.0] * len(vertices)

    def number(row: list[int]) -> None:
        for at, index in enumerate(row):
            place[index] = at - len(row) / 2

    for row in rows:
        number(row)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):

            def middle(index: int, downwards: bool = downwards) -> float:
                neighbours = vertices[index].above if downwards else vertices[index].below
                return sum(place[other] for other in neighbours) / len(neighbours) if neighbours else place[index]

            row.sort(key=middle)
            number(row)


def _place(vertices: list[_Vertex], rows: list[list[int]], beside: float) -> None:
    for row in rows:
        _settle(vertices, row, [0.0] * len(row), beside)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            _settle(vertices, row, [_wanted(vertices, vertices[index], downwards) for index in row], beside)


def _wanted(vertices: list[_Vertex], vertex: _Vertex, downwards: bool) -> float:
    neighbours = (vertex.above if downwards else vertex.below) or vertex.below or vertex.above
    return sum(vertices[other].x for other in neighbours) / len(neighbours) if neighbours else vertex.x


def _settle(vertices: list[_Vertex], row: Sequence[int], wanted: Sequence[float], beside: float) -> None:
    """The places nearest to the wanted ones (least squares) that keep order and distances: pool adjacent violators."""
    offsets, total = [0.0], 0.0
    for left, right in pairwise(row):
        total += (vertices[left].width + vertices[right].width) / 2 + beside
        offsets.append(total)
    blocks = list[tuple[float, int]]()  # (sum of the wanted places without offsets, how many)
    for want, offset in zip(wanted, offsets, strict=True):
        blocks.append((want - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            (first, many), (last, more) = blocks[-2:]
            blocks[-2:] = [(first + last, many + more)]
    at = iter(zip(row, offsets, strict=True))
    for summed, many in blocks:
        for _ in range(many):
            index, offset = next(at)
            vertices[index].x = summed / many + offset


def _route(vertices: list[_Vertex], chain: Sequence[int], left: float, measures: Measures) -> tuple[Point, ...]:
    """Out of the first card's lower side, straight down through each passed layer, into the last card's upper side."""
    step = measures.height + measures.below
    points = list[Point]()
    for index in chain:
        x, top = vertices[index].x - left, vertices[index].layer * step
        points += [Point(x, top), Point(x, top + measures.height)]
    return tuple(points[1:-1])
