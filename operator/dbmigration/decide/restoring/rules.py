"""What to do next about a DatabaseRestore: a chain of small rules, as `decide.rules` has it for a DatabaseMigration.

Two steps, each a Job: restore, and, once it is asked for, swap. Neither begins while anything else is at work on the database.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from dbmigration.api.conditions import ConditionType, Verdict, Work, find, set_conditions
from dbmigration.api.limits import within_limits
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.restore import RestoreSpec
from dbmigration.api.restore_request import RestoreStep
from dbmigration.api.restore_status import RestoreRunStatus, RestoreStatus
from dbmigration.api.spec import Spec
from dbmigration.decide import keys
from dbmigration.decide.allowed import not_allowed
from dbmigration.decide.attempts import blocked_verdict, has_result_of
from dbmigration.decide.intervals import ACTIVE_LOOK, IDLE_LOOK, REFUSED_LOOK, UNSTARTED_LOOK, WAIT_LOOK, YOUNG
from dbmigration.decide.leftovers import JOBS_KEPT, LINGERING
from dbmigration.decide.observed import Blocked, JobSeen
from dbmigration.decide.progress import progress_written
from dbmigration.decide.restoring.advice import next_steps, suspend_command
from dbmigration.decide.restoring.announce import announcements
from dbmigration.decide.restoring.observed import MigrationSeen, RestoreDecision, RestoreObserved, StepJob
from dbmigration.decide.restoring.record import done, step_recorded, step_started, verdict_of
from dbmigration.decide.restoring.results import result_of, vanished
from dbmigration.decide.restoring.start import lacks_bucket, opened, start_step, step_key

Rule = Callable[[RestoreObserved, datetime], RestoreDecision | None]


def decide(observed: RestoreObserved, now: datetime) -> RestoreDecision:
    """The first rule that applies. Every possible `observed` has one: the last rule always starts a step."""
    for rule in RULES:
        decision = rule(observed, now)
        if decision is not None:
            steps = next_steps(observed, decision.status)
            return replace(decision, status=within_limits(decision.status.model_copy(update={"next_steps": steps})))
    raise AssertionError("the last rule always decides")


def being_deleted(o: RestoreObserved, _: datetime) -> RestoreDecision | None:
    """Owner references remove the Jobs, and what is half restored goes with them; whole databases and backups stay."""
    return RestoreDecision("being_deleted", o.status) if o.deleting else None


def step_finished(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Store the result before anything can hide it."""
    newest = o.newest_job
    if newest is None or not newest.job.ended or has_result_of(o.status.run, newest.job.name):
        return None
    status = step_recorded(o, _run_of(o, newest), result_of(newest), newest.job.retry_value, now)
    return RestoreDecision("step_finished", status, announcements=announcements(o, status), again_after=timedelta(0))


