"""`kubectl dbmigration watch`: a run while it goes, until the resource is Ready, Stalled, or waits for a person or a clock."""

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from dbmigration.api.names import PLURAL, RESTORE_PLURAL
from dbmigration.cli.exits import Exit
from dbmigration.cli.failure import print_error
from dbmigration.cli.options import read_duration_ms
from dbmigration.cli.plugin.picture import head_lines
from dbmigration.cli.plugin.resource import Context, EitherName, Namespace, Resource, Restore, cluster, read_either
from dbmigration.cli.plugin.show import lines_of, paper, write
from dbmigration.cli.plugin.view import View, view_for
from dbmigration.cli.words import Option

if TYPE_CHECKING:
    from dbmigration.decide.observed import Progress
    from dbmigration.kube.follow import Follower

_TICK_S: Final = 0.25
_LINGER_S: Final = 3.0
"""What seems over when we come may be about to begin: a file or an annotation that was written a moment ago."""
_LAST_WORDS_S: Final = 10.0
"""The resource may be Ready before the last lines of the log have come."""

Watched = Resource | Restore

Timeout = Annotated[
    str | None, Option("--timeout", metavar="TIME", help="Stop watching after so long, like 10m: exit status 3.", show_default=False)
]


def watch(name: EitherName, namespace: Namespace = None, context: Context = None, timeout: Timeout = None) -> int:
    """Show a run, or a DatabaseRestore, while it goes. Ends with 0 when Ready, 1 when Stalled, 4 when it waits for a person or a clock."""
    ends = None if timeout is None else time.monotonic() + read_duration_ms(timeout, "--timeout") / 1000
    from dbmigration.kube.follow import Follower

    with cluster(namespace, context) as (api, place):
        first = read_either(api, place, name)
        plural = RESTORE_PLURAL if isinstance(first, Restore) else PLURAL
        with Follower(api, first.namespace, first.name, plural) as follower, view_for(sys.stdout) as view:
            last = _Watching(first, follower, view).until(ends)
    return _conclude(first if last is None else last, deleted=last is None, timed_out=last is not None and not is_over(last))


def is_over(resource: Watched) -> bool:
    """Nothing more happens by itself: it is Ready, Stalled, or waits for somebody."""
    return resource.ready is not None and resource.current and not resource.reconciling


class _Watching:
    def __init__(self, first: Watched, follower: "Follower", view: View) -> None:
        self._resource: Watched = first
        self._follower = follower
        self._view = view
        self._log: str | None = None
        self._log_ended = True
        self._began = time.monotonic()
        self._over_since: float | None = self._began if is_over(first) else None
        self._nothing_yet = is_over(first)

    def until(self, ends: float | None) -> Watched | None:
        """Until it is over or the time has come. None: the resource was deleted. Raises ApiFailure."""
        from dbmigration.kube.follow import Changed, Failed, LogEnded, Said

        self._look(self._resource)
        while not self._done() and (ends is None or time.monotonic() < ends):
            happened = self._follower.next(_TICK_S)
            if isinstance(happened, Changed):
                if happened.resource is None:
                    return None
                self._look(self._resource.of(happened.resource))
            elif isinstance(happened, Said) and happened.job == self._log:
                progress = progress_in(happened.line)
                if progress is not None:
                    self._view.progress(progress)
            elif isinstance(happened, LogEnded) and happened.job == self._log:
                self._log_ended = True
                if happened.why:
                    self._view.note(f"the run's log cannot be read, so only the resource tells: {happened.why}")
            elif isinstance(happened, Failed):
                raise happened.failure
            self._view.tick()
        return self._resource

    def _look(self, resource: Watched) -> None:
        self._resource = resource
        run = resource.status.run
        if run is not None and run.finished_at is None and run.job_name != self._log:
            self._log, self._log_ended, self._nothing_yet = run.job_name, False, False
            self._follower.follow_log(run.job_name)
        self._view.resource(resource)
        over = is_over(resource)
        self._over_since = (self._over_since or time.monotonic()) if over else None
        self._nothing_yet = self._nothing_yet and over

    def _done(self) -> bool:
        if self._over_since is None:
            return False
        waits = _LINGER_S if self._nothing_yet else 0.0 if self._log_ended else _LAST_WORDS_S
        return time.monotonic() - self._over_since >= waits


def progress_in(line: str) -> "Progress | None":
    """What a line of the log says of progress."""
    from dbmigration.kube.reports import progress_of

    try:
        said = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return progress_of(said) if isinstance(said, dict) else None


def _conclude(resource: Watched, *, deleted: bool, timed_out: bool) -> int:
    now = datetime.now(UTC)
    if deleted:
        print_error(f"{resource.namespace}/{resource.name} was deleted")
        return Exit.FAILED
    if resource.is_ready and not timed_out:
        write(head_lines(resource, now, paper()))
        return Exit.OK
    write(lines_of(resource, now, paper()))
    if timed_out:
        print_error("still at work when --timeout was over")
        return Exit.TRY_AGAIN
    return Exit.FAILED if resource.stalled else Exit.PENDING
