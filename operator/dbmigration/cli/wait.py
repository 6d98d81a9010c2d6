"""`dbmigration wait`: what an application's init container runs, so that it does not start before its schema."""

import re
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated

from dbmigration.api.reasons import Reason
from dbmigration.cli import options as o
from dbmigration.cli import words
from dbmigration.errors import Transient, Usage
from dbmigration.migrations.layout import Layout, read_version
from dbmigration.migrations.model import HistoryTable

INTERVAL_S = 2.0
_NUMBER = re.compile(r"[VvUu]?(\d+)", re.ASCII)

ForVersion = Annotated[str, words.Option("--for-version", metavar="VERSION", help="Until a file of this number, or a higher, is applied.")]
Timeout = Annotated[str, words.Option("--timeout", metavar="TIME", help="Give up after this long; 0: never.")]


def wait(
    for_version: ForVersion,
    dsn: o.Dsn = None,
    history: o.History = None,
    timeout: Timeout = "0",
) -> int:
    """Wait until the database has a version. Reads the history table and nothing else: an application's own login can."""
    wanted = read_version(for_version, Layout.NUMBERED)
    if wanted is None:
        raise Usage(Reason.TARGET_UNKNOWN, f"--for-version is {for_version[:80]!r}: write the number of a file, like 004")
    given = o.asked(dsn, Path(), None, history, False, False)
    limit = o.read_duration_ms(timeout, "--timeout") / 1000
    begun = monotonic()
    told = ""
    while True:
        try:
            version = _version(given)
            if version is not None and version >= wanted:
                sys.stdout.write(f"the database is at version {version:03}\n")
                return 0
            message = f"the database is at version {version:03}" if version is not None else "no migration is applied"
        except Transient as error:
            message = error.message
        if message != told:
            told = message
            sys.stderr.write(f"waiting for version {for_version}: {message}\n")
        if limit and monotonic() - begun + INTERVAL_S > limit:
            raise Transient(Reason.DEADLINE_EXCEEDED, f"version {for_version} did not come within {timeout}: {message}")
        sleep(INTERVAL_S)


def _version(given: o.Asked) -> int | None:
    """The highest number that is applied."""
    from dbmigration.postgres.applied import applied_names

    names = applied_names(given.conninfo, given.history or HistoryTable())
    return max((int(found[1]) for name in names if (found := _NUMBER.match(name))), default=None)
