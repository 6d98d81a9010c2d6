"""The set as a section of a README: one entry a migration, from its header and from what its statements do."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dbmigration.migrations.model import MigrationFile, MigrationSet
from dbmigration.pictures.effects import Effects, TableEffect, Thing, effects_of
from dbmigration.pictures.graph import graph_of
from dbmigration.pictures.text_graph import as_mermaid

_DATE_DIGITS: Final = 8
"""Numbers with so many digits are dates or timestamps: nobody can say the next one."""
_GRAPH_NODES: Final = 60
"""A bigger graph is no picture for a README any more."""
_LISTED: Final = 40
"""So many things of a kind are named: a file of a thousand functions has no line of a thousand names."""


def as_page(files: MigrationSet, *, beside: Path) -> str:
    """Markdown that begins with a heading of level 2 and ends with a line end. `beside`: the folder of the page, for links to the files."""
    folder = Path(os.path.relpath(files.directory.resolve(), beside.resolve())).as_posix()
    links = "" if folder == "." else f"{folder}/"
    return "\n".join([*_top(files), *(line for file, effects in effects_of(files.files) for line in _entry(file, effects, files, links))])


def _top(files: MigrationSet) -> Iterator[str]:
    yield "## Migration files"
    yield ""
    if not files.files:
        yield "There are none yet: `dbmigration new NAME` writes the first."
        yield ""
        return
    newest = files.files[-1]
    coming = f", the next number is {newest.number + 1:0{len(newest.version)}}" if len(newest.version) < _DATE_DIGITS else ""
    yield f"The newest is {newest.version}{coming}. Which of them a database has, `dbmigration status` says."
    yield ""
    if 1 < len(files.files) <= _GRAPH_NODES:
        yield from ("```mermaid", as_mermaid(graph_of(files)).rstrip("\n"), "```", "")


def _entry(file: MigrationFile, effects: Effects, files: MigrationSet, links: str) -> Iterator[str]:
    yield f"### {file.name}"
    yield ""
    facts = list(_facts(file, effects, files, links))
    for name, text in facts:
        yield f"**{name}**: {text}\\" if (name, text) != facts[-1] else f"**{name}**: {text}"
    yield ""
    for title, items in _lists(effects):
        if items:
            yield from (f"**{title}**:", "", *(f"- {item}" for item in items), "")
    if effects.tables:
        yield from ("```", "\n\n".join("\n".join(_tree(table)) for table in effects.tables), "```", "")


def _facts(file: MigrationFile, effects: Effects, files: MigrationSet, links: str) -> Iterator[tuple[str, str]]:
    header = file.header
    yield "Purpose", header.purpose or header.title or "not said in its header"
    needs = ", ".join(f"[{dependency.name}]({links}{dependency.name})" for dependency in header.dependencies)
    yield "Dependencies", needs or "None"
    if header.environments:
        yield "Environment", f"{', '.join(header.environments)} only"
    yield "Rollback", f"[{file.rollback.name}]({links}{file.rollback.name})" if file.rollback is not None else "no script"
    if file.verify is not None:
        yield "Verified by", f"[{file.verify.name}]({links}{file.verify.name})"
    if not effects.transactional:
        yield "Note", "runs statement by statement, not in one transaction"
    yield "How to apply", f"`{_command(file, files)}`"


def _command(file: MigrationFile, files: MigrationSet) -> str:
    environment = (file.header.environments or files.config.environments)[0]
    backup = " --backup-dir backups" if environment == "production" else ""
    return f"dbmigration apply --environment {environment}{backup} --target {file.version}"


def _lists(effects: Effects) -> Iterator[tuple[str, list[str]]]:
    yield "Creates", _things(effects.creates)
    yield "Changes", [f"`{table}`: {'; '.join(_grouped(words))}" for table, words in effects.changes]
    yield "Drops", _things(effects.drops)
    yield "Data", _grouped(tuple((verb, f"`{table}`") for verb, table in effects.data))
    yield "Not looked into", list(effects.unread)


def _things(things: tuple[Thing, ...]) -> list[str]:
    counts = Counter(thing.kind for thing in things)
    named = ((thing.kind, f"`{thing.name}`{f' on `{thing.on}`' if thing.on else ''}") for thing in things)
    return _grouped(tuple((kind if counts[kind] == 1 else _plural(kind), name) for kind, name in named))


def _plural(kind: str) -> str:
    if kind.endswith("y"):
        return kind.removesuffix("y") + "ies"
    return kind + ("es" if kind.endswith("x") else "s")


def _grouped(items: tuple[tuple[str, str], ...]) -> list[str]:
    """ "adds column `a`, `b`": what begins with the same words stands on one line, where they first stood."""
    groups = dict[str, list[str]]()
    for words, what in items:
        groups.setdefault(words, []).append(what)
    return [f"{words} {', '.join(several[:_LISTED])}{_more(len(several) - _LISTED)}" for words, several in groups.items()]


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _tree(table: TableEffect) -> Iterator[str]:
    yield table.name
    lines = [f"{column.name} ({', '.join((column.type, *column.marks))})" for column in table.columns]
    if not table.complete:
        lines.append("… and columns from elsewhere")
    for index in table.indexes:
        columns = ", ".join(column or "expression" for column in index.columns)
        lines.append(f"{'unique ' if index.unique else ''}index {index.name} ({columns})")
    for at, line in enumerate(lines, start=1):
        yield f"{'└' if at == len(lines) else '├'}── {line}"
