"""The program that kubectl finds as `kubectl-dbmigration`. It talks to the API server only: no database, no Secret."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NoReturn

from dbmigration.cli.program import Program, run_program

_HELP = """A DatabaseMigration in a cluster: how it stands, what it does, what it waits for.

Exit status: 0 done or Ready, 1 something has to change first, 2 wrong usage, 3 try again later, 4 it waits for a person or a clock.
"""

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "status": "plugin.show.status",
        "watch": "plugin.watch.watch",
        "plan": "plugin.show.plan",
        "approve": "approve.approve",
        "retry": "plugin.change.retry",
        "logs": "plugin.logs.logs",
        "history": "plugin.show.history",
        "rollback": "plugin.change.rollback",
        "restore": "plugin.restore.restore",
    }
)

_AT_THE_DATABASE: Final = ("apply", "verify", "drift", "lint", "backup", "backups", "rehearse", "baseline",
                           "import-history", "new", "test", "graph", "docs")  # fmt: skip
PLUGIN: Final = Program(
    "kubectl dbmigration",
    _HELP,
    COMMANDS,
    elsewhere=MappingProxyType(
        {name: f"{name} works on files or a database, not on a resource: `dbmigration {name}`" for name in _AT_THE_DATABASE}
        | {"swap": "in a cluster a DatabaseRestore does that (docs/restore.md); at the database: `dbmigration swap`"}
    ),
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; ends the process as `run_program` does."""
    run_program(PLUGIN, arguments)


if __name__ == "__main__":
    main()
