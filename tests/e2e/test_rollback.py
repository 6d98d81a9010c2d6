"""spec.rollback: down with a backup before it, staying there, and how the files come back."""

from dbmigration.api.conditions import ConditionType
from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from tests.cluster.images import postgres_image
from tests.e2e.studio import REQUIRE_BACKUP, Studio, settle

FILES = {f"00{number}_t{number}.sql": f"CREATE TABLE t{number} (id int);" for number in range(1, 5)}
SCRIPTS = {f"rollback-00{number}.sql": f"DROP TABLE t{number};" for number in (3, 4)}
FIFTH = {"005_t5.sql": "CREATE TABLE t5 (id int);"}


def test_spec_rollback_goes_down_after_a_backup_and_stays_there(studio: Studio) -> None:
    studio.put_volume()
    studio.start(FILES | SCRIPTS, backup=REQUIRE_BACKUP)
    studio.database.rows("INSERT INTO t4 VALUES (1), (2)")

    studio.put_resource(backup=REQUIRE_BACKUP, rollback={"to": "003", "planHash": "0" * 64})
    refused = studio.wait_reason(Reason.PLAN_CHANGED, stalled=True)
    assert "table t4: 2 rows" in refused.message
    plan_hash = refused.message.partition("has the plan hash ")[2][:64]
    assert studio.database.tables() == ["t1", "t2", "t3", "t4"]

    in_the_pod = {"where": "Pod", "server": {"image": postgres_image(), "imagePullPolicy": "Never"}}
    studio.put_resource(backup=REQUIRE_BACKUP, rehearsal=in_the_pod, rollback={"to": "003", "planHash": plan_hash})
    down = studio.wait_ready(version="003")
    assert (down.reason, down.states["004_t4.sql"], down.status.pending) == (Reason.ROLLED_BACK, State.ROLLED_BACK, 0)
    assert studio.database.tables() == ["t1", "t2", "t3"]
    assert down.status.rehearsal is not None
    assert (down.status.rehearsal.passed, down.status.rehearsal.plan_hash) == (True, plan_hash)
    assert down.status.rehearsal.lost == ("public.t4: 2 rows, no table of that name is left",)
    assert [run.backup_uri is not None for run in down.status.runs] == [True, False, True]
    backed_up, verified = down.condition(ConditionType.BACKED_UP), down.condition(ConditionType.VERIFIED)
    assert backed_up is not None
    assert verified is not None
    assert (backed_up.status, verified.status, verified.reason) == ("True", "False", Reason.ROLLED_BACK)
    assert any(reason == Reason.ROLLED_BACK and "table t4: 2 rows" in message for _, reason, message in studio.events())

    studio.put_files(FILES | SCRIPTS | FIFTH)
    waiting = studio.wait(lambda seen: seen.ready and seen.states.get("005_t5.sql") is State.PENDING, "005 seen and left alone")
    assert (waiting.status.version, waiting.reason) == ("003", Reason.ROLLED_BACK)
    assert studio.database.tables() == ["t1", "t2", "t3"]
    settle(studio)
    assert studio.look().resource_version == waiting.resource_version


def test_what_was_rolled_back_comes_back_only_when_asked_for_or_edited(studio: Studio) -> None:
    studio.start(FILES | SCRIPTS)
    studio.put_resource(rollback={"to": "002"})
    studio.wait_ready(version="002")

    studio.put_resource(rollback=None)
    refused = studio.wait_reason(Reason.ROLLED_BACK, stalled=True)
    assert "003_t3.sql, 004_t4.sql" in refused.message
    studio.put_files(FILES | SCRIPTS | FIFTH)
    settle(studio)
    assert studio.wait_reason(Reason.ROLLED_BACK, stalled=True).status.version == "002"
    assert studio.database.tables() == ["t1", "t2"]

    studio.retry("003 and 004 again")
    assert studio.wait_ready(version="005").states["003_t3.sql"] is State.APPLIED
    assert studio.database.tables() == ["t1", "t2", "t3", "t4", "t5"]


def test_a_missing_rollback_script_refuses_the_whole(studio: Studio) -> None:
    studio.start(FILES | SCRIPTS)
    studio.put_resource(rollback={"to": "0"})
    assert "rollback-002.sql, rollback-001.sql" in studio.wait_reason(Reason.ROLLBACK_MISSING, stalled=True).message
    assert studio.database.tables() == ["t1", "t2", "t3", "t4"]

    none = {"rollback-001.sql": "DROP TABLE t1;", "rollback-002.sql": "DROP TABLE t2;"}
    studio.put_files(FILES | SCRIPTS | none)
    assert studio.wait(lambda seen: seen.ready and seen.reason == Reason.ROLLED_BACK, "rolled back whole").status.version is None
    assert studio.database.tables() == []
