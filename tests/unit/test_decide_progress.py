"""What is shown of a run that is under way."""

from datetime import timedelta

import pytest

from dbmigration.api.status import ProgressStatus
from dbmigration.decide.observed import PodSeen, PodState, Progress
from dbmigration.decide.progress import summary_of
from dbmigration.decide.rules import decide
from tests.unit.deciding import status
from tests.unit.observing import NOW, ended, job, report, run, seen


def test_progress_is_written_at_most_every_ten_seconds() -> None:
    moving = job(pod=PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=2, total=9, blocked_by="p" * 2000)))
    first = decide(seen(status=status(run()), jobs=(moving,)), NOW).status
    blocked = ProgressStatus(step="apply", file="002_b.sql", done=2, total=9, summary="apply 2/9 blocked", blocked_by="p" * 1024, at=NOW)
    assert first.progress == blocked
    moved = job(pod=PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=3, total=9)))
    soon = decide(seen(status=first, jobs=(moved,)), NOW + timedelta(seconds=9)).status
    assert soon == first
    later = decide(seen(status=first, jobs=(moved,)), NOW + timedelta(seconds=10)).status
    assert later.progress
    assert later.progress.done == 3
    assert later.progress.blocked_by is None
    done = decide(seen(status=later, jobs=(ended(report()),)), NOW + timedelta(seconds=11)).status
    assert done.progress is None


def test_a_run_of_less_than_ten_seconds_writes_no_progress() -> None:
    moving = PodSeen(PodState.RUNNING, progress=Progress("apply", file="002_b.sql", done=2, total=9))
    started = status(run())
    assert decide(seen(status=started, jobs=(job(pod=moving, created_at=NOW - timedelta(seconds=9)),)), NOW).status.progress is None
    assert decide(seen(status=started, jobs=(job(pod=moving, created_at=NOW - timedelta(seconds=10)),)), NOW).status.progress is not None


@pytest.mark.parametrize(
    ("progress", "says"),
    [
        (Progress("connect"), "connect"),
        (Progress("backup", done=12_345_678), "backup 12.3 MB"),
        (Progress("apply", file="004_x.sql", done=3, total=7), "apply 3/7"),
        (Progress("apply", file="004_x.sql", done=3, total=7, percent=40), "apply 3/7 40%"),
        (Progress("apply", file="004_x.sql", done=4, total=7, percent=100, finished=True), "apply 4/7"),
        (Progress("apply", file="004_x.sql", done=3, total=7, percent=40, blocked_by="1234 app"), "apply 3/7 blocked"),
        (Progress("x" * 2000, done=2**62, total=2**62, percent=100), f"{'x' * 64} {2**62}/{2**62} 100%"),
    ],
)
def test_a_column_says_where_a_run_is(progress: Progress, says: str) -> None:
    said = summary_of(progress)
    assert said == says
    assert len(said) <= 128
