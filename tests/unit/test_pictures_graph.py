"""The graph of a set: which arrows there are, and that every picture of it can be read by the programs that draw it."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.api.states import State
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import Dependency, Header, MigrationFile, MigrationSet, PlannedMigration, SetConfig
from dbmigration.pictures.colours import colours_of
from dbmigration.pictures.graph import Edge, Graph, Node, graph_of
from dbmigration.pictures.layout import Measures, lay_out
from dbmigration.pictures.svg import as_svg
from dbmigration.pictures.text_graph import as_dot, as_mermaid

PLATFORM = Path(__file__).parents[2] / "migrations"
AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def a_set(needs: Mapping[int, list[int]], purpose: str = "") -> MigrationSet:
    """Files of these numbers, each with what its header names."""
    names = {number: f"{number:03}_file{number}.sql" for number in needs}
    files = tuple(
        MigrationFile(
            number, f"{number:03}", name, Path(name), "c", 1,
            Header(purpose=purpose, dependencies=tuple(Dependency(names[before], 1) for before in needs[number])),
        )
        for number, name in names.items()
    )  # fmt: skip
    return MigrationSet(Path(), files, SetConfig(), "digest")


def test_the_platforms_graph_is_the_chain_that_its_requirements_draw() -> None:
    graph = graph_of(read_set(PLATFORM))
    assert graph.edges == (Edge(0, 1), Edge(1, 2), Edge(2, 3))
    assert [node.short_name for node in graph.nodes][2:] == ["user_management_and_permissions", "create_lancio_org"]
    assert graph.nodes[3].environments == ("production",)


def test_a_dependency_that_follows_from_others_is_no_arrow() -> None:
    graph = graph_of(a_set({1: [], 2: [1], 3: [1, 2], 4: [1, 3], 5: [2]}))
    assert [(edge.before, edge.after) for edge in graph.edges] == [(0, 1), (1, 2), (2, 3), (1, 4)]


def test_a_file_that_names_nothing_hangs_on_the_one_before_it_by_order() -> None:
    graph = graph_of(a_set({1: [], 2: [], 5: [1]}))
    assert graph.edges == (Edge(0, 1, declared=False), Edge(0, 2))


def states_of(files: MigrationSet) -> list[PlannedMigration]:
    """Every state once, and a row of a file that is gone, between the others."""
    lines = [PlannedMigration(file.name, file.version, state, file, AT) for file, state in zip(files.files, State, strict=False)]
    return [lines[0], PlannedMigration("002_gone.sql", "002", State.APPLIED, None, AT, note="applied, but not in the folder"), *lines[1:]]


def test_states_come_from_the_plan_and_a_lost_file_has_no_arrow() -> None:
    files = a_set({1: [], 3: [1], 4: [3], 5: [4], 6: [5], 7: []})
    graph = graph_of(files, states_of(files))
    assert {node.state for node in graph.nodes} == set(State)
    assert [(node.name, node.detail) for node in graph.nodes if node.missing] == [("002_gone.sql", "applied, but not in the folder")]
    assert [(edge.before, edge.after) for edge in graph.edges] == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert graph.nodes[0].detail == "2026-02-03 04:05 UTC"


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 18))
    needs = {number: sorted(draw(st.sets(st.integers(1, number - 1), max_size=3))) if number > 1 else [] for number in range(1, count + 1)}
    return graph_of(a_set(needs))


@given(graphs())
def test_an_arrow_leads_down_no_cards_overlap_and_nothing_sticks_out(graph: Graph) -> None:
    measures = Measures(200, 50)
    layout = lay_out(graph, measures)
    for edge, route in zip(graph.edges, layout.routes, strict=True):
        assert layout.cards[edge.before].y + measures.height == route[0].y
        assert layout.cards[edge.after].y == route[-1].y
        assert all(start.y < end.y for start, end in pairwise(route))
        assert all(-0.001 <= point.x <= layout.width + 0.001 for point in route)
        # A route passes no other card.
        for index, card in enumerate(layout.cards):
            inside = (p for p in route if card.x < p.x < card.x + measures.width and card.y <= p.y <= card.y + measures.height)
            assert index in (edge.before, edge.after) or not list(inside)
    by_layer = sorted((card.y, card.x) for card in layout.cards)
    assert all(right[0] > left[0] or right[1] - left[1] >= measures.width + measures.beside - 0.001 for left, right in pairwise(by_layer))
    assert all(card.y + measures.height <= layout.height + 0.001 for card in layout.cards)


@given(graphs())
def test_each_arrow_that_is_left_out_still_follows(graph: Graph) -> None:
    """Whatever a header names is reached by the arrows that are drawn; and none of these can be left out too."""
    above: list[set[int]] = []
    for index in range(len(graph.nodes)):
        direct = [edge.before for edge in graph.edges if edge.after == index]
        above.append(set(direct).union(*(above[before] for before in direct)))
        for before in direct:
            assert not any(before in above[other] for other in direct)


def test_svg_is_xml_that_holds_every_card_arrow_and_state() -> None:
    files = a_set({1: [], 3: [1], 4: [1], 5: [3, 4], 6: [], 7: [1]}, purpose='Drop <old> & "new"\x07 things, ' + "at length " * 30)
    graph = graph_of(files, states_of(files))
    picture = ET.fromstring(as_svg(graph))  # noqa: S314 - our own
    cards = list(picture.iter(f"{SVG}g"))
    assert [card.findtext(f"{SVG}title", "").partition(":")[0] for card in cards] == [node.name for node in graph.nodes]
    assert {card.get("class") for card in cards} == {state.value.lower() for state in State}
    assert len([path for path in picture.iter(f"{SVG}path") if path.get("marker-end")]) == len(graph.edges)
    texts = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    assert "001 file1" in texts
    assert 'Drop <old> & "new" things, at length' in " ".join(texts)
    for state in State:
        assert any(str(state) in text for text in texts)
    width = float(picture.get("width", "0"))
    assert all(float(text.get("x", "0")) < width for text in picture.iter(f"{SVG}text"))


def test_an_empty_set_has_a_picture_too() -> None:
    empty = graph_of(a_set({}))
    assert '<title id="picture">0 migrations</title>' in as_svg(empty)
    assert as_mermaid(empty) == "graph TD\n"
    assert as_dot(empty).endswith("}\n")


def test_mermaid_and_dot_quote_what_their_readers_take_for_syntax() -> None:
    graph = Graph((Node("1", 'V1__a"b#c<d>.sql', title='a "\\" b', state=State.PENDING),), ())
    assert 'm0["1 V1__a#quot;b#35;c#lt;d#gt;<br/>Pending"]:::pending' in as_mermaid(graph)
    assert '[label="1 V1__a\\"b#c<d>\\nPending", tooltip="a \\"\\\\\\" b"' in as_dot(graph)


def test_mermaid_and_dot_have_the_same_nodes_arrows_and_colours() -> None:
    files = a_set({1: [], 3: [1], 4: [1], 5: [3, 4], 6: [], 7: [1]})
    graph = graph_of(files, states_of(files))
    mermaid, dot = as_mermaid(graph), as_dot(graph)
    arrows = {(edge.before, edge.after, edge.declared) for edge in graph.edges}
    assert {(int(a), int(b), arrow == "-->") for a, arrow, b in re.findall(r"m(\d+) (-->|-\.->) m(\d+)", mermaid)} == arrows
    assert {(int(a), int(b), not style) for a, b, style in re.findall(r"m(\d+) -> m(\d+)( \[style=dashed\])?;", dot)} == arrows
    for state in State:
        assert colours_of(state).fill in mermaid
        assert colours_of(state).fill in dot


def contrast(one: str, other: str) -> float:
    """WCAG 2: relative luminance of #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("state", [None, *State])
def test_text_stands_out_from_its_ground_in_light_and_dark(state: State | None) -> None:
    colours = colours_of(state)
    assert contrast(colours.fill, colours.text) >= 7
    assert contrast(colours.dark_fill, colours.dark_text) >= 7
    assert contrast(colours.line, "#ffffff") >= 2.9
    assert contrast(colours.line, colours.dark_fill) >= 2.9


def test_the_picture_in_the_documentation_is_what_the_command_draws() -> None:
    """Made by: dbmigration graph --output docs/graph.svg"""
    assert as_svg(graph_of(read_set(PLATFORM))) == (PLATFORM.parent / "docs" / "graph.svg").read_text()
