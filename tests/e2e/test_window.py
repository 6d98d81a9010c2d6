"""The window on a real cluster: pending files wait while it is closed and run by themselves when it opens."""

from datetime import UTC, datetime, timedelta

from dbmigration.api.reasons import Reason
from tests.e2e.databases import Owned, Server
from tests.e2e.seen import Seen
from tests.e2e.studio import REQUIRE_BACKUP, RUN_SECONDS, Studio, resource, settle
from tests.e2e.watch import Json, watch_until

FILES = {"001_projects.sql": "CREATE TABLE projects (id bigint PRIMARY KEY);"}
LONG = "CREATE TABLE long (id bigint PRIMARY KEY);\nSELECT pg_sleep(41) WHERE current_database() LIKE 'dbmigration_rehearsing_%';"
MORE = {"002_more.sql": "CREATE TABLE more (id bigint PRIMARY KEY);"}
ENOUGH_BEFORE = 20
"""Until this second of a minute the next one leaves time to see the resource wait."""


def start_what_fits_into_no_window(studio: Studio, database: Owned) -> None:
    """A resource `long`: its file takes 41 s in the rehearsal, half as much again is more than the minute that each window has."""
    database.administer(f"ALTER ROLE {database.user} CREATEDB")
    studio.put_volume()
    studio.put_files({"001_long.sql": LONG}, name="long-files")
    manifest = resource(
        database={"secretRef": {"name": "long-db"}},
        source={"configMaps": [{"name": "long-files"}]},
        backup=REQUIRE_BACKUP,
        rehearsal={},
        window={"schedule": "*/2 * * * *", "duration": "1m"},  # windows that touch would be one
        lint={"failOn": "never"},
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "long-db"}, "stringData": database.secret_keys()}
    studio.put(secret, manifest | {"metadata": {"name": "long"}})


def test_pending_files_wait_for_the_window_and_run_when_it_opens(studio: Studio, server: Server) -> None:
    """Beside it, for the clock is waited for anyway: files that a window has no time for are not begun, and no other run is started."""
    long = server.new_database()
    start_what_fits_into_no_window(studio, long)
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

    def fits_nowhere(raw: Json) -> bool:
        found = Seen.of(raw)
        return found.reason == Reason.WINDOW_CLOSED and "longer than any window" in found.message

    what = ("dbm", studio.namespace, fits_nowhere)
    found = Seen.of(watch_until(studio.cluster, *what, name="long", what="it fits into no window", seconds=2 * RUN_SECONDS))
    before = studio.jobs()
    assert "001_long.sql took 41" in found.message
    assert (found.ready, found.reconciling, found.stalled, found.status.pending) == (False, False, False, 1)
    assert found.status.rehearsal is not None
    assert found.status.rehearsal.passed
    settle(studio)
    assert studio.jobs() == before
    assert long.tables() == []
