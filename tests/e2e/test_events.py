"""What `kubectl describe` tells of a resource: each step that matters once, in order, and nothing else."""

from dbmigration.api.reasons import Reason
from tests.e2e.studio import CLAIM_NAME, NAME, REQUIRE_BACKUP, Studio, settle

FIRST = {"001_first.sql": "CREATE TABLE first (id int);"}
BROKEN = FIRST | {"002_second.sql": "INSERT INTO absent VALUES (1);"}
MENDED = FIRST | {"002_second.sql": "INSERT INTO first VALUES (1);"}


def test_a_good_run_is_three_events(studio: Studio) -> None:
    studio.put_volume()
    studio.prepare(FIRST)
    studio.put_resource(backup=REQUIRE_BACKUP)
    run = studio.wait_ready(version="001").status.run
    settle(studio)
    events = studio.events()
    assert run is not None
    assert told(events) == ["Normal BackupVerified", "Normal Migrated", "Normal RunStarted"]
    messages = {reason: message for _, reason, message in events}
    assert messages["RunStarted"] == f"Job {run.job_name} started"
    assert messages["Migrated"] == "applied 001_first.sql; version 001"
    assert messages["BackupVerified"].startswith(f"pvc://{CLAIM_NAME}/")
    described = studio.kubectl("describe", "dbm", NAME)
    assert described.index("RunStarted") < described.index("Migrated")


def test_a_failed_run_is_two_events_and_its_recovery_three_more(studio: Studio) -> None:
    studio.start(FIRST)
    studio.put_files(BROKEN)
    studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    settle(studio)
    good = ["Normal Migrated", "Normal RunStarted"]
    assert told(studio.events()) == sorted([*good, "Normal RunStarted", "Warning SqlFailed", "Normal NextSteps"])
    (message,) = [message for _, reason, message in studio.events() if reason == "SqlFailed"]
    assert studio.kubectl("describe", "dbm", "studio").rstrip().endswith("read docs/runbook/SqlFailed.md"), "it ends with what to do"
    assert message.startswith("002_second.sql:1: ")
    assert "42P01" in message

    studio.put_files(MENDED)
    studio.wait_ready(version="002")
    settle(studio)
    recovery = ["Normal RunStarted", "Normal Migrated", "Normal UpToDate"]
    assert told(studio.events()) == sorted([*good, "Normal RunStarted", "Warning SqlFailed", "Normal NextSteps", *recovery])


def test_retries_of_the_same_failure_are_one_event(studio: Studio) -> None:
    """The Secret is not there for three attempts, and then it is."""
    studio.put_files(FIRST)
    studio.put_resource()
    studio.wait(lambda seen: seen.status.run is not None and seen.status.run.failures >= 3, "3 failures")
    assert told(studio.events()) == ["Normal NextSteps", "Normal RunStarted", "Warning SecretMissing"]
    studio.put_secret(studio.database.secret_keys())
    studio.wait_ready(version="001")
    settle(studio)
    assert told(studio.events()) == ["Normal Migrated", "Normal NextSteps", "Normal RunStarted", "Normal UpToDate", "Warning SecretMissing"]


def told(events: list[tuple[str, str, str]]) -> list[str]:
    """Kinds and reasons, sorted: their times are whole seconds, and several happen within one."""
    return sorted(f"{kind} {reason}" for kind, reason, _ in events)
