"""What to do next: a chain of small rules, the first that has an answer decides. No client, no clock, no kopf.

A stored result comes before everything else, a running Job before whatever the spec says now.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from dbmigration.api.conditions import Verdict, Work, set_conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.report import Outcome
from dbmigration.api.spec import Spec
from dbmigration.api.status import RunStatus, Status, WindowStatus
from dbmigration.decide import keys
from dbmigration.decide.allowed import not_allowed
from dbmigration.decide.announce import announcements
from dbmigration.decide.approval import approval_verdict, awaits_approval, spent_by
from dbmigration.decide.attempts import blocked_verdict, has_result_of
from dbmigration.decide.complete import completed
from dbmigration.decide.decision import Decision
from dbmigration.decide.gates import gated, gates_taken, is_closed, opening_of, window_verdict
from dbmigration.decide.intervals import ACTIVE_LOOK, IDLE_LOOK, PROMOTION_LOOK, QUEUE_LOOK, REFUSED_LOOK, UNSTARTED_LOOK, WAIT_LOOK, YOUNG
from dbmigration.decide.leftovers import sooner, superfluous
from dbmigration.decide.looks import abandoned, look_finished, with_look
from dbmigration.decide.observed import Blocked, InvalidSource, JobSeen, KnownSource, MissingSource, Observed, Source
from dbmigration.decide.progress import progress_written
from dbmigration.decide.promotion import Unpromoted, promoted, promotion, promotion_verdict
from dbmigration.decide.queue import enough_run
from dbmigration.decide.record import backup_restored, database_forgotten, run_recorded, run_started, source_given, verdict_of
from dbmigration.decide.rehearsal import too_short_verdict
from dbmigration.decide.restores import after_swap, at_work_verdict, newly_replaced, newly_tested
from dbmigration.decide.results import result_of, vanished
from dbmigration.decide.start import start_run
from dbmigration.decide.window import next_opening

Rule = Callable[[Observed, datetime], Decision | None]


def decide(observed: Observed, now: datetime) -> Decision:
    """The first rule that applies. Every possible `observed` has one: the last rule always starts a run."""
    for rule in RULES:
        decision = rule(observed, now)
        if decision is not None:
            job = observed.newest_job if decision.rule == run_finished.__name__ else None
            if decision.rule not in (queued.__name__, backup_tested.__name__):
                decision = replace(decision, status=decision.status.model_copy(update={"queued_since": None}))
            return completed(observed, decision, now, report=job.report if job else None)
    raise AssertionError("the last rule always decides")


def being_deleted(o: Observed, _: datetime) -> Decision | None:
    """Owner references remove the Jobs; the database and the backups stay."""
    return Decision("being_deleted", o.status) if o.deleting else None


def run_finished(o: Observed, now: datetime) -> Decision | None:
    """Store the result before anything can hide it."""
    job = o.newest_job
    if job is None or not job.ended or has_result_of(o.status.run, job.name):
        return None
    run = o.status.run if o.status.run and o.status.run.job_name == job.name else run_started(o, job)
    status = spent_by(run_recorded(o, run, result_of(job), job.retry_value, now), job.report, now)
    return Decision("run_finished", status, announcements=announcements(o, status, job.report), again_after=timedelta(0))


def run_unstarted_outdated(o: Observed, now: datetime) -> Decision | None:
    """A pod that cannot start would wait for ever for what the person has already changed: replace it. Nothing was executed.

    A pod that got its node a moment ago, and of which nobody says that it is stuck, may be running already: it is let be until we know.
    """
    job = o.newest_job
    if job is None or job.ended or job.started or job.deleting or o.spec is None:
        return None
    if not o.spec.suspend:
        if not isinstance(o.source, KnownSource):
            return None
        if keys.pod_hash(o.spec, keys.run_key(o.spec, o.source.identity, o.retry), o.runner) == job.pod_hash:
            return None
    young_for = YOUNG - (now - job.pod.scheduled_at) if job.pod.scheduled_at and job.pod.blocked is None else timedelta(0)
    if young_for > timedelta(0):
        active = run_active(o, now)
        return replace(active, again_after=young_for) if active is not None else None
    # As if the attempt had never been: its counters are those of the attempt before.
    run = o.status.run
    if run is not None and run.job_name == job.name and run.finished_at is None:
        run = run.model_copy(update={"finished_at": now, "next_retry_at": now, "outcome": Outcome.INTERRUPTED, "reason": Reason.PENDING})
    return Decision("run_unstarted_outdated", o.status.model_copy(update={"run": run}), remove_jobs=(job.name,), again_after=ACTIVE_LOOK)


def run_active(o: Observed, now: datetime) -> Decision | None:
    """Report progress, change nothing: a spec that changes in mid-run waits for the result."""
    job = o.newest_job
    if job is None or job.ended:
        return None
    run = o.status.run if o.status.run and o.status.run.job_name == job.name else run_started(o, job)
    blocked = job.pod.blocked
    verdict = blocked_verdict(blocked) if blocked else Verdict(False, Work.RECONCILING, Reason.RUNNING, _running_message(run))
    progress = None if o.status.run is None or o.status.run.job_name != job.name else o.status.progress
    status = _said(o, verdict, now, run=run, progress=progress_written(progress, job, now, at_most_every=ACTIVE_LOOK))
    return Decision(
        "run_active", status, announcements=announcements(o, status), again_after=ACTIVE_LOOK if job.started else UNSTARTED_LOOK
    )


def run_vanished(o: Observed, now: datetime) -> Decision | None:
    """The Job is gone before its result was read: the database knows what was applied."""
    run = o.status.run
    if run is None or run.finished_at is not None:
        return None
    status = run_recorded(o, run, vanished(run.job_name), o.status.last_handled_retry, now)
    return Decision("run_vanished", status, announcements=announcements(o, status), again_after=timedelta(0))


def database_replaced(o: Observed, now: datetime) -> Decision | None:
    """A DatabaseRestore put another database in this one's place: what status says of the old one goes, and the next run reads the new."""
    replaced = newly_replaced(o, now)
    if replaced is None:
        return None
    status = database_forgotten(o.status, replaced)
    return Decision("database_replaced", status, announcements=announcements(o, status), again_after=timedelta(0))


