"""Which file of ours a row of another tool's table is. Pure but for the texts that a checksum or a comment is looked for in."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dbmigration.adopt.foreign import ForeignHistory, ForeignRow, Tool
from dbmigration.api.listed import listed
from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.layout import read_version
from dbmigration.migrations.model import MigrationFile, MigrationSet

_NAMED: Final = 10
_NUMBER: Final = re.compile(r"[VU]?\d+(?:[._]\d+)*[._-]*", re.ASCII)
_WORD_GAP: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Match:
    """One row and its file, None where there is no single one. `how` it was found: "name", "number", "words", "comment", or "".

    `intact`: whether the file still is what the tool's checksum was made of, None: nobody can tell. `problem` forbids to take it over.
    """

    row: ForeignRow
    file: MigrationFile | None
    how: str = ""
    intact: bool | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """`matches` in the tool's order; `implied` are the files that stand before one whose row is for all up to it; `others` have no row."""

    history: ForeignHistory
    matches: tuple[Match, ...]
    implied: tuple[MigrationFile, ...]
    others: tuple[MigrationFile, ...]

    def refusals(self, *, skip_unmatched: bool, accept_changed: bool) -> tuple[Permanent, ...]:
        """What forbids to take the history over, gravest first."""
        failed = [match for match in self.matches if match.row.failed]
        lost = [match for match in self.matches if match.file is None and not match.row.passed_over]
        broken = [match for match in self.matches if match.problem]
        changed = [match for match in self.matches if match.intact is False]
        found = []
        tool, table = self.history.tool.name, self.history.table
        if failed:
            said = "; ".join(f"{match.row.label}: {match.row.failed}" for match in failed[:_NAMED])
            found.append(Permanent(Reason.HISTORY_DIRTY, f"{table} of {tool} says that something went wrong: {said}"))
        if broken:
            said = "; ".join(f"{match.file.name if match.file else match.row.label}: {match.problem}" for match in broken[:_NAMED])
            found.append(Permanent(Reason.HISTORY_DIRTY, f"half a file cannot be taken over: {said}. Split the file, or let {tool} finish"))
        if lost and not skip_unmatched:
            said = listed((match.row.label for match in lost), _NAMED)
            found.append(
                Permanent(
                    Reason.MISSING_FILES,
                    f"in {table} of {tool}, but no file of the folder is it: {said}. Name the file alike or give it the same number; "
                    "--skip-unmatched leaves such rows where they are",
                )
            )
        if changed and not accept_changed:
            names = [match.file.name for match in changed if match.file]
            found.append(
                Permanent(
                    Reason.CHECKSUM_MISMATCH,
                    f"not what {tool} applied, by its checksum: {', '.join(names[:_NAMED])}. Bring the applied text back; --accept-changed "
                    "takes the file as it is now for what was applied",
                    place=Place(names[0]),
                )
            )
        return tuple(found)


def match_files(history: ForeignHistory, files: MigrationSet, environment: str | None) -> Matching:
    """A name wins over a number, and a number over the words behind it; what fits two files fits none."""
    taken = dict[str, list[ForeignRow]]()
    matches = list[Match]()
    for row in history.rows:
        file, how = (None, "") if row.passed_over else _find(row, files, history.tool)
        if file is not None and file.name in taken and history.tool.missing is None:
            file, how = None, ""
        if file is not None:
            taken.setdefault(file.name, []).append(row)
        matches.append(Match(row, file, how))
    implied = _implied(matches, files, environment, taken)
    gone = taken.keys() | {file.name for file in implied}
    others = tuple(file for file in files.files if file.name not in gone)
    return Matching(history, tuple(_judged(matches, history.tool, taken)), implied, others)


def _judged(matches: list[Match], tool: Tool, taken: dict[str, list[ForeignRow]]) -> Iterable[Match]:
    pairs = [(match.row, match.file) for match in matches if match.file is not None]
    verdicts = tool.verify(pairs) if tool.verify is not None else {}
    for match in matches:
        if match.file is None:
            yield match
            continue
        problem = tool.missing(match.file, taken[match.file.name]) if tool.missing is not None else None
        yield Match(match.row, match.file, match.how, verdicts.get(match.file.name), problem)


def _find(row: ForeignRow, files: MigrationSet, tool: Tool) -> tuple[MigrationFile | None, str]:
    wanted = row.name.removesuffix(".sql").removesuffix(".up") if row.name else None
    number = read_version(row.version, files.config.layout) if row.version is not None else None
    tries: list[tuple[str, Callable[[MigrationFile], bool]]] = []
    if wanted is not None:
        tries.append(("name", lambda file: _stem(file) == wanted))
        if tool.mentions is not None:
            mentions = tool.mentions
            tries.append(("comment", lambda file: mentions(file, row)))
    if number is not None:
        tries.append(("number", lambda file: file.number == number))
    if wanted is not None and (words := _words(wanted)):
        if number is None and (written := _leading_number(wanted)) is not None:
            tries.append(("number", lambda file: file.number == written and _words(_stem(file)) == words))
        tries.append(("words", lambda file: _words(_stem(file)) == words))
    for how, fits in tries:
        found = [file for file in files.files if fits(file)]
        if len(found) == 1:
            return found[0], how
    return None, ""


def _implied(
    matches: list[Match], files: MigrationSet, environment: str | None, taken: dict[str, list[ForeignRow]]
) -> tuple[MigrationFile, ...]:
    limits = [match.file.number for match in matches if match.row.through and match.file is not None]
    return tuple(
        file for file in files.files if limits and file.number < max(limits) and file.name not in taken and file.runs_in(environment)
    )


def _stem(file: MigrationFile) -> str:
    return file.name.removesuffix(".sql").removesuffix(".up")


def _words(name: str) -> str:
    """What a name says behind its number, whatever stands between the words."""
    return (
        _WORD_GAP.sub("_", _NUMBER.sub("", name, count=1).lower()).strip("_") if _NUMBER.match(name) else _WORD_GAP.sub("_", name.lower())
    )


def _leading_number(name: str) -> int | None:
    digits = re.match(r"\d+", name, re.ASCII)
    return int(digits[0]) if digits else None
