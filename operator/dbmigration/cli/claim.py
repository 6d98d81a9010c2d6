"""`dbmigration claim`: whose a database is, and its release when that owner is gone for good."""

import sys
from typing import TYPE_CHECKING, Annotated

from dbmigration.cli import options as o
from dbmigration.cli import words

if TYPE_CHECKING:
    from dbmigration.run.engine import Engine
    from dbmigration.run.result import RunResult

Release = Annotated[
    str | None,
    words.Option(
        "--release",
        metavar="NAMESPACE/NAME",
        help="This resource is gone for good: take its claim off the database. The next resource that changes anything claims it.",
        show_default=False,
    ),
]


def claim(dsn: o.Dsn = None, release: Release = None, wait: o.Wait = o.WAIT, show_values: o.ShowValues = False) -> int:
    """Show which resource migrates this database, since when, and whose it was before.

    With --release that claim is removed, if it is the named owner's and no run is at work. Nothing else is touched.
    """
    from dbmigration.cli.work import work
    from dbmigration.run.claiming import Claimed, look_at_claim, release_claim

    found = Claimed(None)

    def look(engine: "Engine") -> "RunResult":
        nonlocal found
        if release is not None:
            return release_claim(engine, release)
        result, found = look_at_claim(engine)
        return result

    def show(result: "RunResult") -> None:
        if result.error is not None or result.server is None:
            return
        if release is not None:
            sys.stdout.write(f"Released: {release} migrates this database no more. The next resource that changes anything claims it.\n")
        elif found.owner is None:
            sys.stdout.write("No resource has claimed this database.\n")
        else:
            taken = found.taken
            since = f" since {taken.at:%Y-%m-%dT%H:%M:%SZ} (run {taken.run_id})" if taken.at else ""
            before = f"; before that, {taken.before} did" if taken.before else ""
            sys.stdout.write(f"{found.owner} migrates this database{since}{before}.\n")
        if release is None:
            sys.stdout.write(f"Its identity (system identifier/oid) is {result.server.identity}.\n")

    asked = o.asked(dsn, o.DIRECTORY, None, None, as_json=False, show_values=show_values)
    return work(asked, look, show, quiet=True, lock_wait_s=o.read_duration_ms(wait, "--wait") / 1000)
