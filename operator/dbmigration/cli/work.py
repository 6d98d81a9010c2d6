"""From a command's words to the engine and back: signals, display, result, exit status."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from dbmigration.api.reasons import Reason
from dbmigration.cli.exits import exit_of
from dbmigration.cli.failure import print_failure
from dbmigration.cli.live import display
from dbmigration.cli.options import Asked
from dbmigration.cli.streams import reader_may_leave
from dbmigration.errors import DbmigrationError
from dbmigration.postgres.settings import Execution
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, DriftPolicy, ExternalBackup, LintPolicy, OnFailure, Rehearsal, RunOptions
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from dbmigration.run.trace_settings import wanted_trace

if TYPE_CHECKING:
    from dbmigration.postgres.conninfo import ConnInfo
    from dbmigration.run.tracing import RunTrace


class Interrupt:
    """SIGINT and SIGTERM as a stop request: the transaction in hand is rolled back, and the result says what is applied.

    A second signal ends the process at once. `number` is the signal that came, if one did.
    """

    def __init__(self) -> None:
        self.stop = StopRequest()
        self.number: int | None = None

    @contextmanager
    def handled(self) -> Iterator[StopRequest]:
        before = {number: signal.signal(number, self._asked) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self.stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = number
        signal.signal(number, signal.SIG_DFL)
        # os.write: a handler may not enter a buffered stream that the program is just writing to.
        os.write(2, b"stopping: what is being done now is rolled back (once more: end at once)\n")
        self.stop.set()


def work(
    asked: Asked,
    do: Callable[[Engine], RunResult],
    show: Callable[[RunResult], None],
    *,
    execution: Execution | None = None,
    target: str | None = None,
    out_of_order: bool = False,
    reapply: bool = False,
    backup: BackupTarget | None = None,
    external: ExternalBackup | None = None,
    rehearsal: Rehearsal | None = None,
    lock_wait_s: float = 0.0,
    drift: DriftPolicy | None = None,
    lint: LintPolicy | None = None,
    on_failure: OnFailure = OnFailure.STOP,
    claimed_by: str | None = None,
    quiet: bool = False,
    advice: Mapping[Reason, str] | None = None,
    forgive: Callable[[DbmigrationError, RunResult], bool] = lambda *_: False,
    traced: str | None = None,
) -> int:
    """Let the engine `do` it, `show` the result (or print it as JSON), print what stopped it, and return the exit status.

    `quiet`: the result is all there is to say, as of a look that takes no time. `advice` says what to do next about a reason where this
    command knows better. `forgive` says of an error that the command did its part all the same. `traced`: what the work is
    called in a trace, where OpenTelemetry's variables ask for one; None: none is made. Raises Usage for a bad connection string.
    """
    options = RunOptions(
        directory=asked.directory,
        layout=asked.layout,
        run_id=f"cli-{os.urandom(4).hex()}",
        environment=asked.environment,
        target=target,
        history=asked.history,
        execution=execution or Execution(),
        out_of_order=out_of_order,
        backup=backup,
        external=external,
        rehearsal=rehearsal,
        reapply_rolled_back=reapply,
        lock_wait=lock_wait_s,
        drift=drift,
        lint=lint,
        on_failure=on_failure,
        claimed_by=claimed_by,
    )
    conninfo = asked.conninfo
    interrupt = Interrupt()
    trace = wanted_trace(os.environ) if traced is not None else None
    with interrupt.handled() as stop, display(silent=asked.as_json or quiet) as shown:
        result = do(Engine(options, conninfo, shown if trace is None else trace.beside(shown), stop))
    trace_id = _trace_id(trace, traced or "", result, conninfo, asked.environment)
    with reader_may_leave():
        if asked.as_json:
            print_json(result, asked.environment, trace_id)
        else:
            show(result)
        sys.stdout.flush()
    status = exit_of(None)
    if result.error is not None:
        forgiven = forgive(result.error, result)
        print_failure(
            result.error,
            # A plan that was only looked at leaves nothing undone.
            result=result if result.executed_sql or result.backup_reason else None,
            directory=asked.directory,
            show_values=asked.show_values,
            advice=advice,
            word="apply would refuse" if forgiven else "error",
        )
        status = exit_of(None) if forgiven else exit_of(result.error, interrupt.number)
    _send(trace, trace_id)
    return status


def print_json(result: RunResult, environment: str | None, trace_id: str | None = None) -> None:
    """The report of the run, as the operator gets it: docs/cli.md names the fields."""
    from dbmigration.run.reporting import build_report

    report = build_report(result, environment=environment).model_copy(update={"trace_id": trace_id})
    sys.stdout.write(report.to_json() + "\n")


def _trace_id(trace: "RunTrace | None", work: str, result: RunResult, conninfo: "ConnInfo", environment: str | None) -> str | None:
    if trace is None:
        return None
    from dbmigration.run.reporting import build_report

    return trace.end(work, lambda: build_report(result, environment=environment), result=result, conninfo=conninfo)


def _send(trace: "RunTrace | None", trace_id: str | None) -> None:
    """Everything is told by then; a collector that does not answer is one line on stderr."""
    if trace is None:
        return
    problem = trace.send()
    if problem is not None:
        sys.stderr.write(f"trace not sent: {problem}\n")
    elif trace_id is not None:
        sys.stderr.write(f"trace {trace_id}\n")
