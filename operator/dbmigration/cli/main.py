"""`dbmigration`: a person's or a script's way to the database, and the entry points of the operator and its Jobs.

`kubectl dbmigration` is another program, `cli/plugin`: its commands are about a resource in a cluster (decision 020).
"""

import gc
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NoReturn

from dbmigration.cli.program import Program, run_program
from dbmigration.cli.streams import visible_output
from dbmigration.cli.words import PROGRAM, Command

_HELP = """Back up, migrate and prove PostgreSQL databases.

Exit status: 0 done or nothing to do, 1 something has to change first, 2 wrong usage, 3 try again later, 4 pending (plan --exit-code).
"""

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan": "read.plan",
        "apply": "write.apply",
        "status": "read.status",
        "verify": "read.verify",
        "drift": "drift.drift",
        "lint": "lint.lint",
        "backup": "write.backup",
        "backups": "backups.backups",
        "restore": "restore.restore",
        "swap": "restore.swap",
        "rehearse": "rehearse.rehearse",
        "rollback": "write.rollback",
        "baseline": "adopt.baseline",
        "import-history": "adopt.import_history",
        "new": "new.new",
        "test": "try_out.try_out",
        "graph": "graph.graph",
        "docs": "docs.docs",
        "claim": "claim.claim",
        "approve": "approve.approve",
        "wait": "wait.wait",
        "run": "main.run",
    }
)
_HIDDEN: Final[Mapping[str, str]] = MappingProxyType({"operator": "main.operator", "run-restore": "main.run_restore"})
DBMIGRATION: Final = Program(PROGRAM, _HELP, COMMANDS, _HIDDEN)


def run() -> int:
    """What the operator's Job runs: one request from DBMIGRATION_REQUEST, one report on stdout. People use apply."""
    from dbmigration.run.job import main as run_job

    return run_job(os.environ)


def run_restore() -> int:
    """What the Job of a DatabaseRestore runs: one request from DBMIGRATION_RESTORE_REQUEST, one report on stdout."""
    from dbmigration.run.restore_job import main as run_restore_job

    return run_restore_job(os.environ)


def operator() -> int:
    """The operator's process. It lives long, so what it throws away in circles must not gather as in a command's."""
    from dbmigration.handlers.app import main as run_operator

    gc.set_threshold(50_000)
    return run_operator()


def command_of(name: str) -> Command | None:
    """The function behind a command's name, hidden ones too."""
    return DBMIGRATION.command_of(name)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; ends the process as `run_program` does."""
    with visible_output():
        run_program(DBMIGRATION, arguments)


if __name__ == "__main__":
    main()
