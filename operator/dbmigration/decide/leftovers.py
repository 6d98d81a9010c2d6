"""Which Jobs of a resource have done their part and go."""

from datetime import datetime, timedelta
from typing import Final

from dbmigration.decide.observed import JobSeen, Observed

JOBS_KEPT: Final = 3
"""Finished Jobs that stay for kubectl logs."""
LINGERING: Final = timedelta(minutes=1)
"""How long a Job may outlive its runner (a sidecar) before it is removed."""


def superfluous(o: Observed, now: datetime) -> tuple[str, ...]:
    """Jobs whose result is stored: all but the newest few, and those that a sidecar keeps alive."""
    over = [job for job in o.jobs if job.over and not job.deleting]
    kept_alive = [job for job in o.jobs if job.lingers and _stored_since(o, job, now) >= LINGERING]
    return tuple(job.name for job in (*over[:-JOBS_KEPT], *kept_alive))


def sooner(o: Observed, now: datetime, again_after: timedelta) -> timedelta:
    """Come back in time for a Job that a sidecar keeps alive."""
    young = any(job.lingers and _stored_since(o, job, now) < LINGERING for job in o.jobs)
    return min(again_after, LINGERING) if young else again_after


def _stored_since(o: Observed, job: JobSeen, now: datetime) -> timedelta:
    """How long its result has been stored. The Job controller needs seconds to see that a runner ended: a newer Job may be quicker."""
    run = o.status.run
    if run is not None and run.job_name == job.name:
        return now - run.finished_at if run.finished_at else timedelta(0)
    if job is o.newest_job:
        return timedelta(0)
    return now - next((past.finished_at for past in o.status.runs if past.id == job.name), job.created_at)
