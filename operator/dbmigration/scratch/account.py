"""As whom a private server runs: PostgreSQL refuses to run as root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient


class _Options(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Both ids None: whoever we are."""

    uid: int | None = None
    gid: int | None = None

    def for_subprocess(self) -> _Options:
        """Keyword arguments of subprocess.Popen."""
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make it the path's owner."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account() -> Account:
    """For root: `postgres` where the system has it, else `nobody`. Raises Transient DATABASE_UNAVAILABLE when it has neither."""
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Transient(
        Reason.DATABASE_UNAVAILABLE,
        "PostgreSQL does not run as root, and this system has no user postgres or nobody: run the command as another user",
    )
