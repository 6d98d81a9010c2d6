"""`dbmigration graph`: the dependency graph of the set, as text that code hosts draw or as a picture."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit

if TYPE_CHECKING:
    from dbmigration.pictures.graph import Graph
    from dbmigration.run.result import RunResult


class Format(StrEnum):
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


As = Annotated[
    Format | None,
    words.Option("--format", help="Default: what the name of --output ends with (.svg, .dot), else mermaid.", show_default=False),
]
Output = Annotated[
    Path | None, words.Option("--output", "-o", metavar="FILE", help="Write into this file instead of stdout.", show_default=False)
]
States = Annotated[bool, words.Option("--states", help="Ask the database, and colour each migration by its state; --dsn does so too.")]


def graph(
    picture: As = None,
    output: Output = None,
    states: States = False,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    dsn: o.Dsn = None,
    history: o.History = None,
    show_values: o.ShowValues = False,
) -> int:
    """Draw which migration needs which: Mermaid, DOT or SVG. Needs a database only for the states."""
    from dbmigration.pictures.graph import graph_of

    drawn = picture or _by_ending(output)
    if not (states or dsn):
        from dbmigration.cli.output import read_folder

        write(graph_of(read_folder(directory, layout)), drawn, output)
        return Exit.OK

    from dbmigration.cli.read import has_a_picture
    from dbmigration.cli.work import work
    from dbmigration.migrations.folder import read_set

    def show(result: "RunResult") -> None:
        if has_a_picture(result):
            write(graph_of(read_set(directory, layout), result.migrations()), drawn, output)

    asked = o.asked(dsn, directory, environment, history, False, show_values, layout)
    return work(asked, lambda engine: engine.look(), show, quiet=True, forgive=lambda _, result: has_a_picture(result))


def write(graph: "Graph", picture: Format, output: Path | None) -> None:
    """Raises words.BadParameter when the file cannot be written."""
    from dbmigration.pictures import svg, text_graph

    draw = {Format.MERMAID: text_graph.as_mermaid, Format.DOT: text_graph.as_dot, Format.SVG: svg.as_svg}[picture]
    text = draw(graph)
    if output is None:
        sys.stdout.write(text)
        return
    from dbmigration.cli.output import write_text

    write_text(output, text)


def _by_ending(output: Path | None) -> Format:
    ending = output.suffix.lower() if output is not None else ""
    return {".svg": Format.SVG, ".dot": Format.DOT, ".gv": Format.DOT}.get(ending, Format.MERMAID)
