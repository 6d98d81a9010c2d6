"""The graph as text that other programs draw: Mermaid (code hosts show it in Markdown) and DOT (Graphviz)."""

from dbmigration.api.states import State
from dbmigration.pictures.colours import colours_of
from dbmigration.pictures.graph import Graph, Node


def as_mermaid(graph: Graph) -> str:
    """A flowchart from above to below. Ends with a line end."""
    lines = ["graph TD"]
    for index, node in enumerate(graph.nodes):
        label = "<br/>".join(_mermaid(part) for part in _label(node))
        style = f":::{_style_name(node.state)}" if node.state is not None else ""
        lines.append(f'  m{index}["{label}"]{style}')
    arrows = {True: "-->", False: "-.->"}
    lines += [f"  m{edge.before} {arrows[edge.declared]} m{edge.after}" for edge in graph.edges]
    for state in _states(graph):
        colours = colours_of(state)
        lines.append(f"  classDef {_style_name(state)} fill:{colours.fill},stroke:{colours.line},color:{colours.text}")
    return "\n".join(lines) + "\n"


def as_dot(graph: Graph) -> str:
    """A digraph from above to below. Ends with a line end."""
    lines = [
        "digraph migrations {",
        "  rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", color="#8c959f", fontname="sans-serif", fontsize=11];',
        '  edge [color="#57606a", arrowsize=0.7];',
    ]
    for index, node in enumerate(graph.nodes):
        words = [f"label={_quoted(chr(10).join(_label(node)))}"]
        if node.title:
            words.append(f"tooltip={_quoted(node.title)}")
        if node.state is not None:
            colours = colours_of(node.state)
            words.append(f'fillcolor="{colours.fill}", color="{colours.line}", fontcolor="{colours.text}"')
        if node.missing:
            words.append('style="rounded,filled,dashed"')
        lines.append(f"  m{index} [{', '.join(words)}];")
    for edge in graph.edges:
        lines.append(f"  m{edge.before} -> m{edge.after}{'' if edge.declared else ' [style=dashed]'};")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _label(node: Node) -> list[str]:
    parts = [f"{node.version} {node.short_name}"]
    if node.state is not None:
        parts.append(f"{node.state}{f': {node.detail}' if node.detail else ''}")
    elif node.environments:
        parts.append(f"only in {', '.join(node.environments)}")
    return parts


def _states(graph: Graph) -> list[State]:
    return [state for state in State if graph.count(state)]


def _style_name(state: State) -> str:
    """Mermaid's own words (`class`, `end`) are not among them."""
    return state.value[0].lower() + state.value[1:]


def _mermaid(text: str) -> str:
    """Mermaid reads `#…;` as a character and HTML in labels."""
    for mark, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(mark, entity)
    return text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
