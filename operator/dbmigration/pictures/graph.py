"""The dependency graph of a set: who needs whom by the headers, and who merely comes after whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dbmigration.api.states import State
from dbmigration.migrations.model import MigrationFile, MigrationSet, PlannedMigration


@dataclass(frozen=True, slots=True)
class Node:
    """A migration. `title`: its header's purpose, else its title, "" for neither. `state` None: no database was asked.

    `environments`: where alone it runs, () for everywhere. `detail`: when it was applied, or why it is not. `missing`: applied, but no
    longer in the folder.
    """

    version: str
    name: str
    title: str = ""
    environments: tuple[str, ...] = ()
    state: State | None = None
    detail: str = ""
    missing: bool = False

    @property
    def short_name(self) -> str:
        """The name without number and ending: "create_platform_schema"."""
        return self.name.removesuffix(".sql").removeprefix(self.version).lstrip("_") or self.name


@dataclass(frozen=True, slots=True)
class Edge:
    """`before` has to be applied first. `declared`: a header says so; else the numbers alone put one after the other."""

    before: int
    after: int
    declared: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """`nodes` in order of their numbers; the ends of `edges` are places in `nodes`, `before` always the lower one."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def count(self, state: State) -> int:
        return sum(node.state is state for node in self.nodes)


def graph_of(files: MigrationSet, states: Sequence[PlannedMigration] | None = None) -> Graph:
    """The graph of a folder, coloured by `states` where a database was asked (whose rows without a file are nodes of their own).

    A dependency that follows from others is left out: where 003 needs 001 and 002, and 002 needs 001, the arrow from 001 to 003 says
    nothing. A file whose header names none hangs on the file before it, by order alone.
    """
    lines = [PlannedMigration(file.name, file.version, State.PENDING, file) for file in files.files] if states is None else list(states)
    nodes = tuple(_node(line, asked=states is not None) for line in lines)
    place = {line.name: index for index, line in enumerate(lines)}
    edges = list[Edge]()
    reached = list[int]()  # for each node, as bits, all nodes that have to be there before it
    previous: int | None = None
    for index, line in enumerate(lines):
        if line.file is None:
            reached.append(0)
            continue
        declared = _needed(line.file, place)
        by_order = [previous] if not declared and previous is not None else []
        above = 0
        for before in sorted((*declared, *by_order), reverse=True):  # the newest first: it brings along what it needs itself
            if not above >> before & 1:
                edges.append(Edge(before, index, declared=not by_order))
                above |= reached[before] | 1 << before
        reached.append(above)
        previous = index
    edges.sort(key=lambda edge: (edge.after, edge.before))
    return Graph(nodes, tuple(edges))


def _needed(file: MigrationFile, place: dict[str, int]) -> set[int]:
    return {place[dependency.name] for dependency in file.header.dependencies if dependency.name in place}


def _node(line: PlannedMigration, *, asked: bool) -> Node:
    header = line.file.header if line.file is not None else None
    return Node(
        version=line.version,
        name=line.name,
        title=(header.purpose or header.title or "") if header is not None else "",
        environments=header.environments if header is not None else (),
        state=line.state if asked else None,
        detail=_detail(line) if asked else "",
        missing=line.file is None,
    )


def _detail(line: PlannedMigration) -> str:
    return line.note or (_time(line.applied_at) if line.applied_at is not None else "")


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