def step_unstarted_outdated(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """A pod that cannot start would wait for ever for what the person has changed in the DatabaseMigration meanwhile: replace it."""
    newest, of = o.newest_job, o.migration.spec if o.migration else None
    if newest is None or of is None:
        return None
    job = newest.job
    if job.ended or job.started or job.deleting or keys.pod_hash(of, job.run_key, o.runner) == job.pod_hash:
        return None
    if job.pod.scheduled_at is not None and job.pod.blocked is None and now - job.pod.scheduled_at < YOUNG:
        return None
    run = _run_of(o, newest).model_copy(
        update={"finished_at": now, "next_retry_at": now, "outcome": Outcome.INTERRUPTED, "reason": Reason.PENDING}
    )
    status = o.status.model_copy(update={"run": run})
    return RestoreDecision("step_unstarted_outdated", status, remove_jobs=(job.name,), again_after=ACTIVE_LOOK)


def step_active(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Report progress, change nothing."""
    newest = o.newest_job
    if newest is None or newest.job.ended:
        return None
    job, run = newest.job, _run_of(o, newest)
    verdict = blocked_verdict(job.pod.blocked) if job.pod.blocked else _running(run)
    known = o.status.progress if o.status.run is not None and o.status.run.job_name == job.name else None
    status = _said(o, verdict, now, run=run, progress=progress_written(known, job, now, at_most_every=ACTIVE_LOOK))
    again_after = ACTIVE_LOOK if job.started else UNSTARTED_LOOK
    return RestoreDecision("step_active", status, announcements=announcements(o, status), again_after=again_after)


def step_vanished(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """The Job is gone before its result was read: the next attempt asks the server what was done."""
    run = o.status.run
    if run is None or run.finished_at is not None:
        return None
    status = step_recorded(o, run, vanished(run.step, run.job_name), o.status.last_handled_retry, now)
    return RestoreDecision("step_vanished", status, announcements=announcements(o, status), again_after=timedelta(0))


def spec_invalid(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Something an older CRD let through, or a field of a newer one."""
    if o.spec is not None:
        return None
    return _wait(o, "spec_invalid", Verdict(False, Work.STALLED, Reason.SPEC_INVALID, o.spec_error or ""), now, IDLE_LOOK)


def all_done(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """What was asked for was done once, and is not done again, whatever else changes."""
    if not done(o.spec, o.status):
        return None
    return _wait(o, "all_done", verdict_of(o.spec, o.status), now, IDLE_LOOK)


def failed_for_good(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """The same question has its final answer."""
    run = o.status.run
    if run is None or not run.final or run.outcome == Outcome.SUCCEEDED or run.key != _key(o):
        return None
    return _wait(o, "failed_for_good", verdict_of(o.spec, o.status), now, IDLE_LOOK)


def migration_missing(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Nothing says where the database is."""
    if o.migration is not None:
        return None
    name = _spec(o).migration_ref.name
    message = f"DatabaseMigration {name} does not exist in namespace {o.namespace}: create it, or make a DatabaseRestore that names another"
    return _wait(o, "migration_missing", Verdict(False, Work.RECONCILING, Reason.MIGRATION_MISSING, message), now, WAIT_LOOK)


def migration_invalid(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Its spec cannot be read, or has no way into the bucket that holds the backup."""
    migration, spec = _migration(o), _spec(o)
    if migration.spec is None:
        message = f"the spec of DatabaseMigration {migration.name} cannot be read: mend that first"
    elif spec.backup.uri is not None and lacks_bucket(migration.spec, spec.backup.uri):
        message = (
            f"the backup is in a bucket, and DatabaseMigration {migration.name} has no spec.backup.destination.s3 that says how to open it"
        )
    else:
        return None
    return _wait(o, "migration_invalid", Verdict(False, Work.STALLED, Reason.SPEC_INVALID, message), now, IDLE_LOOK)


def migration_not_allowed(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """The operator's allow-lists hold for the bucket that the backup is in, too."""
    of, uri = _spec_of(_migration(o)), o.status.backup_uri or _spec(o).backup.uri
    said = not_allowed(opened(of, uri) if uri is not None else of, o.runner)
    if said is None:
        return None
    message = f"DatabaseMigration {_migration(o).name}: {said}"
    return _wait(o, "migration_not_allowed", Verdict(False, Work.STALLED, Reason.NOT_ALLOWED, message), now, IDLE_LOOK)


def backup_missing(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """There is no latest one. That is final, or a restore that is long forgotten would begin with the first backup there is."""
    if o.status.backup_uri is not None or not _spec(o).is_latest:
        return None
    migration = _migration(o)
    if migration.status.backup is not None and not _was_missing(o):
        return None
    message = f"DatabaseMigration {migration.name} had no verified backup in its status: name one with spec.backup.uri"
    verdict = Verdict(False, Work.STALLED, Reason.BACKUP_MISSING, message)
    decision = _wait(o, "backup_missing", verdict, now, IDLE_LOOK)
    return replace(decision, status=decision.status.model_copy(update={"last_handled_retry": o.retry}))


def backup_chosen(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Which backup it is stands in status before anything begins: the latest one may be another one a minute later."""
    if o.status.backup_uri is not None:
        return None
    latest = _migration(o).status.backup if _spec(o).is_latest else None
    uri = latest.uri if latest else _spec(o).backup.uri
    verdict = Verdict(False, Work.RECONCILING, Reason.PENDING, f"the backup is {uri}")
    return RestoreDecision("backup_chosen", _said(o, verdict, now, backup_uri=uri, backup=latest), again_after=timedelta(0))


def retry_not_due(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """The same question failed in a way that time may mend: wait for the backoff to pass."""
    run = o.status.run
    if run is None or run.next_retry_at is None or run.next_retry_at <= now or run.key != _key(o):
        return None
    return _wait(o, "retry_not_due", verdict_of(o.spec, o.status), now, run.next_retry_at - now)


def migration_running(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """A migration is not cut off, and nothing is restored from what it is about to change."""
    at_work = _migration(o).at_work
    if at_work is None:
        return None
    message = f"{at_work} is at work on this database; the {_step(o)} starts when that has ended"
    return _wait(o, "migration_running", Verdict(False, Work.RECONCILING, Reason.MIGRATION_RUNNING, message), now, WAIT_LOOK)


def migration_not_suspended(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """The restored database's history ends before what went wrong: nothing may be applied to it before a person has looked."""
    migration = _migration(o)
    if _step(o) is not RestoreStep.SWAP or (migration.spec is not None and migration.spec.suspend):
        return None
    message = f"DatabaseMigration {migration.name} has to be suspended before the swap, or it would migrate what comes back: "
    verdict = Verdict(False, Work.IDLE, Reason.MIGRATION_NOT_SUSPENDED, message + suspend_command(o.namespace, migration.name))
    return _wait(o, "migration_not_suspended", verdict, now, WAIT_LOOK)


def step_due(o: RestoreObserved, now: datetime) -> RestoreDecision | None:
    """Nothing stands in the way."""
    migration, uri = _migration(o), o.status.backup_uri
    assert uri is not None, "backup_chosen comes first"  # noqa: S101 - the order of RULES
    start = start_step(o, _spec(o), migration, _spec_of(migration), _step(o), uri, now)
    job = JobSeen(start.job_name, start.key, "", start.pod_hash, start.attempt, o.retry, now)
    run = step_started(o, StepJob(_step(o), job))
    status = _said(o, _running(run), now, run=run, progress=None)
    return RestoreDecision(
        "step_due",
        status,
        start=start,
        announcements=announcements(o, status),
        remove_jobs=_superfluous(o, now),
        again_after=UNSTARTED_LOOK,
    )


def start_refused(o: RestoreObserved, refused: Blocked, now: datetime) -> RestoreDecision:
    """The API server would not have the Job: say so in its words and try again."""
    status = _said(o, blocked_verdict(refused), now)
    return RestoreDecision("start_refused", status, announcements=announcements(o, status), again_after=REFUSED_LOOK)


RULES: Final[tuple[Rule, ...]] = (
    being_deleted,
    step_finished,
    step_unstarted_outdated,
    step_active,
    step_vanished,
    spec_invalid,
    all_done,
    failed_for_good,
    migration_missing,
    migration_invalid,
    migration_not_allowed,
    backup_missing,
    backup_chosen,
    retry_not_due,
    migration_running,
    migration_not_suspended,
    step_due,
)


def _step(o: RestoreObserved) -> RestoreStep:
    return RestoreStep.RESTORE if o.status.restored is None else RestoreStep.SWAP


def _key(o: RestoreObserved) -> str:
    return step_key(_spec(o), _step(o), o.retry)


def _spec(o: RestoreObserved) -> RestoreSpec:
    assert o.spec is not None, "spec_invalid comes first"  # noqa: S101 - the order of RULES
    return o.spec


def _migration(o: RestoreObserved) -> MigrationSeen:
    assert o.migration is not None, "migration_missing comes first"  # noqa: S101 - the order of RULES
    return o.migration


def _spec_of(migration: MigrationSeen) -> Spec:
    assert migration.spec is not None, "migration_invalid comes first"  # noqa: S101 - the order of RULES
    return migration.spec


def _run_of(o: RestoreObserved, step_job: StepJob) -> RestoreRunStatus:
    run = o.status.run
    return run if run is not None and run.job_name == step_job.job.name else step_started(o, step_job)


def _was_missing(o: RestoreObserved) -> bool:
    """It was said already, and nobody has asked again since."""
    stalled = find(o.status.conditions, ConditionType.STALLED)
    return stalled is not None and stalled.reason == Reason.BACKUP_MISSING and o.status.last_handled_retry == o.retry


def _running(run: RestoreRunStatus) -> Verdict:
    return Verdict(False, Work.RECONCILING, Reason.RUNNING, f"{run.step}, attempt {run.attempt}: kubectl logs -f job/{run.job_name}")


def _said(o: RestoreObserved, verdict: Verdict, now: datetime, **changes: Any) -> RestoreStatus:
    conditions = set_conditions(o.status.conditions, verdict, generation=o.generation, now=now)
    return o.status.model_copy(update={"conditions": conditions, "observed_generation": o.generation, **changes})


def _wait(o: RestoreObserved, rule: str, verdict: Verdict, now: datetime, again_after: timedelta) -> RestoreDecision:
    status = _said(o, verdict, now)
    gone = _superfluous(o, now)
    lingers = any(each.job.lingers for each in o.jobs) and not gone
    return RestoreDecision(
        rule,
        status,
        announcements=announcements(o, status),
        remove_jobs=gone,
        again_after=min(again_after, LINGERING) if lingers else again_after,
    )


def _superfluous(o: RestoreObserved, now: datetime) -> tuple[str, ...]:
    """Jobs whose result is stored: all but the newest few, and those that a sidecar keeps alive."""
    over = [each.job.name for each in o.jobs if each.job.over and not each.job.deleting]
    run = o.status.run
    long_ago = run is not None and run.finished_at is not None and now - run.finished_at >= LINGERING
    kept_alive = [each.job.name for each in o.jobs if each.job.lingers and long_ago]
    return (*over[:-JOBS_KEPT], *kept_alive)
