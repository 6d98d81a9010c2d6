"""`dbmigration test`: every migration up, verified, down and up again, in a database that is made for it."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.tables import show_ms

if TYPE_CHECKING:
    from dbmigration.migrations.model import MigrationSet
    from dbmigration.run.try_out import Trial, TryOut
    from dbmigration.scratch.place import Place

From = Annotated[
    str | None,
    words.Option("--from", metavar="VERSION", help="Only apply what comes before this one; try it and what follows.", show_default=False),
]
RequireRollback = Annotated[bool, words.Option("--require-rollback", help="A migration without a rollback script is a failure.")]
Postgres = Annotated[
    int | None, words.Option("--postgres", metavar="MAJOR", help="A private server of this major version.", show_default=False)
]
Role = Annotated[
    list[str] | None,
    words.Option("--role", metavar="NAME", help="Make this role on a private server. Those that statements name are made anyhow."),
]

_COLOURS = {"passed": "32", "failed": "31", "no rollback": "33", "applied": "2", "not tried": "2"}
_SERVER_VARIABLES = ("DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "PGUSER")


def try_out(
    dsn: o.Dsn = None,
    private: o.Private = False,
    postgres: Postgres = None,
    role: Role = None,
    directory: o.Directory = o.DIRECTORY,
    layout: o.Layout = None,
    environment: o.Environment = None,
    history: o.History = None,
    since: From = None,
    target: o.Target = None,
    require_rollback: RequireRollback = False,
    statement_timeout: o.StatementTimeout = o.STATEMENT_TIMEOUT,
    as_json: o.Json = False,
    show_values: o.ShowValues = False,
) -> int:
    """Try each migration in a scratch database: up, verify, down, up again, with equal schemas. Never touches a database that is there.

    On the server that --dsn or the environment's variables name; when there is none, on a private one.
    """
    from dbmigration.cli.failure import print_failure
    from dbmigration.cli.work import Interrupt
    from dbmigration.errors import DbmigrationError
    from dbmigration.migrations.folder import read_set
    from dbmigration.run.try_out import Outcome
    from dbmigration.scratch.place import GivenServer, scratch_server
    from dbmigration.scratch.server_wide import refuse_server_wide

    if (private or postgres is not None) and dsn is not None:
        raise words.BadParameter("--dsn and a private server exclude each other", param_hint="--dsn")
    asked = o.asked(dsn, directory, environment, history, as_json, show_values, layout)
    statement_timeout_ms = o.read_duration_ms(statement_timeout, "--statement-timeout")
    begun = monotonic()
    trials: tuple[Trial, ...] = ()
    interrupt = Interrupt()
    with interrupt.handled() as stop:
        try:
            files = read_set(directory, layout)
            plan = _plan(files, asked, target, since, require_rollback, statement_timeout_ms)
            place = _place(asked, private or postgres is not None, postgres, plan, role or [])
            show = _Lines(plan, as_json)
            if isinstance(place, GivenServer):
                refuse_server_wide(plan.files)
                where = place.conninfo.parameters
                show.say(f"in a scratch database on {where.get('host', 'the local server')}, port {where.get('port', '5432')}")
            with scratch_server(place, show.say) as server:
                trials = plan.run(server, stop, show.say, show.trial)
        except DbmigrationError as error:
            print_failure(error, directory=directory, show_values=show_values)
            return exit_of(error, interrupt.number)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(trials)) + "\n")
    else:
        _print_problems(trials, asked)
        _print_summary(trials, monotonic() - begun)
    return Exit.FAILED if any(trial.outcome is Outcome.FAILED for trial in trials) else Exit.OK


def _plan(
    files: "MigrationSet", asked: o.Asked, target: str | None, since: str | None, require_rollback: bool, statement_timeout_ms: int
) -> "TryOut":
    """What a run on an empty database would apply. Raises as `make_plan` does, and words.BadParameter."""
    from dbmigration.migrations.layout import read_version
    from dbmigration.migrations.model import History, HistoryTable
    from dbmigration.migrations.plan import make_plan
    from dbmigration.postgres.settings import Execution
    from dbmigration.run.try_out import TryOut

    first = 0 if since is None else read_version(since, files.config.layout)
    if first is None:
        raise words.BadParameter(f"{since!r} is not a version: give the digits of a file's name, like 003", param_hint="--from")
    plan = make_plan(files, History(), environment=asked.environment, target=target, out_of_order=False, reapply_rolled_back=False)
    return TryOut(
        (*plan.pending, *plan.pending_seeds),
        asked.history or files.config.history or HistoryTable(),
        Execution(statement_timeout_ms=statement_timeout_ms),
        f"test-{os.urandom(4).hex()}",
        since=first,
        require_rollback=require_rollback,
        ignore=files.config.drift.ignore,
    )


def _place(asked: o.Asked, private: bool, major: int | None, plan: "TryOut", roles: Sequence[str]) -> "Place":
    """The server of --dsn or of the environment's variables; a private one when nobody names any."""
    from dbmigration.scratch.place import GivenServer, OwnServer
    from dbmigration.scratch.roles import roles_of

    if not private and (asked.dsn is not None or any(os.environ.get(name) for name in _SERVER_VARIABLES)):
        return GivenServer(asked.conninfo)
    return OwnServer(major, roles=(*roles_of(plan.files).wanted, *roles))