def backup_tested(o: Observed, now: datetime) -> Decision | None:
    """A DatabaseRestore brought the newest backup back, every row as in it: a test of that backup, as a rehearsal is one."""
    at = newly_tested(o)
    if at is None:
        return None
    return Decision("backup_tested", backup_restored(o.status, at, o.generation, now), again_after=timedelta(0))


def spec_invalid(o: Observed, now: datetime) -> Decision | None:
    """Something an older CRD let through, or a field of a newer one."""
    if o.spec is not None:
        return None
    return _wait(o, "spec_invalid", Verdict(False, Work.STALLED, Reason.SPEC_INVALID, o.spec_error or ""), now, IDLE_LOOK)


def spec_not_allowed(o: Observed, now: datetime) -> Decision | None:
    """The operator's allow-lists do not have what the spec names. Before `settled`: whom a shorter list hits is to be seen at once."""
    found = not_allowed(_spec(o), o.runner)
    if found is None:
        return None
    return _wait(o, "spec_not_allowed", Verdict(False, Work.STALLED, Reason.NOT_ALLOWED, found), now, IDLE_LOOK)


def settled(o: Observed, now: datetime) -> Decision | None:
    """The same question has its final answer: nothing is run, whoever restarts."""
    run = o.status.run
    if run is None or not run.final or not isinstance(o.source, KnownSource):
        return None
    spec = _spec(o)
    if run.key != keys.run_key(spec, o.source.identity, o.retry):
        return None
    if run.outcome != Outcome.SUCCEEDED and run.spec_hash != keys.spec_hash(spec):
        return None
    return with_look(o, _wait(o, "settled", verdict_of(run), now, IDLE_LOOK), now)


