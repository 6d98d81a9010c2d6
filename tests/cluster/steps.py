"""Progress a newcomer can read, and subprocesses whose output is kept for when they fail."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

TAIL_LINES: Final = 30
HEARTBEAT_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05


@contextmanager
def step(what: str, expected: str) -> Iterator[None]:
    """Say what is being done and how long it usually takes; afterwards, how long it took."""
    print(f"==> {what} (usually {expected})", flush=True)
    started = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - started:.1f} s", flush=True)


def run_logged(command: Sequence[str | Path], log: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a long command with its output in `log`; print a sign of life now and then.

    Raises ClusterError with the end of the log when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        while True:
            try:
                status = process.wait(timeout=HEARTBEAT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                print(f"    still at it after {time.monotonic() - started:.0f} s (output: {log})", flush=True)
            except BaseException:
                process.kill()
                process.wait()
                raise
    if status != 0:
        raise ClusterError(f"{Path(str(command[0])).name} ended with status {status}\n{tail(log)}")


def run_quiet(command: Sequence[str | Path]) -> str:
    """Run a short command and return what it wrote; raises ClusterError with its error output when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        shown = " ".join(str(word) for word in command)
        raise ClusterError(f"{shown}\nended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def leave_running(process: subprocess.Popen[bytes]) -> None:
    """Let a process outlive this program. Its Popen would warn when it is collected, and tests take warnings for errors.

    Nothing can be asked of `process` afterwards: it looks ended.
    """
    process.returncode = 0


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float, log: Path | None = None) -> None:
    """Poll until `condition` holds; raises ClusterError (with the end of `log`) after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            shown = f"\n{tail(log)}" if log else ""
            raise ClusterError(f"{what}: not within {seconds:.0f} s{shown}")
        time.sleep(POLL_SECONDS)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file, headed by its name."""
    if not log.exists():
        return f"--- {log}: no such file"
    kept = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- the end of {log}:", *kept])
