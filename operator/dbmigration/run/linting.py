"""Lint as a gate of a run: what the pending files would do to what is there, said before anything is done, and refused by policy.

On a database without a table there is nothing to lose and nobody to keep waiting: a first install is not looked at, and never pays for the
parser. Nor does a run with nothing pending. docs/decisions/012 has the numbers.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.errors import Permanent, Place
from dbmigration.migrations.digest import CONFIG_NAME
from dbmigration.migrations.model import HistoryTable, LintChoice, MigrationFile, MigrationSet, Plan
from dbmigration.postgres.session import Session
from dbmigration.run.options import LintPolicy, RunOptions
from dbmigration.run.result import RunResult

if TYPE_CHECKING:
    from dbmigration.lint import Finding

_NAMED: Final = 10
"""Findings that a log names; the rest is counted."""

_LEFT_TO_POSTGRESQL: Final = ("syntax-error", "unknown-object", "already-exists")
"""Said, and no reason to refuse: PostgreSQL finds them out for sure and rolls back, where lint may be wrong (the syntax of a server newer
than the parser, a table that a function makes)."""

_HAS_TABLES: Final = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('information_schema', 'dbmigration') AND n.nspname !~ '^pg_'
        AND (n.nspname, c.relname) <> (%s, %s))
"""


def policy_of(options: RunOptions, files: MigrationSet) -> LintPolicy:
    """What was asked for, else what dbmigration.toml says, else to refuse errors."""
    return options.lint or LintPolicy(files.config.lint_fail_on or LintPolicy.ERROR)


def lint_pending(
    session: Session,
    table: HistoryTable,
    files: MigrationSet,
    plan: Plan,
    options: RunOptions,
    result: RunResult,
    say: Callable[[str], None],
) -> None:
    """Put what lint finds in the plan's pending files into the result and say it. Reads only, one query or two.

    Raises Permanent LINT_FAILED by policy, SPEC_INVALID for a rule in `lint_ignore` that does not exist, and what `Session.query` raises.
    """
    policy = policy_of(options, files)
    if policy is LintPolicy.OFF or not (plan.pending or plan.pending_seeds) or not _has_tables(session, table):
        return
    result.findings = _findings(session, files, plan, options.lint_ignore)
    result.linted = True
    _tell(result.findings, say)
    run_now = {script.name: file for file in (*plan.pending, *plan.pending_seeds) for script in (file, file.verify) if script is not None}
    _refuse(
        [
            finding
            for finding in result.findings
            if finding.file == CONFIG_NAME or (finding.file in run_now and not _is_about_the_way_back(finding, run_now[finding.file]))
        ],
        policy,
    )


def _is_about_the_way_back(finding: "Finding", file: MigrationFile) -> bool:
    """In a layout that keeps both ways in one file."""
    back = file.rollback
    if back is None or back.name != finding.file or finding.line is None:
        return False
    return finding.line >= back.part.line if back.part.line > file.part.line else finding.line < file.part.line


def _has_tables(session: Session, table: HistoryTable) -> bool:
    """Anybody's but ours."""
    return bool(session.query(_HAS_TABLES, (table.schema, table.table))[0][0])


def _findings(session: Session, files: MigrationSet, plan: Plan, ignore: tuple[str, ...]) -> "tuple[Finding, ...]":
    from dbmigration.lint.checking import check
    from dbmigration.lint.live import read_catalog
    from dbmigration.lint.registry import BY_NAME
    from dbmigration.lint.relevance import named_by

    unknown = [rule for rule in ignore if rule not in BY_NAME]
    if unknown:
        raise Permanent(Reason.SPEC_INVALID, f"spec.lint.ignore names {', '.join(unknown)}, which is no rule: docs/lint.md lists them")
    # What this environment skips, nothing has made here.
    skipped = {line.name for line in plan.migrations if line.state is State.SKIPPED}
    choices = tuple(LintChoice(rule, "off", "spec.lint.ignore") for rule in ignore)
    here = files._replace(
        files=tuple(file for file in files.files if file.name not in skipped),
        config=files.config._replace(lint=(*files.config.lint, *choices)),
    )
    pending = (*plan.pending, *plan.pending_seeds)
    return check(here, pending, catalog=read_catalog(session, named_by(pending)))


def _tell(findings: "tuple[Finding, ...]", say: Callable[[str], None]) -> None:
    """Errors and warnings, worst first; notes are only counted: nothing has to change because of them."""
    from dbmigration.lint.finding import Severity

    said = sorted((finding for finding in findings if finding.severity > Severity.NOTE), key=lambda finding: -finding.severity)
    if not said:
        return
    lines = [f"lint has {len(said)} finding{'' if len(said) == 1 else 's'} in pending files (docs/rules/RULE.md explains each):"]
    lines += [f"  {finding}" for finding in said[:_NAMED]]
    if len(said) > _NAMED:
        lines.append(f"  and {len(said) - _NAMED} more: `dbmigration lint` names them all")
    say("\n".join(lines))


def _refuse(findings: "Sequence[Finding]", policy: LintPolicy) -> None:
    """`findings` of what is to be run: a rollback script that is not good is said, and stops nothing."""
    if policy is LintPolicy.NEVER or not findings:
        return
    from dbmigration.lint.finding import Severity

    bad = [finding for finding in findings if finding.severity >= Severity[policy.name] and finding.rule not in _LEFT_TO_POSTGRESQL]
    if not bad:
        return
    worst = max(bad, key=lambda finding: finding.severity)
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    raise Permanent(
        Reason.LINT_FAILED,
        f"{worst.message} [{worst.rule}: docs/rules/{worst.rule}.md]{more}. Change the file, or write above the statement "
        f"`-- dbmigration: ignore {worst.rule} because …`",
        place=Place(worst.file, worst.line),
    )