def suspended(o: Observed, now: datetime) -> Decision | None:
    """There is something to do, and a person said stop."""
    if not _spec(o).suspend:
        return None
    message = f"spec.suspend is true: no run starts until it is false{after_swap(o)}"
    verdict = Verdict(False, Work.IDLE, Reason.SUSPENDED, message)
    return _wait(o, "suspended", verdict, now, IDLE_LOOK)


def source_missing(o: Observed, now: datetime) -> Decision | None:
    """Nothing to plan from yet; the arrival of what is missing wakes us."""
    if not isinstance(o.source, MissingSource):
        return None
    return _wait(o, "source_missing", Verdict(False, Work.RECONCILING, o.source.reason, o.source.message), now, WAIT_LOOK)


def source_invalid(o: Observed, now: datetime) -> Decision | None:
    """The ConfigMaps do not make one folder."""
    if not isinstance(o.source, InvalidSource):
        return None
    return _wait(o, "source_invalid", Verdict(False, Work.STALLED, Reason.SOURCE_INVALID, o.source.message), now, IDLE_LOOK)


def promotion_pending(o: Observed, now: datetime) -> Decision | None:
    """A run found files that are pending; they wait for another database."""
    spec, run = _spec(o), _planned(o)
    found = promotion(o, spec) if run is not None else None
    if run is None or not isinstance(found, Unpromoted):
        return None
    return _closed(o, "promotion_pending", promotion_verdict(run, found), now, PROMOTION_LOOK)


def approval_pending(o: Observed, now: datetime) -> Decision | None:
    """A run found files that are pending; they wait for a person."""
    spec, run = _spec(o), _planned(o)
    if run is None or not awaits_approval(o, spec):
        return None
    return _closed(o, "approval_pending", approval_verdict(o, run, opening_of(spec, now)), now)


def window_closed(o: Observed, now: datetime) -> Decision | None:
    """A run found files that are pending; they wait for the clock."""
    spec, run = _spec(o), _planned(o)
    if run is None or not is_closed(spec, now):
        return None
    verdict = too_short_verdict(o, spec, run, now) or window_verdict(run, opening_of(spec, now))
    return _closed(o, "window_closed", verdict, now)


def window_too_short(o: Observed, now: datetime) -> Decision | None:
    """The window is open, and a rehearsal has shown that what is left of it is not enough."""
    spec, run = _spec(o), _planned(o)
    verdict = too_short_verdict(o, spec, run, now) if run is not None else None
    if verdict is None or spec.window is None:
        return None
    opening = next_opening(spec.window, now)
    decision = _wait(o, "window_too_short", verdict, now, min(IDLE_LOOK, opening - now) if opening is not None else IDLE_LOOK)
    status = decision.status.model_copy(update={"window": WindowStatus(next_opening=opening)})
    return with_look(o, replace(decision, status=status), now)


def retry_not_due(o: Observed, now: datetime) -> Decision | None:
    """The same question failed in a way that time may mend: wait for the backoff to pass."""
    run = o.status.run
    if run is None or run.next_retry_at is None or run.next_retry_at <= now:
        return None
    if run.key != keys.run_key(_spec(o), _found(o.source).identity, o.retry):
        return None
    if run.spec_hash != keys.spec_hash(_spec(o)):
        return None
    return _wait(o, "retry_not_due", verdict_of(run), now, run.next_retry_at - now)


def restore_active(o: Observed, now: datetime) -> Decision | None:
    """A backup of this database is being restored, or put in its place: nothing is migrated meanwhile."""
    verdict = at_work_verdict(o)
    return _wait(o, "restore_active", verdict, now, WAIT_LOOK) if verdict is not None else None


def queued(o: Observed, now: datetime) -> Decision | None:
    """Nothing stands in the way but as many other runs as there may be at once."""
    since = o.status.queued_since or now
    why = enough_run(o, since)
    if why is None:
        return None
    decision = _wait(o, "queued", Verdict(False, Work.RECONCILING, Reason.QUEUED, why), now, QUEUE_LOOK)
    return replace(decision, status=decision.status.model_copy(update={"queued_since": since}))


