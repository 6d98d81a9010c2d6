"""Everything a decision may look at, gathered by `kube/observe` in one go. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.api.request import FetchRequest
from dbmigration.api.spec import Spec
from dbmigration.api.states import State
from dbmigration.api.status import Status


@dataclass(frozen=True, slots=True)
class FoundSource:
    """All ConfigMaps are there and fit together. `digest` as migrations.digest computes it; `files` counts the .sql files."""

    digest: str
    files: int

    @property
    def identity(self) -> str:
        """What is asked of a run, as far as its files go."""
        return self.digest


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """Files that the run's pod gets itself. `identity`: hash of what it is to get, for what they are is not known before."""

    identity: str
    request: FetchRequest


@dataclass(frozen=True, slots=True)
class MissingSource:
    """There is nothing to plan from yet; `message` names what is missing and says what to do."""

    message: str
    reason: Reason = Reason.SOURCE_MISSING


@dataclass(frozen=True, slots=True)
class InvalidSource:
    """The ConfigMaps do not make one folder; `message` names object and key and says what to do."""

    message: str


KnownSource = FoundSource | FetchedSource
Source = KnownSource | MissingSource | InvalidSource


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why the pod does not start, in kubelet's, the scheduler's or the API server's own words."""

    reason: Reason
    message: str


class PodState(Enum):
    """What the container `runner` does; a sidecar changes nothing."""

    ABSENT = "absent"
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest progress line of the run's log."""

    step: str
    file: str | None = None
    done: int | None = None
    total: int | None = None
    message: str | None = None
    blocked_by: str | None = None
    percent: int | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class PodSeen:
    """`disrupted`: deleted, evicted or lost with its node, so that how it ended says nothing about the run.

    `scheduled_at`: when it got its node, None while it has none. `source_failed`: why the files of an image could not be copied, so that
    the runner never started; `source_image`: the image that they were copied from, by digest. `server_failed`: why the pod was ended
    for the PostgreSQL that the rehearsal is on.
    """

    state: PodState
    blocked: Blocked | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    disrupted: bool = False
    progress: Progress | None = None
    scheduled_at: datetime | None = None
    source_failed: Blocked | None = None
    source_image: str | None = None
    server_failed: Blocked | None = None


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A Job of this resource (its controller reference has our uid).

    `failed` is the reason of its condition Failed, None while it has none; `complete` is its condition Complete. `report` None with a
    terminated runner: it left none, or one that is not to be believed. `look`: it is no run, but a look at the schema; `retry_value` is
    then that of the other annotation.
    """

    name: str
    run_key: str
    spec_hash: str
    pod_hash: str
    attempt: int
    retry_value: str | None
    created_at: datetime
    complete: bool = False
    failed: str | None = None
    failed_message: str | None = None
    deleting: bool = False
    pod: PodSeen = PodSeen(PodState.ABSENT)
    report: Report | None = None
    look: bool = False

    @property
    def ended(self) -> bool:
        """Nothing more will come: the runner's container has terminated, else the Job itself is over."""
        return self.pod.state is PodState.TERMINATED or self.complete or self.failed is not None

    @property
    def over(self) -> bool:
        """The Job itself is finished, not only its runner."""
        return self.complete or self.failed is not None

    @property
    def lingers(self) -> bool:
        """Its runner has ended, and a sidecar keeps the Job alive."""
        return self.pod.state is PodState.TERMINATED and not self.over and not self.deleting

    @property
    def started(self) -> bool:
        return self.pod.state in (PodState.RUNNING, PodState.TERMINATED)


@dataclass(frozen=True, slots=True)
class AllowLists:
    """What a resource may name, as patterns (decide/allowed). `service_accounts`: beside the namespace's own `default`."""

    service_accounts: tuple[str, ...] = ()
    s3_hosts: tuple[str, ...] = ("*",)
    images: tuple[str, ...] = ("*",)
    git_hosts: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Runner:
    """The image that Jobs run: the operator's own. `cluster`: what it was told to call its cluster, "" when it was told nothing.

    `traces`: variables with which runs send traces; none: they send none.
    """

    image: str
    pull_policy: str
    cluster: str = ""
    allowed: AllowLists = AllowLists()
    traces: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Approved:
    """A MigrationApproval that names this resource."""

    name: str
    plan_hash: str
    approved_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Stage:
    """What the database that goes first says of itself, where it could be read; else `problem` says why not.

    `label` names it for a person. `digest`: hash of its files; `complete`: all of them are applied or skipped there. `files`: those that it
    names, all or its newest, by name. `prefixes`: digests of lists of files that begin with its first and are all done there (see
    `migrations.prefix`). `not_ready`: why it is not Ready, None when it is.
    """

    label: str
    problem: str | None = None
    not_ready: str | None = None
    environment: str | None = None
    digest: str | None = None
    complete: bool = False
    files: Mapping[str, tuple[State, str | None]] = field(default_factory=dict)
    prefixes: frozenset[str] = frozenset()


class Limits(NamedTuple):
    """Runs at once: of the operator, and on each server. 0: no limit."""

    runs: int = 0
    per_server: int = 0


class Place(NamedTuple):
    """A run that is under way or waits. `name` is namespace/name of the resource, `server` a system identifier, None while unknown."""

    name: str
    server: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """The runs of all other resources."""

    limits: Limits
    under_way: tuple[Place, ...] = ()
    waiting: tuple[Place, ...] = ()


class RestoreTest(NamedTuple):
    """The backup at `uri` was restored, and what came back compared with it row by row, until `at`."""

    uri: str
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """A Job of a DatabaseRestore about this resource. `restore`: that one's name; `step`: restore or swap.

    `over`: it is finished, or its result is stored. `swapped`: that result is that this Job put a restored database in the place of ours.
    `tested`: it is that this Job restored our newest backup, of which nobody knew that it can be.
    """

    name: str
    restore: str
    step: str
    created_at: datetime
    over: bool
    swapped: bool = False
    tested: RestoreTest | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One DatabaseMigration and everything around it at one moment. `spec` None: `spec_error` says why it cannot be read.

    `jobs`, the runs, and `looks`, at the schema between runs, are in order of creation, oldest first. `retry` and `check_drift` are the
    values of the annotations dbmigration.dev/retry and dbmigration.dev/check-drift. `approvals` and `stage` are read only where the spec
    asks for one. `restores`: what DatabaseRestores do with this database, oldest first. `line`: None where there are no limits.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    retry: str | None
    spec: Spec | None
    spec_error: str | None
    status: Status
    source: Source
    jobs: tuple[JobSeen, ...]
    runner: Runner
    deleting: bool = False
    looks: tuple[JobSeen, ...] = ()
    check_drift: str | None = None
    approvals: tuple[Approved, ...] = ()
    stage: Stage | None = None
    restores: tuple[RestoreJob, ...] = ()
    line: Line | None = None

    @property
    def newest_job(self) -> JobSeen | None:
        return self.jobs[-1] if self.jobs else None
