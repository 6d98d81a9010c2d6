"""SQL that fails: what is in stays in, what failed is undone, and nothing is tried again until a person did something."""

import shlex

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from tests.cluster.operator import InstalledOperator
from tests.e2e.restart import restart_operator
from tests.e2e.studio import NAME, Studio, settle

GOOD = "CREATE TABLE first (id int);"
BAD = "BEGIN;\n\nCREATE TABLE second (id int);\nINSERT INTO absent VALUES ('a secret');\n\nCOMMIT;\n"
FILES = {"001_first.sql": GOOD, "002_second.sql": BAD, "003_third.sql": "CREATE TABLE third (id int);"}


def test_bad_sql_in_second_of_three_stalls_and_mending_the_file_recovers(studio: Studio) -> None:
    studio.prepare(FILES)
    studio.put_resource()
    seen = studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    assert seen.states == {"001_first.sql": State.APPLIED, "002_second.sql": State.FAILED, "003_third.sql": State.PENDING}
    assert seen.status.version == "001"
    run = seen.status.run
    assert run is not None
    assert (run.file, run.line, run.sqlstate, run.next_retry_at) == ("002_second.sql", 4, "42P01", None)
    stalled = seen.condition(ConditionType.STALLED)
    assert stalled is not None
    for word in ("42P01", "002_second.sql:4"):
        assert word in stalled.message
    (failed,) = [each for each in seen.status.migrations if each.state is State.FAILED]
    assert failed.statement is not None
    assert "INSERT INTO absent" in failed.statement
    assert "a secret" not in studio.kubectl("get", "dbm,events", "-o", "yaml")
    assert studio.database.tables() == ["first"]
    assert studio.database.history() == ["001_first.sql"]
    assert ("Warning", "SqlFailed") in [(kind, reason) for kind, reason, _ in studio.events()]
    mend, read, *_, page = seen.status.next_steps
    assert len(seen.status.next_steps) == 4
    assert mend.startswith("mend 002_second.sql:4 ")
    assert page == "read docs/runbook/SqlFailed.md"
    command = shlex.split(read.split("`")[1])
    assert "002_second.sql:4" in studio.kubectl(*command[1:])
    assert mend in studio.kubectl("describe", "dbm", NAME)

    settle(studio)
    assert studio.look().resource_version == seen.resource_version
    assert len(studio.jobs()) == 1

    studio.put_files({**FILES, "002_second.sql": BAD.replace("absent", "second").replace("'a secret'", "1")})
    mended = studio.wait_ready(version="003")
    assert not mended.stalled
    assert mended.status.next_steps == ()
    assert studio.database.history() == list(FILES)
    assert studio.database.rows("SELECT id FROM second") == ["1"]
    assert len(studio.jobs()) == 2


def test_retry_annotation_starts_one_run_after_a_permanent_failure(studio: Studio) -> None:
    """The cause was in the database, so nothing that the operator watches has changed: the annotation says that it is mended."""
    studio.prepare({"001_first.sql": "INSERT INTO made_by_hand VALUES (1);"})
    studio.put_resource()
    failed = studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    studio.database.rows("CREATE TABLE made_by_hand (id int)")
    studio.retry("made_by_hand is there now")
    seen = studio.wait_ready(version="001")
    assert seen.generation == failed.generation
    assert seen.status.last_handled_retry == "made_by_hand is there now"
    assert studio.database.rows("SELECT id FROM made_by_hand") == ["1"]

    studio.retry("made_by_hand is there now")
    settle(studio)
    assert studio.database.rows("SELECT id FROM made_by_hand") == ["1"]
    assert len(studio.jobs()) == 2


def test_a_restarted_operator_leaves_a_stalled_resource_stalled(studio: Studio, operator: InstalledOperator) -> None:
    studio.prepare({"001_first.sql": "SELECT 1 / 0;"})
    studio.put_resource()
    before = studio.wait_reason(Reason.SQL_FAILED, stalled=True)
    restart_operator(studio.cluster, operator)
    settle(studio)
    assert studio.look().resource_version == before.resource_version
    assert len(studio.jobs()) == 1

    studio.put_files({"001_first.sql": "SELECT 1;"})
    assert not studio.wait_ready(version="001").stalled


def test_verify_file_that_says_false_rolls_its_migration_back(studio: Studio) -> None:
    studio.prepare({"001_first.sql": GOOD, "verify-001.sql": "SELECT count(*) = 1 FROM first;"})
    studio.put_resource()
    seen = studio.wait_reason(Reason.VERIFY_FAILED, stalled=True)
    assert seen.states == {"001_first.sql": State.FAILED}
    assert studio.database.tables() == []
    assert studio.database.history() == []
    verified = seen.condition(ConditionType.VERIFIED)
    assert verified is not None
    assert (verified.status, verified.reason) == ("False", Reason.VERIFY_FAILED)


def test_lock_timeout_is_retried_until_the_table_is_free(studio: Studio) -> None:
    """lock-queue-outage: the run gives up after lockTimeout, says so, and the next attempt gets in by itself."""
    studio.database.rows(GOOD)
    studio.prepare({"001_wider.sql": "ALTER TABLE first ADD COLUMN name text;"})
    with studio.database.locked("first"):
        studio.put_resource(execution={"lockTimeout": "100ms", "lockRetries": 0}, retry={"backoff": "1s", "limit": 50})
        waiting = studio.wait_reason(Reason.LOCK_TIMEOUT, stalled=False)
        assert waiting.reconciling
        assert studio.database.history() == []
    studio.wait_ready(version="001")
    assert studio.database.history() == ["001_wider.sql"]


def test_who_holds_the_lock_is_on_the_resource_while_the_run_waits(studio: Studio) -> None:
    studio.database.rows(GOOD)
    studio.prepare({"001_wider.sql": "ALTER TABLE first ADD COLUMN name text;"})
    with studio.database.locked("first"):
        studio.put_resource(execution={"lockTimeout": "10m"})
        waiting = studio.wait(lambda seen: bool(seen.status.progress and seen.status.progress.blocked_by), "the blocker is named")
        assert waiting.status.progress is not None
        assert waiting.status.progress.file == "001_wider.sql"
        assert "ACCESS EXCLUSIVE on public.first" in (waiting.status.progress.message or "")
    ready = studio.wait_ready(version="001")
    assert ready.status.progress is None


def test_retry_limit_counts_attempts_that_ran_sql(studio: Studio) -> None:
    """retry-budget-exhausted: Stalled after `limit` attempts; a changed spec revives it."""
    studio.database.rows(GOOD)
    studio.prepare({"001_wider.sql": "ALTER TABLE first ADD COLUMN name text;"})
    execution = {"lockTimeout": "100ms", "lockRetries": 0}
    with studio.database.locked("first"):
        studio.put_resource(execution=execution, retry={"backoff": "1s", "limit": 2})
        seen = studio.wait_reason(Reason.RETRY_LIMIT_REACHED, stalled=True)
        assert seen.status.run is not None
        assert (seen.status.run.attempt, seen.status.run.counted) == (2, 2)
    studio.kubectl("patch", "dbm", NAME, "--type=merge", '--patch={"spec":{"execution":{"lockTimeout":"2s"}}}')
    studio.wait_ready(version="001")