def run_due(o: Observed, now: datetime) -> Decision | None:
    """Nothing stands in the way."""
    source = _found(o.source)
    spec = _spec(o)
    start = gated(start_run(o, spec, source, keys.run_key(spec, source.identity, o.retry), now), o, spec, now)
    job = JobSeen(start.job_name, start.run_key, start.spec_hash, start.pod_hash, start.attempt, o.retry, now)
    run = run_started(o, job)
    verdict = Verdict(False, Work.RECONCILING, Reason.RUNNING, _running_message(run))
    status = source_given(_said(o, verdict, now, run=run, progress=None, window=None, **gates_taken(o, spec, now)), o, source)
    return Decision(
        "run_due",
        status,
        start=start,
        announcements=announcements(o, status),
        remove_jobs=(*superfluous(o, now), *abandoned(o)),
        again_after=UNSTARTED_LOOK,
    )


def start_refused(o: Observed, refused: Blocked, now: datetime, job: str) -> Decision:
    """The API server would not have the Job (quota, admission, somebody else's Job of that name): say so in its words and try again."""
    status = _said(o, blocked_verdict(refused), now)
    decision = Decision("start_refused", status, announcements=announcements(o, status), again_after=REFUSED_LOOK)
    return completed(o, decision, now, job=job)


RULES: Final[tuple[Rule, ...]] = (
    being_deleted,
    run_finished,
    look_finished,
    run_unstarted_outdated,
    run_active,
    run_vanished,
    database_replaced,
    backup_tested,
    spec_invalid,
    spec_not_allowed,
    settled,
    suspended,
    source_missing,
    source_invalid,
    promotion_pending,
    approval_pending,
    window_closed,
    window_too_short,
    retry_not_due,
    restore_active,
    queued,
    run_due,
)


def _spec(o: Observed) -> Spec:
    assert o.spec is not None, "spec_invalid comes first"  # noqa: S101 - the order of RULES
    return o.spec


def _found(source: Source) -> KnownSource:
    assert isinstance(source, KnownSource), "source_missing and source_invalid come first"  # noqa: S101 - the order of RULES
    return source


def _planned(o: Observed) -> RunStatus | None:
    """The newest run where it made the plan that now waits for a gate."""
    run = o.status.run
    if run is None or not run.waits or not keys.same_but_for_gates(run.spec_hash, _spec(o)):
        return None
    return run if run.key == keys.run_key(_spec(o), _found(o.source).identity, o.retry) else None


def _closed(o: Observed, rule: str, verdict: Verdict, now: datetime, look: timedelta = IDLE_LOOK) -> Decision:
    """Wait for a gate, and say when the window opens where that is closed too."""
    spec = _spec(o)
    opening = opening_of(spec, now)
    decision = _wait(o, rule, verdict, now, min(look, opening - now) if opening is not None else look)
    known = {"window": WindowStatus(next_opening=opening) if is_closed(spec, now) else None, "promotion": promoted(o, spec, now)}
    return with_look(o, replace(decision, status=decision.status.model_copy(update=known)), now)


def _running_message(run: RunStatus) -> str:
    return f"attempt {run.attempt}: kubectl logs -f job/{run.job_name}"


def _said(o: Observed, verdict: Verdict, now: datetime, **changes: Any) -> Status:
    conditions = set_conditions(o.status.conditions, verdict, generation=o.generation, now=now)
    return o.status.model_copy(update={"conditions": conditions, "observed_generation": o.generation, **changes})


def _wait(o: Observed, rule: str, verdict: Verdict, now: datetime, again_after: timedelta) -> Decision:
    status = _said(o, verdict, now)
    return Decision(
        rule, status, announcements=announcements(o, status), remove_jobs=superfluous(o, now), again_after=sooner(o, now, again_after)
    )
