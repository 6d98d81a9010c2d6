"""The command lines of the cluster's processes: whoever may look at a node's processes sees them, and so no Secret may be in one."""

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

EVERY_SECONDS: Final = 0.2
LOOKS: Final = 5
"""How often a new process is looked at: a container's first moments are the runtime's, before it becomes the program it is for."""
_PROC: Final = Path("/proc")


class CommandLines:
    """What runs on this machine in other process namespaces than ours: containers, where the cluster's node is here.

    A process that lives for less than a fifth of a second may be missed.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._looks: dict[str, int] = {}
        self._ours = _namespace("self")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="command lines", daemon=True)

    def __enter__(self) -> "CommandLines":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def text(self) -> str:
        """One a line."""
        return "\n".join(sorted(self.seen))

    def _watch(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            there = [path.name for path in _PROC.iterdir() if path.name.isdecimal()]
            self._looks = {pid: self._looks.get(pid, 0) + 1 for pid in there}
            for pid, looks in self._looks.items():
                if looks <= LOOKS:
                    self._look_at(pid)

    def _look_at(self, pid: str) -> None:
        with contextlib.suppress(OSError):  # it has ended
            if _namespace(pid) != self._ours:
                self.seen.add((_PROC / pid / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())


def _namespace(pid: str) -> str:
    return str((_PROC / pid / "ns" / "pid").readlink())
