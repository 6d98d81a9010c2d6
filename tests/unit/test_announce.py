"""Kubernetes Events: one for each step that matters, none repeated."""

from dataclasses import replace
from datetime import timedelta

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.api.status import Status
from dbmigration.decide.observed import JobSeen, MissingSource, Observed
from dbmigration.decide.rules import decide
from tests.unit.observing import DECLARED, NOW, ended, failure_report, files, report, seen


class Resource:
    """A resource through several runs, and what was announced of it."""

    def __init__(self, **changes: object) -> None:
        self.observed: Observed = seen(**changes)
        self.now = NOW
        self.said: list[tuple[str, str, bool]] = []

    def looked_at(self) -> list[str]:
        """One look; the reasons announced in it."""
        decision = decide(self.observed, self.now)
        start = decision.start
        jobs = self.observed.jobs
        if start is not None:
            made = JobSeen(start.job_name, start.run_key, start.spec_hash, start.pod_hash, start.attempt, start.retry_value, self.now)
            jobs = (*jobs, made)
        self.observed = replace(self.observed, status=decision.status, jobs=jobs)
        self.said += [(a.reason, a.identity, a.warning) for a in decision.announcements]
        return [a.reason for a in decision.announcements]

    def run(self, told: Report) -> list[str]:
        """One attempt from its start until its result is stored; the reasons announced."""
        before = len(self.said)
        self.now += timedelta(minutes=10)
        self.looked_at()
        self.looked_at()
        last = self.observed.jobs[-1]
        result = ended(told.model_copy(update={"run_id": last.name}))
        self.observed = replace(
            self.observed, jobs=(*self.observed.jobs[:-1], replace(last, pod=result.pod, report=result.report, complete=True))
        )
        self.looked_at()
        self.looked_at()
        return [reason for reason, _, _ in self.said[before:]]


DOWN = failure_report(Reason.DATABASE_UNAVAILABLE, transient=True, database=None, plan_hash=None, migrations=())
WRONG_PASSWORD = failure_report(Reason.AUTHENTICATION_FAILED, transient=True, database=None, plan_hash=None, migrations=())


def test_a_first_install_is_three_events() -> None:
    resource = Resource()
    assert resource.run(report()) == ["RunStarted", "BackupVerified", "Migrated"]
    assert not any(warning for _, _, warning in resource.said)


def test_a_backup_that_is_only_declared_is_said_as_that() -> None:
    resource = Resource()
    told = report(backup=None, backup_reason=Reason.BACKUP_DECLARED, declared_backup=DECLARED)
    assert resource.run(told) == ["RunStarted", "BackupDeclared", "Migrated"]


def test_a_run_with_nothing_to_do_only_says_that_it_started() -> None:
    nothing = report(backup=None, backup_reason=Reason.NOTHING_PENDING, applied_now=())
    assert Resource().run(nothing) == ["RunStarted"]


def test_retries_of_the_same_failure_say_nothing_new() -> None:
    resource = Resource()
    assert resource.run(DOWN) == ["RunStarted", "DatabaseUnavailable", "NextSteps"]
    assert resource.run(DOWN) == []
    assert resource.run(DOWN) == []
    assert resource.run(WRONG_PASSWORD) == ["AuthenticationFailed", "NextSteps"]
    assert resource.run(report()) == ["BackupVerified", "Migrated", "UpToDate"]


def test_a_failure_for_good_is_one_warning() -> None:
    resource = Resource()
    assert resource.run(failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True)) == ["RunStarted", "SqlFailed", "NextSteps"]
    assert [warning for reason, _, warning in resource.said if reason == "SqlFailed"] == [True]
    assert resource.looked_at() == []


def test_the_spent_budget_is_announced_although_its_failures_were() -> None:
    resource = Resource()
    locked = failure_report(Reason.LOCK_TIMEOUT, transient=True, executed_sql=True)
    assert resource.run(locked) == ["RunStarted", "LockTimeout", "NextSteps"]
    assert [resource.run(locked) for _ in range(4)] == [[], [], [], ["RetryLimitReached", "NextSteps"]]


def test_a_failure_ends_with_what_can_be_done_a_second_later_so_that_it_is_shown_last() -> None:
    job = ended(failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True))
    decision = decide(seen(status=Status(), jobs=(job,)), NOW)
    failure, steps = decision.announcements
    assert (failure.reason, failure.at, steps.reason, steps.warning) == ("SqlFailed", None, "NextSteps", False)
    assert steps.at == NOW + timedelta(seconds=1)
    assert [part.strip() for part in steps.message.split("; ")] == [f"{n}. {step}" for n, step in enumerate(decision.status.next_steps, 1)]
    assert steps.message.endswith("read docs/runbook/SqlFailed.md")


def test_a_missing_source_is_announced_once() -> None:
    resource = Resource(source=MissingSource("files is missing"))
    assert resource.looked_at() == ["SourceMissing", "NextSteps"]
    assert resource.looked_at() == []


def test_no_two_announcements_of_a_life_have_the_same_identity() -> None:
    """The identity makes the Event's name, and a name that exists is not posted again: a new fact needs a new one."""
    resource = Resource()
    broken = failure_report(Reason.SQL_FAILED, transient=False, executed_sql=True)
    resource.run(report())
    resource.observed = replace(resource.observed, source=files("b"))
    resource.run(broken)
    resource.observed = replace(resource.observed, retry="1")
    resource.run(broken)
    resource.observed = replace(resource.observed, source=files("c"))
    resource.run(report())
    identities = [identity for _, identity, _ in resource.said]
    assert len(identities) == len(set(identities)) == 3 + 3 + 3 + 4


def test_an_operator_that_died_before_it_said_so_says_it_with_the_same_name() -> None:
    facts = seen(status=Status(), jobs=(ended(report()),))
    first, second = decide(facts, NOW), decide(facts, NOW + timedelta(seconds=30))
    assert [a.identity for a in first.announcements] == [a.identity for a in second.announcements] != []