class _Lines:
    """One line for each file as soon as it is tried, in columns whose widths are known before the first."""

    def __init__(self, plan: "TryOut", silent: bool) -> None:
        from dbmigration.cli.failure import wants_colour

        self._silent = silent
        self._width = max((len(file.name) for file in plan.files), default=0)
        self._colour = wants_colour(sys.stdout)

    def say(self, message: str) -> None:
        if not self._silent:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    def trial(self, trial: "Trial") -> None:
        cells = [
            trial.file.name.ljust(self._width),
            f"up {_time(trial.up_ms)}",
            "verified" if trial.verified else "-       ",
            f"down {_time(trial.down_ms)}",
            f"up again {_time(trial.again_ms)}",
            self._painted(str(trial.outcome)),
        ]
        self.say("  ".join(cells))

    def _painted(self, outcome: str) -> str:
        return f"\x1b[{_COLOURS[outcome]}m{outcome}\x1b[0m" if self._colour else outcome


def _time(milliseconds: int | None) -> str:
    return ("-" if milliseconds is None else show_ms(milliseconds)).rjust(6)


def _print_problems(trials: "Sequence[Trial]", asked: o.Asked) -> None:
    from dbmigration.cli.failure import print_error, print_failure

    for trial in trials:
        if trial.note:
            sys.stdout.write(f"note: {trial.file.name}: {trial.note}\n")
    sys.stdout.flush()
    for trial in trials:
        if trial.error is not None:
            print_failure(trial.error, directory=asked.directory, show_values=asked.show_values)
        elif trial.turn is not None:
            print_error(f"{_script(trial, asked.directory)}: error: {_problem(trial)}")
            for line in (*trial.drift, *trial.rows):
                sys.stderr.write(f"  {line}\n")


def _script(trial: "Trial", directory: Path) -> Path:
    """The file that has to be mended."""
    from dbmigration.run.try_out import Turn

    if trial.turn is Turn.DOWN and trial.file.rollback is not None:
        return directory / trial.file.rollback.name
    return trial.file.path


def _problem(trial: "Trial") -> str:
    from dbmigration.run.try_out import Turn

    if trial.rows:
        return "run a second time, it leaves another number of rows:"
    if not trial.drift:
        return f"there is no {trial.file.rollback_name}"
    if trial.turn is Turn.AGAIN:
        return "applied again after its rollback, it makes another schema than the first time:"
    return f"the schema is not what it was before {trial.file.name}:"


def _print_summary(trials: "Sequence[Trial]", seconds: float) -> None:
    counts = dict[str, int]()
    for trial in trials:
        counts[str(trial.outcome)] = counts.get(str(trial.outcome), 0) + 1
    said = ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "there is none"
    sys.stdout.write(f"{len(trials)} migration{'' if len(trials) == 1 else 's'}: {said}; {show_ms(round(seconds * 1000))}.\n")


def _as_json(trials: "Sequence[Trial]") -> dict[str, Any]:
    """Fields without a value are left out, as in the reports of the other commands."""
    return {
        "outcome": "Failed" if any(trial.outcome == "failed" for trial in trials) else "Succeeded",
        "migrations": [
            {
                name: value
                for name, value in {
                    "name": trial.file.name,
                    "outcome": str(trial.outcome),
                    "upMs": trial.up_ms,
                    "verified": trial.verified,
                    "downMs": trial.down_ms,
                    "upAgainMs": trial.again_ms,
                    "turn": trial.turn and str(trial.turn),
                    "reason": trial.error and str(trial.error.reason),
                    "message": trial.error and trial.error.message,
                    "file": trial.error and trial.error.place.file,
                    "line": trial.error and trial.error.place.line,
                    "drift": [str(drift) for drift in trial.drift] or None,
                    "rows": list(trial.rows) or None,
                    "note": trial.note,
                }.items()
                if value is not None
            }
            for trial in trials
        ],
    }
