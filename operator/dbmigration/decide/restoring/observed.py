"""Everything a decision about a DatabaseRestore may look at, and what it may decide. Data only."""

from dataclasses import dataclass
from datetime import timedelta

from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_report import RestoreReport
from dbmigration.api.restore_request import RestoreRequest, RestoreStep
from dbmigration.api.restore_status import RestoreStatus
from dbmigration.api.spec import Spec
from dbmigration.api.status import Status
from dbmigration.decide.decision import Announcement
from dbmigration.decide.observed import JobSeen, Runner


@dataclass(frozen=True, slots=True)
class StepJob:
    """A Job of this DatabaseRestore: its `run_key` is the step's key. `report` None with a terminated runner: it left none."""

    step: RestoreStep
    job: JobSeen
    report: RestoreReport | None = None


@dataclass(frozen=True, slots=True)
class MigrationSeen:
    """The DatabaseMigration that the spec names. `spec` None: it cannot be read. `at_work`: what runs for it, in words; None: nothing."""

    name: str
    uid: str
    spec: Spec | None
    status: Status
    at_work: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreObserved:
    """One DatabaseRestore and everything around it at one moment. `spec` None: `spec_error` says why it cannot be read.

    `jobs` are its own, oldest first. `retry` is the value of the annotation dbmigration.dev/retry. `migration` None: there is none.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    retry: str | None
    spec: RestoreSpec | None
    spec_error: str | None
    status: RestoreStatus
    migration: MigrationSeen | None
    jobs: tuple[StepJob, ...]
    runner: Runner
    deleting: bool = False

    @property
    def newest_job(self) -> StepJob | None:
        return self.jobs[-1] if self.jobs else None


@dataclass(frozen=True, slots=True)
class StartStep:
    """Make the Job `job_name`, or find that an earlier process made it. `migration` is where secrets, volumes and knobs come from."""

    job_name: str
    key: str
    pod_hash: str
    attempt: int
    retry_value: str | None
    migration: Spec
    request: RestoreRequest


@dataclass(frozen=True, slots=True)
class RestoreDecision:
    """As `decide.decision.Decision`."""

    rule: str
    status: RestoreStatus
    start: StartStep | None = None
    announcements: tuple[Announcement, ...] = ()
    remove_jobs: tuple[str, ...] = ()
    again_after: timedelta | None = None
