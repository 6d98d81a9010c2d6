"""What is to be done, as data. `kube/act` does it in the order of the fields."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dbmigration.api.request import RunRequest
from dbmigration.api.status import Status


@dataclass(frozen=True, slots=True)
class StartRun:
    """Make the Job `job_name` (or find it made by an earlier process that died before it said so)."""

    job_name: str
    run_key: str
    spec_hash: str
    pod_hash: str
    attempt: int
    retry_value: str | None
    request: RunRequest
    server: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """A Kubernetes Event. `identity` makes its name, so that the same announcement is never posted twice.

    `at` is when it happened, None for now: a run's steps are all learnt of at its end, and are read in the order of their times.
    """

    reason: str
    message: str
    identity: str
    warning: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule` names the rule that decided. `status` is what status is to be; it is written only when it differs.

    `remove_jobs` are Jobs whose result is stored or which never started. `again_after`: look again then at the latest.
    """

    rule: str
    status: Status
    start: StartRun | None = None
    announcements: tuple[Announcement, ...] = ()
    remove_jobs: tuple[str, ...] = ()
    again_after: timedelta | None = None
