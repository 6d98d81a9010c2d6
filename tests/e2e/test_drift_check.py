"""Looks at the schema between runs: by schedule, and when a person asks. They read, say what they found, and are no runs."""

from dbmigration.api.conditions import ConditionType
from dbmigration.api.names import CHECK_DRIFT_ANNOTATION, LOOK, PURPOSE_ANNOTATION
from dbmigration.api.reasons import Reason
from tests.e2e.seen import Seen
from tests.e2e.studio import NAME, RUN_SECONDS, Studio, settle

FILES = {"001_projects.sql": "CREATE TABLE projects (id bigint PRIMARY KEY, region text);"}
MORE = {"002_more.sql": "CREATE TABLE more (id bigint PRIMARY KEY);"}
BY_HAND = "ALTER TABLE projects ALTER region TYPE varchar(20)"
UNDONE = "ALTER TABLE projects ALTER region TYPE text"
DRIFT = "public.projects.region: text → varchar(20)"
A_MINUTE_AND_A_RUN = 60 + RUN_SECONDS


def in_sync(seen: Seen) -> tuple[str, str] | None:
    found = seen.condition(ConditionType.SCHEMA_IN_SYNC)
    return (found.status, found.reason) if found else None


def ask(studio: Studio, value: str) -> Seen:
    """Ask for a look and wait until it is stored."""
    studio.kubectl("annotate", "dbm", NAME, f"{CHECK_DRIFT_ANNOTATION}={value}", "--overwrite")
    return studio.wait(lambda seen: seen.status.drift is not None and seen.status.drift.last_handled_check == value, f"look {value}")


def test_a_look_finds_what_no_migration_made_and_is_no_run(studio: Studio) -> None:
    ready = studio.start(FILES)
    same = ask(studio, "1")
    assert in_sync(same) == ("True", Reason.NO_DRIFT)

    studio.database.rows(BY_HAND)
    drifted = ask(studio, "2")
    assert in_sync(drifted) == ("False", Reason.SCHEMA_DRIFTED)
    assert drifted.status.drift is not None
    assert (drifted.status.drift.count, drifted.status.drift.differences) == (1, (DRIFT,))
    said = drifted.condition(ConditionType.SCHEMA_IN_SYNC)
    assert said is not None
    assert DRIFT in said.message
    assert (drifted.ready, drifted.status.run, drifted.status.runs) == (True, ready.status.run, ready.status.runs)

    ask(studio, "3")
    studio.database.rows(UNDONE)
    assert in_sync(ask(studio, "4")) == ("True", Reason.NO_DRIFT)
    told = [(kind, reason) for kind, reason, _ in studio.events() if reason in (Reason.SCHEMA_DRIFTED, Reason.NO_DRIFT)]
    assert sorted(told) == [("Normal", "NoDrift"), ("Warning", "SchemaDrifted")]
    assert studio.database.history() == ["001_projects.sql"]

    settle(studio)
    looks = studio.kubectl(
        "get", "jobs", "-o", f"jsonpath={{.items[*].metadata.annotations.{PURPOSE_ANNOTATION.replace('.', chr(92) + '.')}}}"
    )
    assert looks == LOOK, "the newest look's log is kept, older ones are not"


def test_a_schedule_looks_by_itself_and_does_not_delay_a_run(studio: Studio) -> None:
    studio.start(FILES, driftCheck={"schedule": "* * * * *", "timeZone": "Europe/Rome"})
    studio.database.rows(BY_HAND)
    seen = studio.wait(lambda seen: in_sync(seen) == ("False", Reason.SCHEMA_DRIFTED), "drift", seconds=A_MINUTE_AND_A_RUN)
    assert seen.ready
    assert seen.status.drift is not None
    first = seen.status.drift.checked_at
    studio.put_files(FILES | MORE)
    after = studio.wait_ready(version="002")
    assert in_sync(after) == ("False", Reason.SCHEMA_DRIFTED)
    assert after.status.drift is not None
    assert after.status.drift.checked_at > first
    assert after.status.drift.differences == (DRIFT,)


def test_a_run_refuses_drift_when_the_resource_says_so(studio: Studio) -> None:
    studio.start(FILES, driftCheck={"policy": "Refuse"})
    studio.database.rows(BY_HAND)
    studio.put_files(FILES | MORE)
    refused = studio.wait_reason(Reason.SCHEMA_DRIFTED, stalled=True)
    assert in_sync(refused) == ("False", Reason.SCHEMA_DRIFTED)
    assert studio.database.history() == ["001_projects.sql"]
    studio.put_resource(driftCheck={"policy": "Report"})
    studio.wait_ready(version="002")
