"""The commands that take over a database which was migrated by other means: baseline, import-history. They record, and run nothing."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit
from dbmigration.cli.write import Yes, agrees

if TYPE_CHECKING:
    from dbmigration.run.adopt import Adopt, Adoption
    from dbmigration.run.result import RunResult

Version = Annotated[str, words.Argument(metavar="VERSION", help="The newest migration that is in the database already.")]
From = Annotated[
    str | None,
    words.Option("--from", metavar="TOOL", help="Whose history it is: flyway, goose, …; default: the one found.", show_default=False),
]
Table = Annotated[
    str | None,
    words.Option("--table", metavar="SCHEMA.TABLE", help="Where that history is; default: told by its columns.", show_default=False),
]
DryRun = Annotated[bool, words.Option("--dry-run", help="Only show what would be recorded.")]
SkipUnmatched = Annotated[bool, words.Option("--skip-unmatched", help="Leave rows that are no file of the folder where they are.")]
AcceptChanged = Annotated[
    bool, words.Option("--accept-changed", help="Take a file for what was applied although the tool's checksum says otherwise.")
]


def baseline(
    version: Version,
    dry_run: DryRun = False,
    yes: Yes = False,
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    claimed_by: o.ClaimedBy = None,
    wait: o.Wait = o.WAIT,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Adopt a database that was made before its history: record every migration up to VERSION as applied, run nothing."""
    from dbmigration.run import adopt

    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    return _adopt(asked, adopt.baseline(version), dry_run, yes, wait, claimed_by)


def import_history(
    tool: From = None,
    table: Table = None,
    skip_unmatched: SkipUnmatched = False,
    accept_changed: AcceptChanged = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    dsn: o.Dsn = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    claimed_by: o.ClaimedBy = None,
    wait: o.Wait = o.WAIT,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Take over what another tool applied: its rows are matched with the files, shown, and recorded. Its table is left as it is."""
    from dbmigration.run import adopt

    schema, dot, name = (table or "").partition(".")
    if table is not None and not (schema and dot and name):
        raise words.BadParameter(f"{table!r} is not SCHEMA.TABLE, like public.flyway_schema_history", param_hint="--table")
    choose = adopt.import_history(tool, (schema, name) if table else None, skip_unmatched=skip_unmatched, accept_changed=accept_changed)
    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    return _adopt(asked, choose, dry_run, yes, wait, claimed_by)


def _adopt(asked: o.Asked, choose: "Adopt", dry_run: bool, yes: bool, wait: str, claimed_by: str | None) -> int:
    from dbmigration.cli.work import work

    if not yes and not dry_run and (asked.as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise words.BadParameter("nobody can be asked here: give --yes, or --dry-run to look only", param_hint="--yes")
    declined = False

    def agree(adoption: "Adoption") -> bool:
        nonlocal declined
        if not asked.as_json:
            sys.stdout.write(story_of(adoption))
        if dry_run or adoption.refusals or not adoption.adopted:
            return False
        if yes:
            return True
        declined = not agrees(f"Record {_number(len(adoption.adopted))} as applied, and run nothing? [y/N] ")
        return not declined

    def show(result: "RunResult") -> None:
        if result.error is not None or result.adoption is None:
            return
        version = result.version()
        where = f"the database is at version {version}" if version else "no migration is applied"
        if result.adopted:
            sys.stdout.write(f"Recorded {_number(len(result.adopted))} as applied; {where}.\n")
        elif not result.adoption.adopted:
            sys.stdout.write(f"Nothing to record: {where}.\n")
        elif dry_run:
            sys.stdout.write(f"{_number(len(result.adoption.adopted))} would be recorded.\n")
        else:
            sys.stdout.write(f"Nothing was recorded: {where}.\n")

    status = work(
        asked,
        lambda engine: engine.adopt(choose, agree),
        show,
        lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000,
        claimed_by=claimed_by,
        quiet=True,
    )
    return Exit.FAILED if declined else status


def story_of(adoption: "Adoption") -> str:
    """What would be recorded, in lines for a person: their row, our file, and what is known of the two."""
    matching = adoption.matching
    if matching is None:
        return "".join(f"{each.file.name}\n" for each in adoption.adopted)
    tool = matching.history.tool
    lines = [f"{tool.name}, in {matching.history.table}:"]
    rows = [("-", file.name, "comes before it") for file in matching.implied]
    for match in matching.matches:
        row = match.row
        if row.failed:
            remark = row.failed
        elif row.passed_over:
            remark = f"passed over: {row.passed_over}"
        elif match.file is None:
            remark = "no file of the folder"
        else:
            remark = "; ".join(filter(None, (_HOW[match.how], match.problem, _checksum(match.intact))))
        rows.append((row.label, match.file.name if match.file else "-", remark))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines += [f"  {theirs:<{widths[0]}}  {ours:<{widths[1]}}  {remark}".rstrip() for theirs, ours, remark in rows]
    if tool.verify is None:
        lines.append(f"note: {tool.name} {tool.unverified}: whether a file is what was applied, nobody can tell")
    lines += [f"not in it: {file.name}" for file in matching.others]
    return "\n".join([*lines, ""])


_HOW = {"name": "", "number": "by its number", "words": "by its words", "comment": "by a comment in it"}


def _checksum(intact: bool | None) -> str:
    return "" if intact is None else "checksum agrees" if intact else "CHANGED since, by the tool's checksum"


def _number(count: int) -> str:
    return f"{count} migration{'' if count == 1 else 's'}"
