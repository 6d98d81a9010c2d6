"""The window on a real cluster: pending files wait while it is closed and run by themselves when it opens."""

from datetime import UTC, datetime, timedelta

from dbmigration.api.reasons import Reason
from tests.e2e.studio import RUN_SECONDS, Studio

FILES = {"001_projects.sql": "CREATE TABLE projects (id bigint PRIMARY KEY);"}
MORE = {"002_more.sql": "CREATE TABLE more (id bigint PRIMARY KEY);"}
ENOUGH_BEFORE = 20
"""Until this second of a minute the next one leaves time to see the resource wait."""


def test_pending_files_wait_for_the_window_and_run_when_it_opens(studio: Studio) -> None:
    studio.start(FILES)
    now = datetime.now(UTC)
    opens = now.replace(second=0, microsecond=0) + timedelta(minutes=1 if now.second < ENOUGH_BEFORE else 2)
    window = {"schedule": f"{opens.minute} {opens.hour} * * *", "duration": "30m"}
    studio.put_resource(window=window)
    studio.put_files(FILES | MORE)
    waits = studio.wait(lambda seen: seen.reason == Reason.WINDOW_CLOSED, "WindowClosed")
    assert (waits.ready, waits.reconciling, waits.stalled) == (False, False, False)
    assert waits.status.window is not None
    assert waits.status.window.next_opening == opens
    assert waits.status.pending == 1
    assert studio.database.history() == ["001_projects.sql"]
    done = studio.wait(lambda seen: seen.ready and seen.status.version == "002", "applied at the opening", seconds=150 + RUN_SECONDS)
    assert done.status.window is None
    assert done.status.runs[0].started_at >= opens
    assert studio.database.history() == ["001_projects.sql", "002_more.sql"]
