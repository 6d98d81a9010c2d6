"""How far a run is, as the resource says it."""

from datetime import datetime, timedelta
from typing import Final

from dbmigration.api.status import ProgressStatus
from dbmigration.decide.observed import JobSeen, Progress

_IN_BYTES: Final = "backup"


def progress_written(before: ProgressStatus | None, job: JobSeen, now: datetime, *, at_most_every: timedelta) -> ProgressStatus | None:
    """The log's newest word; what was written before while that is too young, or says the same. A short run has none: it is over soon."""
    seen = job.pod.progress
    if seen is None or now - (before.at if before is not None else job.created_at) < at_most_every:
        return before
    after = ProgressStatus(
        step=seen.step[:64],
        file=seen.file[:512] if seen.file else None,
        done=seen.done,
        total=seen.total,
        message=seen.message[:1024] if seen.message else None,
        percent=seen.percent,
        summary=summary_of(seen),
        blocked_by=seen.blocked_by[:1024] if seen.blocked_by else None,
        at=now,
    )
    if before is not None and before.model_copy(update={"at": now}) == after:
        return before
    return after


def summary_of(progress: Progress) -> str:
    """For a column of `kubectl get`: "apply 3/7 40%", "backup 12.3 MB", "apply 3/7 blocked"."""
    step, done, total = progress.step[:64], progress.done, progress.total
    if done is not None and total:
        step = f"{step} {done}/{total}"
    elif done and progress.step == _IN_BYTES:
        step = f"{step} {done / 1e6:.1f} MB"
    if progress.blocked_by:
        return f"{step} blocked"
    return f"{step} {progress.percent}%" if progress.percent is not None and not progress.finished else step
